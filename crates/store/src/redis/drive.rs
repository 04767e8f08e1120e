//! What happens to an operation: where it goes, what its answer leads to, and when to give up.

use super::{
    address::Address,
    answer::Answer,
    command::Command,
    link::{Inner, Place, closed},
    server::{Packed, Server},
    settings::{HOPS_MAX, PIPELINE_MAX, SETTLE_PAUSE},
};
use crate::{StoreError, StoreErrorKind};
use futures_util::{StreamExt as _, future::join_all, stream};
use holdfast_telemetry::StoreDetour;
use redis::{Pipeline, Value};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Commands of one `run_all` that are followed up at the same time.
const FOLLOW_UPS: usize = 64;

/// A command of several: its place among them, its slot, itself.
type Member = (usize, Option<u16>, Command);

/// What was learned on the way of one operation.
#[derive(Default)]
struct Way {
    /// Ask there, once.
    asking: Option<Address>,
    in_full: bool,
    hops: u32,
    failures: u32,
}

impl Inner {
    fn server(&self, slot: Option<u16>, asking: Option<&Address>) -> Option<Arc<Server>> {
        match (&self.place, asking, slot) {
            (Place::One(server), _, _) => Some(Arc::clone(server)),
            (Place::Cluster(cluster), Some(address), _) => Some(cluster.at(address)),
            (Place::Cluster(cluster), None, Some(slot)) => cluster.master(slot),
            (Place::Cluster(cluster), None, None) => cluster.any(),
        }
    }

    /// Tries until there is a value, an error that trying again does not help, or no time. `first`: the answer to a first attempt.
    pub(super) async fn drive(
        &self,
        slot: Option<u16>,
        command: &Command,
        until: Instant,
        first: Option<(Answer, Arc<Server>)>,
    ) -> Result<Value, StoreError> {
        let mut way = Way::default();
        let mut first = first;
        loop {
            let (answer, server) = if let Some(first) = first.take() {
                first
            } else if let Some(server) = self.server(slot, way.asking.as_ref()) {
                let packed = command.packed(way.in_full);
                let packed = if way.asking.is_some() { Packed::Asking(packed) } else { Packed::One(packed) };
                let answers = server.attempt(&packed, until).await;
                (answers.map_or_else(Answer::Failed, only), server)
            } else {
                // No map yet, or nobody has this slot.
                self.stale();
                if !settle(until).await {
                    return Err(StoreError::new(
                        StoreErrorKind::Connection,
                        "no server has the slot of this key",
                    ));
                }
                continue;
            };
            if let Some(result) = self.next(&mut way, slot, command, until, (answer, &server)).await {
                return result;
            }
        }
    }

    /// What an answer leads to: a result, or another attempt (`None`).
    async fn next(
        &self,
        way: &mut Way,
        slot: Option<u16>,
        command: &Command,
        until: Instant,
        (answer, server): (Answer, &Server),
    ) -> Option<Result<Value, StoreError>> {
        let detours = &self.settings.metrics.detours;
        let from = || server.core.known.lock().address.clone();
        let asked = way.asking.take();
        match answer {
            Answer::Value(value) => return Some(Ok(value)),
            Answer::Moved(to) => {
                detours.inc(StoreDetour::Moved);
                if let (Place::Cluster(cluster), Some(slot), Some(to)) =
                    (&self.place, slot, complete(to, from))
                {
                    cluster.moved(slot, &to);
                }
                return way.hop();
            }
            Answer::Ask(to) => {
                detours.inc(StoreDetour::Ask);
                way.asking = complete(to, from);
                return way.hop();
            }
            Answer::NoScript => {
                detours.inc(StoreDetour::NoScript);
                way.in_full = true;
                way.asking = asked;
                return way.hop();
            }
            Answer::Later(later) => {
                detours.inc(later.detour());
                self.stale();
                return if settle(until).await { None } else { Some(Err(later.error())) };
            }
            Answer::Failed(error) => {
                self.stale();
                way.failures += 1;
                if way.failures > self.settings.max_retries || !worth_repeating(error, command) {
                    return Some(Err(error));
                }
                if !pause(self.settings.retry_delay, until).await {
                    return Some(Err(error));
                }
                self.settings.metrics.retries.inc();
            }
        }
        None
    }

