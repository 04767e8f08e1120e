//! The quota ledger in memory, and the rule of its shares. The script of the ledger on Redis counts the same way.

use super::{Memory, expiring::Expiring, ready};
use crate::seam::{
    Answer, LEASE_TTL, Lease, NUMBER_MAX, Name, QuotaLedger, RESERVE_PER_MILLE, ReplicaId, Want, limits,
};
use crate::{StoreError, StoreErrorKind};
use std::{collections::BTreeMap, time::Instant};

/// A ledger of each quota. It ends with its last lease.
pub(super) type Ledgers = Expiring<Name, Ledger>;

/// Highest total and demand: a script multiplies them with a thousand.
pub(crate) const TOTAL_MAX: u64 = NUMBER_MAX / 1000;

/// Leases by replica.
#[derive(Default)]
pub(super) struct Ledger {
    leases: BTreeMap<ReplicaId, Held>,
}

struct Held {
    /// What the replica may use: its share, or what it had before, until it has said that it uses the share.
    counted: u64,
    demand: u64,
    until: Instant,
}

impl Ledger {
    /// The new share of `replica`: its part of the total less the reserve, by demand, and an equal part of the reserve, of which one
    /// part is left for whoever comes next; never more than the others leave.
    pub(super) fn lease(&mut self, replica: ReplicaId, want: Want, now: Instant) -> u64 {
        let Want { demand, held, total } = want;
        self.leases.retain(|_, held| held.until > now);
        self.leases.remove(&replica);
        let taken: u64 = self.leases.values().map(|held| held.counted).sum();
        let demands: u64 = demand + self.leases.values().map(|held| held.demand).sum::<u64>();
        let replicas = self.leases.len() as u64 + 1;
        let reserve = total * RESERVE_PER_MILLE / 1000;
        let given = total - reserve;
        let by_demand = if demands == 0 { given / replicas } else { part(given, demand, demands) };
        let share = (by_demand + reserve / (replicas + 1)).min(total.saturating_sub(taken));
        let counted = share.max(held.min(total));
        self.leases.insert(replica, Held { counted, demand, until: now + LEASE_TTL });
        share
    }
}

/// `whole * part / parts`, in floating point as scripts count: rounding makes it smaller at most by one unit in 2^53.
fn part(whole: u64, part: u64, parts: u64) -> u64 {
    (whole as f64 * (part as f64 / parts as f64)).floor() as u64
}

impl QuotaLedger for Memory {
    fn lease(&self, quota: Name, replica: ReplicaId, want: Want, _: Instant) -> Answer<'_, Lease> {
        let now = self.now();
        let mut ledgers = self.ledgers.lock();
        let mut ledger = ledgers.remove(quota).unwrap_or_default();
        let lease = limits::below(want.total, TOTAL_MAX).map(|()| {
            let want = Want { demand: want.demand.min(TOTAL_MAX), ..want };
            Lease { share: ledger.lease(replica, want, now), until: now + LEASE_TTL }
        });
        let full = |_| StoreError::new(StoreErrorKind::Full, "too many quotas");
        ready(ledgers.insert(quota, ledger, now + LEASE_TTL, now).map_err(full).and(lease))
    }

    fn release(&self, quota: Name, replica: ReplicaId, _: Instant) -> Answer<'_, ()> {
        if let Some(ledger) = self.ledgers.lock().get_mut(quota, self.now()) {
            ledger.leases.remove(&replica);
        }
        ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::HashMap, time::Duration};

    proptest! {
        #[test]
        fn live_shares_never_exceed_the_total_even_if_answers_are_lost(
            total in 0u64..100_000,
            steps in prop::collection::vec((0u64..6, 0u64..10_000, 0u64..3_000, 0u8..8), 1..200),
        ) {
            let mut now = Instant::now();
            let mut ledger = Ledger::default();
            let mut held: HashMap<u64, (u64, Instant)> = HashMap::new();
            for (replica, demand, wait, fate) in steps {
                now += Duration::from_millis(wait);
                held.retain(|_, (_, until)| *until > now);
                let before = held.get(&replica).map_or(0, |(share, _)| *share);
                let want = Want { demand, held: before, total };
                match fate {
                    0 => {
                        ledger.leases.remove(&ReplicaId(replica));
                        held.remove(&replica);
                    }
                    1 | 2 => {
                        ledger.lease(ReplicaId(replica), want, now);
                    }
                    _ => {
                        let share = ledger.lease(ReplicaId(replica), want, now);
                        held.insert(replica, (share, now + LEASE_TTL));
                    }
                }
                let live: u64 = held.values().map(|(share, _)| share).sum();
                prop_assert!(live <= total, "{live} of {total}");
            }
        }

        #[test]
        fn shares_follow_demand_within_a_few_rounds(demands in prop::collection::vec(0u64..1000, 2..6)) {
            let total = 10_000;
            let mut now = Instant::now();
            let mut ledger = Ledger::default();
            let mut shares = vec![0; demands.len()];
            for _ in 0..10 {
                for (replica, demand) in demands.iter().enumerate() {
                    let want = Want { demand: *demand, held: shares[replica], total };
                    shares[replica] = ledger.lease(ReplicaId(replica as u64), want, now);
                }
                now += Duration::from_secs(1);
            }
            let sum: u64 = demands.iter().sum();
            for (share, demand) in shares.iter().zip(&demands) {
                let fair = (9000 * demand).checked_div(sum).unwrap_or(9000 / demands.len() as u64);
                prop_assert!(*share + 2 >= fair && *share > 0, "{share} for {demand} of {sum}");
            }
        }
    }
}
