//! A circuit breaker for one endpoint.
//!
//! While it admits, a call costs one load and, when judged, one counter: no lock, no allocation. Everything else (a
//! trip, a refusal that may end, probes) is rare and goes through a short lock around the state machine in `core`.
//! Looking (`phase`, `probe_slot_free`) reads a published copy and never changes anything.

mod core;
mod policy;
mod window;

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering};
use core::{Core, ProbeResult};
pub(crate) use core::{Held as BreakerHeld, PhaseKind};
pub use policy::{
    BreakerPolicy, COUNT_WINDOW_MAX, PROBES_MAX, RatePolicy, TIME_BUCKETS, TIME_WINDOW_MIN, Window,
};
use window::RateWindow;

/// What one call told about the endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) failed: bool,
    /// A failure that only asks for less.
    pub(crate) overload: bool,
    /// A failure to reach it at all.
    pub(crate) unreachable: bool,
    /// Nanoseconds until the first byte, or until the end if there was none.
    pub(crate) latency: u64,
}

/// Leave to make one call, valid in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket {
    epoch: u32,
    pub(crate) probe: bool,
}

/// The phase as published, with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Admitting,
    Refusing {
        until: u64,
    },
    /// A probe may go, or is on its way. `until`: when this view ends unless a verdict comes.
    Probing {
        until: u64,
        slot_free: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    slow_after: u64,
    /// Phase in the lower two bits, epoch above: what a call in the admitting phase needs.
    word: AtomicU64,
    consecutive: AtomicU32,
    window: Option<RateWindow>,
    until: AtomicU64,
    deadline: AtomicU64,
    until_if_hung: AtomicU64,
    free_slots: AtomicU32,
    /// The last failure was one of connection, so that an active probe can tell when it is over.
    unreachable: AtomicBool,
    core: Mutex<Core>,
}

impl Breaker {
    pub(crate) fn new(policy: &BreakerPolicy) -> Self {
        let rate = policy.rate.as_ref();
        Self {
            slow_after: rate.and_then(|rate| rate.slow_after).map_or(u64::MAX, crate::timeline::nanos_of),
            word: AtomicU64::new(0),
            consecutive: AtomicU32::new(0),
            window: rate.map(|rate| RateWindow::new(rate.window)),
            until: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
            until_if_hung: AtomicU64::new(0),
            free_slots: AtomicU32::new(0),
            unreachable: AtomicBool::new(false),
            core: Mutex::new(Core::new()),
            policy: policy.clone(),
        }
    }

    /// Lets a call through or says why not. A `true` beside the ticket: the phase changed.
    #[inline]
    pub(crate) fn admit(&self, now: u64, chance: u32) -> Result<(Ticket, bool), BreakerHeld> {
        let (phase, epoch) = unpack(self.word.load(Ordering::Acquire));
        if phase == PhaseKind::Admitting as u64 {
            return Ok((Ticket { epoch, probe: false }, false));
        }
        self.admit_slowly(now, chance)
    }

    /// Judges the call of a ticket; it must not be used again. Returns whether the phase changed.
    #[inline]
    pub(crate) fn judge(&self, ticket: Ticket, call: Call, now: u64, chance: u32) -> Option<PhaseKind> {
        let slow = call.latency > self.slow_after;
        if call.failed {
            self.unreachable.store(call.unreachable, Ordering::Relaxed);
        }
        if ticket.probe {
            let result = if call.failed { ProbeResult::Bad { slow } } else { ProbeResult::Good { slow } };
            return self.change(|core| core.judge(&self.policy, ticket.epoch, result, now, unit(chance)));
        }
        if unpack(self.word.load(Ordering::Acquire)) != (PhaseKind::Admitting as u64, ticket.epoch) {
            return None; // A late answer from another epoch.
        }
        if let Some(window) = &self.window {
            window.record(now, call.failed, slow);
        }
        if !call.failed && !slow {
            if self.consecutive.load(Ordering::Relaxed) != 0 {
                self.consecutive.store(0, Ordering::Relaxed);
            }
            return None;
        }
        self.judge_bad(ticket.epoch, call, now, chance)
    }

    /// An active probe reached the endpoint. If it was given up because it could not be reached, the open time ends: the next
    /// call may try it. A breaker that opened for another reason (its answers, its slowness) is not impressed. Returns
    /// whether that changed what a look shows.
    pub(crate) fn invite(&self, now: u64) -> bool {
        if self.word.load(Ordering::Acquire) & 3 == PhaseKind::Admitting as u64
            || !self.unreachable.load(Ordering::Relaxed)
        {
            return false;
        }
        let mut invited = false;
        let changed = self.change(|core| invited = core.invite(now));
        if invited {
            self.until.store(now, Ordering::Release);
        }
        invited || changed.is_some()
    }

