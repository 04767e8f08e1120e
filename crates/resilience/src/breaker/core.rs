//! The breaker's phases as a plain state machine: time and chance come in, phases come out.
//!
//! | phase | a call | leaves it |
//! |---|---|---|
//! | Admitting | passes and is judged | a trip condition -> Refusing |
//! | Refusing | is refused | the open time is over, or an invitation ended it, and a call comes -> Probing |
//! | Probing | passes if a slot is free | verdict good -> Admitting; bad, or none in time -> Refusing |
//!
//! Each change of phase starts a new epoch. A permit carries the epoch it was given in, and a result from an older
//! epoch judges nothing: a late answer neither closes nor re-opens a breaker, and its slot went with its epoch.

use super::policy::{BreakerPolicy, PROBES_MAX, RatePolicy};
use crate::timeline::nanos_of;

/// The phase without its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhaseKind {
    Admitting = 0,
    Refusing = 1,
    Probing = 2,
}

/// A judged probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    Good { slow: bool },
    Bad { slow: bool },
}

/// Why a call is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Refusing until then.
    Until(u64),
    /// Probing, and all slots are taken.
    Busy,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) phase: PhaseKind,
    pub(crate) epoch: u32,
    /// Refusing: when the next probe may go.
    pub(crate) until: u64,
    /// Probing: when the verdict is due, and until when it refuses if none came.
    pub(crate) deadline: u64,
    pub(crate) until_if_hung: u64,
    /// Times it opened since it last closed.
    opens: u32,
    slots_taken: u32,
    issued: u32,
    good: u32,
    bad: u32,
    slow: u32,
    /// How often each phase was entered, by [`PhaseKind`].
    pub(crate) entered: [u64; 3],
}

impl Core {
    pub(crate) fn new() -> Self {
        Self {
            phase: PhaseKind::Admitting,
            epoch: 0,
            until: 0,
            deadline: 0,
            until_if_hung: 0,
            opens: 0,
            slots_taken: 0,
            issued: 0,
            good: 0,
            bad: 0,
            slow: 0,
            entered: [0; 3],
        }
    }

    /// Trips, if it still admits in the epoch that the evidence is from.
    pub(crate) fn trip(&mut self, policy: &BreakerPolicy, epoch: u32, now: u64, chance: f64) {
        if self.phase == PhaseKind::Admitting && self.epoch == epoch {
            self.refuse(policy, now, chance);
        }
    }

    /// Lets a call through in the current epoch, as a probe unless it admits.
    pub(crate) fn admit(&mut self, policy: &BreakerPolicy, now: u64, chance: f64) -> Result<u32, Held> {
        self.pass_time(now);
        match self.phase {
            PhaseKind::Admitting => return Ok(self.epoch),
            PhaseKind::Refusing if now < self.until => return Err(Held::Until(self.until)),
            PhaseKind::Refusing => self.probe(policy, now, chance),
            PhaseKind::Probing => {}
        }
        if self.free_slots(policy) == 0 {
            return Err(Held::Busy);
        }
        self.slots_taken += 1;
        self.issued += 1;
        Ok(self.epoch)
    }

    /// Judges a probe of `epoch`, gives its slot back, and changes phase if that settles it.
    pub(crate) fn judge(
        &mut self,
        policy: &BreakerPolicy,
        epoch: u32,
        result: ProbeResult,
        now: u64,
        chance: f64,
    ) {
        self.pass_time(now);
        if self.phase != PhaseKind::Probing || self.epoch != epoch {
            return;
        }
        self.slots_taken -= 1;
        let (good, slow) = match result {
            ProbeResult::Good { slow } => (true, slow),
            ProbeResult::Bad { slow } => (false, slow),
        };
        self.good += u32::from(good);
        self.bad += u32::from(!good);
        self.slow += u32::from(slow);
        let closes = match policy.probes_total {
            None if !good => Some(false),
            None => (self.good >= policy.successes.max(1)).then_some(true),
            Some(total) => self.verdict_by_rate(policy, total),
        };
        match closes {
            Some(true) => self.enter(PhaseKind::Admitting),
            Some(false) => self.refuse(policy, now, chance),
            None => {}
        }
    }

    /// Ends the open time early: there is news of the endpoint, and the next call may try it. Returns whether it did.
    pub(crate) fn invite(&mut self, now: u64) -> bool {
        self.pass_time(now);
        let early = self.phase == PhaseKind::Refusing && now < self.until;
        if early {
            self.until = now;
        }
        early
    }

    /// Gives the slot of a probe back that nobody judged: the call may be made again.
    pub(crate) fn release(&mut self, epoch: u32) {
        if self.phase == PhaseKind::Probing && self.epoch == epoch {
            self.slots_taken -= 1;
            self.issued -= 1;
        }
    }

    pub(crate) fn free_slots(&self, policy: &BreakerPolicy) -> u32 {
        let concurrent = policy.probes_concurrent.clamp(1, PROBES_MAX).saturating_sub(self.slots_taken);
        match policy.probes_total {
            Some(total) => concurrent.min(total.clamp(1, PROBES_MAX).saturating_sub(self.issued)),
            None => concurrent,
        }
    }

    /// A probing without a verdict at its deadline failed then, whoever notices and whenever.
    fn pass_time(&mut self, now: u64) {
        if self.phase == PhaseKind::Probing && now >= self.deadline {
            self.until = self.until_if_hung;
            self.opens = self.opens.saturating_add(1);
            self.enter(PhaseKind::Refusing);
        }
    }

    fn verdict_by_rate(&self, policy: &BreakerPolicy, total: u32) -> Option<bool> {
        let default = RatePolicy::default();
        let rate = policy.rate.as_ref().unwrap_or(&default);
        let results = self.good + self.bad;
        if results < total.min(rate.minimum_calls).clamp(1, PROBES_MAX) {
            return None;
        }
        let failing = f64::from(self.bad) >= rate.failures * f64::from(results);
        let slow = rate.slow_after.is_some() && f64::from(self.slow) >= rate.slow * f64::from(results);
        Some(!failing && !slow)
    }

    fn probe(&mut self, policy: &BreakerPolicy, now: u64, chance: f64) {
        self.deadline = now.saturating_add(nanos_of(policy.max_half_open));
        self.until_if_hung = self.deadline.saturating_add(open_time(policy, self.opens + 1, chance));
        (self.slots_taken, self.issued, self.good, self.bad, self.slow) = (0, 0, 0, 0, 0);
        self.enter(PhaseKind::Probing);
    }

    fn refuse(&mut self, policy: &BreakerPolicy, now: u64, chance: f64) {
        self.opens = self.opens.saturating_add(1);
        self.until = now.saturating_add(open_time(policy, self.opens, chance));
        self.enter(PhaseKind::Refusing);
    }

    fn enter(&mut self, phase: PhaseKind) {
        if phase == PhaseKind::Admitting {
            self.opens = 0;
        }
        self.phase = phase;
        self.epoch = self.epoch.wrapping_add(1);
        self.entered[phase as usize] += 1;
    }
}

/// Nanoseconds to refuse at the n-th opening in a row: base doubled n - 1 times, cut at the maximum, then jittered.
fn open_time(policy: &BreakerPolicy, opens: u32, chance: f64) -> u64 {
    let doubled = nanos_of(policy.open).saturating_mul(1 << opens.saturating_sub(1).min(40));
    let mean = doubled.min(nanos_of(policy.open_max.max(policy.open)));
    let jitter = policy.jitter.clamp(0.0, 1.0);
    (mean as f64 * (1.0 - jitter + 2.0 * jitter * chance)) as u64
}