    pub(super) async fn drive_all(
        self: &Arc<Self>,
        commands: Vec<(Vec<u8>, Command)>,
        until: Instant,
    ) -> Vec<Result<Value, StoreError>> {
        let count = commands.len();
        let mut groups: Vec<(Option<Arc<Server>>, Vec<Member>)> = Vec::new();
        for (index, (key, command)) in commands.into_iter().enumerate() {
            let slot = self.slot(&key);
            let server = self.server(slot, None);
            let same = |known: &Option<Arc<Server>>| match (known, &server) {
                (Some(known), Some(server)) => Arc::ptr_eq(known, server),
                (known, server) => known.is_none() && server.is_none(),
            };
            match groups.iter_mut().find(|(known, members)| same(known) && members.len() < PIPELINE_MAX) {
                Some((_, members)) => members.push((index, slot, command)),
                None => groups.push((server, vec![(index, slot, command)])),
            }
        }
        let done =
            join_all(groups.into_iter().map(|(server, members)| self.drive_group(server, members, until)))
                .await;
        let mut results: Vec<_> = (0..count).map(|_| Err(closed())).collect();
        for (index, result) in done.into_iter().flatten() {
            results[index] = result;
        }
        results
    }

    /// The first attempts in one piece, then each command by itself where its answer asks for more.
    async fn drive_group(
        &self,
        server: Option<Arc<Server>>,
        members: Vec<Member>,
        until: Instant,
    ) -> Vec<(usize, Result<Value, StoreError>)> {
        let mut first: Vec<Option<(Answer, Arc<Server>)>> = Vec::with_capacity(members.len());
        if let Some(server) = server {
            let mut all = Pipeline::with_capacity(members.len());
            for (_, _, command) in &members {
                all.add_command(command.packed(false));
            }
            match server.attempt(&Packed::Many(all), until).await {
                Ok(answers) => {
                    first.extend(answers.into_iter().map(|answer| Some((answer, Arc::clone(&server)))));
                }
                Err(error) => {
                    first.extend(members.iter().map(|_| Some((Answer::Failed(error), Arc::clone(&server)))));
                }
            }
        }
        first.resize_with(members.len(), || None);
        let follow = members.into_iter().zip(first).map(|((index, slot, command), first)| async move {
            (index, self.drive(slot, &command, until, first).await)
        });
        stream::iter(follow).buffered(FOLLOW_UPS).collect().await
    }

    fn stale(&self) {
        if let Place::Cluster(cluster) = &self.place {
            cluster.stale();
        }
    }
}

impl Way {
    fn hop(&mut self) -> Option<Result<Value, StoreError>> {
        self.hops += 1;
        let lost = StoreError::new(StoreErrorKind::Protocol, "the servers send the command in a circle");
        (self.hops > HOPS_MAX).then_some(Err(lost))
    }
}

fn only(answers: Vec<Answer>) -> Answer {
    let missing = StoreError::new(StoreErrorKind::Protocol, "the server gave no answer");
    answers.into_iter().next().unwrap_or(Answer::Failed(missing))
}

/// A host that is left out is that of the server that answered.
fn complete(to: Option<Address>, from: impl FnOnce() -> Option<Address>) -> Option<Address> {
    let to = to?;
    if to.host.is_empty() { Some(Address::new(&from()?.host, to.port)) } else { Some(to) }
}

/// A failed attempt is repeated if it cannot have been done, or if doing it twice is as good; never what the server or the breaker refused.
fn worth_repeating(error: StoreError, command: &Command) -> bool {
    let kind = matches!(error.kind(), StoreErrorKind::Connection | StoreErrorKind::Timeout);
    kind && (command.is_repeatable() || !error.is_maybe_done())
}

/// Waits a random while, at most [`SETTLE_PAUSE`]. `false` = there is no time for that.
async fn settle(until: Instant) -> bool {
    let wait = SETTLE_PAUSE.mul_f64(0.1 + 0.9 * fastrand::f64());
    wait_within(wait, until).await
}

/// Full jitter up to `most`, and up to a quarter of the time that is left.
async fn pause(most: Duration, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    wait_within(most.min(left / 4).mul_f64(fastrand::f64()), until).await
}

async fn wait_within(wait: Duration, until: Instant) -> bool {
    if Instant::now() + wait >= until {
        return false;
    }
    tokio::time::sleep(wait).await;
    true
}
