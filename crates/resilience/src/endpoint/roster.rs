//! The endpoints that are judged together: it holds the share that may be ejected, and a version that moves with every
//! change of any of them, so that a balancer knows when its view is old.

use super::EndpointState;
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::{
    sync::{Arc, Weak},
    time::Instant,
};

/// Attempts to find the set that is in charge while sets are being replaced.
const TURNS_MAX: u32 = 8;

#[derive(Debug)]
pub(crate) struct Roster {
    version: AtomicU64,
    /// Held over every decision to eject, so that two endpoints cannot both take the last place.
    deciding: Mutex<()>,
    members: Box<[Weak<EndpointState>]>,
}

impl Roster {
    /// Takes charge of the members: from now on their ejections are decided here, even if an older set still lives.
    /// The lock is held until all have joined, and an older set decides only with the endpoint's own list locked, so
    /// no two sets ever decide at once.
    pub(crate) fn new<'a>(members: impl Iterator<Item = &'a Arc<EndpointState>> + Clone) -> Arc<Self> {
        let roster = Arc::new(Self {
            version: AtomicU64::new(1),
            deciding: Mutex::new(()),
            members: members.clone().map(Arc::downgrade).collect(),
        });
        let deciding = roster.deciding.lock();
        for member in members {
            let mut rosters = member.rosters.lock();
            rosters.retain(|roster| roster.strong_count() > 0);
            rosters.push(Arc::downgrade(&roster));
        }
        drop(deciding);
        roster
    }

    /// Changes with every change of a member.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Ejects `state` if the share of its newest set allows it.
    pub(crate) fn try_eject(state: &EndpointState, now: Instant) -> bool {
        for _ in 0..TURNS_MAX {
            let Some(roster) = newest(&state.rosters.lock()) else { return false };
            let _deciding = roster.deciding.lock();
            let rosters = state.rosters.lock();
            if !newest(&rosters).is_some_and(|newest| Arc::ptr_eq(&newest, &roster)) {
                continue;
            }
            return roster.eject_within_share(state, now);
        }
        false
    }

    fn eject_within_share(&self, state: &EndpointState, now: Instant) -> bool {
        let Some(outlier) = &state.outlier else { return false };
        let at = state.timeline.nanos(now);
        let members = || self.members.iter().filter_map(Weak::upgrade);
        let ejected = members().filter(|member| member.ejected(now)).count();
        if outlier.ejected(at) || ejected >= outlier.policy.ejectable(members().count()) {
            return false;
        }
        outlier.eject(at);
        true
    }
}

fn newest(rosters: &[Weak<Roster>]) -> Option<Arc<Roster>> {
    rosters.iter().rev().find_map(Weak::upgrade)
}
