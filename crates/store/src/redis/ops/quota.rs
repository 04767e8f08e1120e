//! The quota ledger on Redis: one hash a quota, one script a lease.

use super::{Data, keys::Key, millis, reply};
use crate::memory::TOTAL_MAX;
use crate::redis::{Command, Script};
use crate::seam::{Answer, LEASE_TTL, Lease, Name, QuotaLedger, RESERVE_PER_MILLE, ReplicaId, Want, limits};
use holdfast_telemetry::StorePart;
use std::time::Instant;

static LEASE: Script = Script::new(include_str!("lua/quota_lease.lua"));

impl QuotaLedger for Data {
    fn lease(&self, quota: Name, replica: ReplicaId, want: Want, until: Instant) -> Answer<'_, Lease> {
        let core = &*self.core;
        core.counted(StorePart::Quotas, async move {
            limits::below(want.total, TOTAL_MAX)?;
            // The lease runs from here: the server begins to count no earlier.
            let asked = Instant::now();
            let key = core.names.named(Key::Quota, quota);
            let command = Command::script(&LEASE, vec![key.clone()], Vec::new())
                .arg(replica.to_string())
                .arg(want.demand.min(TOTAL_MAX))
                .arg(want.held.min(want.total))
                .arg(want.total)
                .arg(millis(LEASE_TTL))
                .arg(RESERVE_PER_MILLE)
                .repeatable();
            let share = reply::some(core.run(&key, command, until).await?)?;
            let share = reply::number(&share).ok_or_else(reply::strange)?;
            Ok(Lease { share, until: asked + LEASE_TTL })
        })
    }

    fn release(&self, quota: Name, replica: ReplicaId, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Quotas, async move {
            let key = core.names.named(Key::Quota, quota);
            let command = Command::new("HDEL").arg(key.as_slice()).arg(replica.to_string()).repeatable();
            core.run(&key, command, until).await.map(drop)
        })
    }
}
