//! The thread-local list behind coarse deadlines, and the task that sweeps it.
//!
//! The list belongs to one current-thread runtime at a time. A registration from another runtime on the same thread is
//! refused, and the caller then arms a timer of its own; so a sweep that is not being driven never holds a deadline.

use super::{TICK, now};
use std::{cell::RefCell, task::Waker, time::Instant};
use tokio::runtime::{Handle, Id, RuntimeFlavor};

/// Sweeps over an empty list before the task ends. Keeps a busy worker from starting a task per request.
const EMPTY_SWEEPS_MAX: u32 = 20;

/// Wakers collected before they are called outside the borrow.
const WAKE_BATCH: usize = 64;

thread_local! {
    static WHEEL: RefCell<Wheel> = const { RefCell::new(Wheel::new()) };
}

/// One registration. Dropping it frees its slot, when that happens on the thread that registered; elsewhere the slot
/// empties itself at its deadline.
pub(super) struct Ticket {
    slot: u32,
    generation: u32,
    runtime: Id,
}

struct Wheel {
    slots: Vec<Slot>,
    free: Vec<u32>,
    waiting: usize,
    owner: Option<Id>,
    /// Counts every registration, so that a stale ticket never frees a slot of somebody else.
    generation: u32,
}

struct Slot {
    generation: u32,
    entry: Option<(Instant, Waker)>,
}

impl Ticket {
    /// `None` where no sweep can serve it: no runtime, several threads, or a foreign runtime owns this thread's list.
    pub(super) fn register(deadline: Instant, waker: &Waker) -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        let runtime = handle.id();
        let (ticket, start) = WHEEL
            .try_with(|wheel| {
                let mut wheel = wheel.try_borrow_mut().ok()?;
                let start = match wheel.owner {
                    Some(owner) if owner == runtime => false,
                    None if handle.runtime_flavor() == RuntimeFlavor::CurrentThread => true,
                    Some(_) | None => return None,
                };
                wheel.owner = Some(runtime);
                let (slot, generation) = wheel.insert(deadline, waker.clone());
                Some((Self { slot, generation, runtime }, start))
            })
            .ok()??;
        if start {
            handle.spawn(sweep(Ownership));
        }
        Some(ticket)
    }

    /// Whether the sweep will still wake this very task.
    pub(super) fn is_waiting(&self, waker: &Waker) -> bool {
        self.with(
            |wheel, slot| matches!(&wheel.slots[slot].entry, Some((_, known)) if known.will_wake(waker)),
        )
        .unwrap_or(false)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Wheel, usize) -> R) -> Option<R> {
        WHEEL
            .try_with(|wheel| {
                let mut wheel = wheel.try_borrow_mut().ok()?;
                let slot = self.slot as usize;
                let mine = wheel.owner == Some(self.runtime)
                    && wheel.slots.get(slot).is_some_and(|s| s.generation == self.generation);
                mine.then(|| f(&mut wheel, slot))
            })
            .ok()?
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The waker is dropped outside the borrow: dropping it may drop a task, and that task other tickets.
        let entry = self.with(Wheel::remove);
        drop(entry);
    }
}

impl Wheel {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), waiting: 0, owner: None, generation: 0 }
    }

    fn insert(&mut self, deadline: Instant, waker: Waker) -> (u32, u32) {
        self.generation = self.generation.wrapping_add(1);
        self.waiting += 1;
        let slot = Slot { generation: self.generation, entry: Some((deadline, waker)) };
        let index = if let Some(index) = self.free.pop() {
            self.slots[index as usize] = slot;
            index
        } else {
            self.slots.push(slot);
            // Slots are as many as requests in flight on one worker, far below u32::MAX.
            (self.slots.len() - 1) as u32
        };
        (index, self.generation)
    }

    fn remove(&mut self, slot: usize) -> Option<(Instant, Waker)> {
        let entry = self.slots[slot].entry.take()?;
        self.free.push(slot as u32);
        self.waiting -= 1;
        Some(entry)
    }

    /// Moves the wakers of up to [`WAKE_BATCH`] passed deadlines into `due`; returns where to go on.
    fn take_due(&mut self, now: Instant, mut from: usize, due: &mut Vec<Waker>) -> Option<usize> {
        while from < self.slots.len() {
            if due.len() == WAKE_BATCH {
                return Some(from);
            }
            if matches!(&self.slots[from].entry, Some((deadline, _)) if *deadline <= now)
                && let Some((_, waker)) = self.remove(from)
            {
                due.push(waker);
            }
            from += 1;
        }
        None
    }
}

/// Held by the sweep task: gives the list up when the task ends, also when its runtime is shut down.
struct Ownership;

impl Drop for Ownership {
    fn drop(&mut self) {
        let slots = WHEEL.try_with(|wheel| {
            let mut wheel = wheel.try_borrow_mut().ok()?;
            let slots = std::mem::take(&mut wheel.slots);
            wheel.free.clear();
            wheel.waiting = 0;
            wheel.owner = None;
            Some(slots)
        });
        drop(slots);
    }
}

async fn sweep(_ownership: Ownership) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut due = Vec::with_capacity(WAKE_BATCH);
    let mut empty = 0;
    while empty < EMPTY_SWEEPS_MAX {
        interval.tick().await;
        let now = now();
        let mut from = Some(0);
        while let Some(start) = from {
            from = WHEEL.with(|wheel| wheel.borrow_mut().take_due(now, start, &mut due));
            due.drain(..).for_each(Waker::wake);
        }
        empty = if WHEEL.with(|wheel| wheel.borrow().waiting) == 0 { empty + 1 } else { 0 };
    }
}

#[cfg(test)]
pub(super) fn slots() -> usize {
    WHEEL.with(|wheel| wheel.borrow().slots.len())
}
