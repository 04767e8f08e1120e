//! Where identifiers that the gateway wraps can stand in a message.

use super::{Frame, Member, elements, fields};
use smallvec::SmallVec;

/// An identifier the gateway seals before it reaches a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `requestState` in the params of a retry or in an `input_required` result (2026-07-28, "Multi Round-Trip
    /// Requests").
    RequestState,
    /// Task ids: `taskId` of `tasks/*` params, of a task result (flat, tasks extension), of `notifications/tasks`;
    /// `notifications.taskIds[]` of `subscriptions/listen` and its acknowledgement; `task.taskId`, `tasks[].taskId`
    /// and `_meta["io.modelcontextprotocol/related-task"].taskId` of 2025-11-25.
    TaskId,
}

/// Ranges in a message, in their order.
pub type Ranges = SmallVec<[(usize, usize); 2]>;

impl Frame {
    /// The ranges of all string values at the places where the specification puts such an identifier. Whether a member
    /// of that name has that meaning depends on the method (and `resultType`), which the caller knows.
    pub fn places(&self, place: Place) -> Ranges {
        let mut ranges = Ranges::new();
        match place {
            Place::RequestState => self.add(Member::RequestState, &mut ranges),
            Place::TaskId => {
                self.add(Member::TaskId, &mut ranges);
                self.add_field(Member::Task, "taskId", &mut ranges);
                self.add_field(Member::MetaRelatedTask, "taskId", &mut ranges);
                self.add_listened(&mut ranges);
                self.add_listed(&mut ranges);
                ranges.sort_unstable();
            }
        }
        ranges.retain(|(start, _)| self.bytes()[*start] == b'"');
        ranges
    }

    fn add(&self, member: Member, ranges: &mut Ranges) {
        ranges.extend(self.range(member));
    }

    fn add_field(&self, member: Member, key: &str, ranges: &mut Ranges) {
        if let (Some(raw), Some((start, _))) = (self.raw(member), self.range(member)) {
            ranges
                .extend(fields(raw).filter(|(found, _)| found == key).map(|(_, v)| shift(v.range(), start)));
        }
    }

    /// `notifications.taskIds[]`
    fn add_listened(&self, ranges: &mut Ranges) {
        let mut lists = Ranges::new();
        self.add_field(Member::Notifications, "taskIds", &mut lists);
        for (start, end) in lists {
            ranges.extend(elements(&self.bytes()[start..end]).iter().map(|e| shift(e.range(), start)));
        }
    }

    /// `tasks[].taskId`
    fn add_listed(&self, ranges: &mut Ranges) {
        let (Some(raw), Some((start, _))) = (self.raw(Member::Tasks), self.range(Member::Tasks)) else {
            return;
        };
        for task in elements(raw) {
            let ids = fields(task.raw).filter(|(key, _)| key == "taskId");
            ranges.extend(ids.map(|(_, id)| shift(id.range(), start + task.start)));
        }
    }
}

fn shift((start, end): (usize, usize), by: usize) -> (usize, usize) {
    (start + by, end + by)
}