    /// Gives a ticket back unjudged.
    #[inline]
    pub(crate) fn release(&self, ticket: Ticket) {
        if ticket.probe {
            self.change(|core| core.release(ticket.epoch));
        }
    }

    /// A pure look at the phase.
    #[inline]
    pub(crate) fn look(&self, now: u64) -> Seen {
        let (phase, _) = unpack(self.word.load(Ordering::Acquire));
        if phase == PhaseKind::Admitting as u64 {
            return Seen::Admitting;
        }
        if phase == PhaseKind::Refusing as u64 {
            let until = self.until.load(Ordering::Acquire);
            return refusing_or_due(until, now);
        }
        let deadline = self.deadline.load(Ordering::Acquire);
        if now < deadline {
            let slot_free = self.free_slots.load(Ordering::Acquire) > 0;
            return Seen::Probing { until: deadline, slot_free };
        }
        refusing_or_due(self.until_if_hung.load(Ordering::Acquire), now)
    }

    /// A ticket of the present epoch that is no probe.
    pub(crate) fn present(&self) -> Ticket {
        Ticket { epoch: unpack(self.word.load(Ordering::Acquire)).1, probe: false }
    }

    /// How often each phase was entered: admitting, refusing, probing.
    pub(crate) fn entered(&self) -> [u64; 3] {
        self.core.lock().entered
    }

    #[cold]
    fn admit_slowly(&self, now: u64, chance: u32) -> Result<(Ticket, bool), BreakerHeld> {
        let mut answer = Err(BreakerHeld::Busy);
        let changed = self.change(|core| {
            answer = core
                .admit(&self.policy, now, unit(chance))
                .map(|epoch| Ticket { epoch, probe: core.phase == PhaseKind::Probing });
        });
        answer.map(|ticket| (ticket, changed.is_some()))
    }

    /// A failed or slow call while admitting. A good and fast one never trips.
    #[cold]
    fn judge_bad(&self, epoch: u32, call: Call, now: u64, chance: u32) -> Option<PhaseKind> {
        let mut trips = false;
        if call.failed && !call.overload {
            let run = self.consecutive.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            trips = self.policy.consecutive.is_some_and(|limit| run >= limit.max(1));
        } else if !call.failed {
            self.consecutive.store(0, Ordering::Relaxed);
        }
        if !trips && !self.rate_trips(now) {
            return None;
        }
        self.change(|core| core.trip(&self.policy, epoch, now, unit(chance)))
    }

    fn rate_trips(&self, now: u64) -> bool {
        let (Some(window), Some(rate)) = (&self.window, &self.policy.rate) else { return false };
        let tally = window.tally(now);
        let minimum = match rate.window {
            Window::Count(size) => rate.minimum_calls.min(size.clamp(1, COUNT_WINDOW_MAX)),
            Window::Time(_) => rate.minimum_calls,
        };
        if tally.calls < minimum.max(1) {
            return false;
        }
        let calls = f64::from(tally.calls);
        let failing = tally.failed > 0 && f64::from(tally.failed) >= rate.failures * calls;
        let slow = tally.slow > 0 && f64::from(tally.slow) >= rate.slow * calls;
        failing || slow
    }

    /// Runs `step` under the lock, publishes what it left and tells the phase it led to, if it changed.
    fn change(&self, step: impl FnOnce(&mut Core)) -> Option<PhaseKind> {
        let mut core = self.core.lock();
        let before = core.epoch;
        step(&mut core);
        self.free_slots.store(core.free_slots(&self.policy), Ordering::Release);
        if core.epoch == before {
            return None;
        }
        // Every new phase starts from nothing; the word comes last, so nobody sees it with older times.
        self.consecutive.store(0, Ordering::Relaxed);
        if let Some(window) = &self.window {
            window.clear();
        }
        self.until.store(core.until, Ordering::Release);
        self.deadline.store(core.deadline, Ordering::Release);
        self.until_if_hung.store(core.until_if_hung, Ordering::Release);
        self.word.store(u64::from(core.epoch) << 2 | core.phase as u64, Ordering::Release);
        Some(core.phase)
    }
}

fn refusing_or_due(until: u64, now: u64) -> Seen {
    if now < until { Seen::Refusing { until } } else { Seen::Probing { until: u64::MAX, slot_free: true } }
}

#[inline]
fn unpack(word: u64) -> (u64, u32) {
    (word & 3, (word >> 2) as u32)
}

/// A drawn word as a share in 0..1.
fn unit(chance: u32) -> f64 {
    f64::from(chance) / (f64::from(u32::MAX) + 1.0)
}
