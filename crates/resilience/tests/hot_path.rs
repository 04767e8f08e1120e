//! The way of a request through this crate allocates nothing.

#![allow(unsafe_code)] // A counting allocator cannot be written without.
#![allow(clippy::unwrap_used)]

use holdfast_resilience::{
    Balancer, BalancerPolicy, BreakerPolicy, Budget, BudgetPolicy, EndpointId, EndpointPolicy, EndpointState,
    Member, Outcome, OutlierPolicy, Rng, Strategy, Tried,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::{Duration, Instant},
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain cell of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_successful_attempt_allocates_nothing() {
    let start = Instant::now();
    let policy = EndpointPolicy {
        breaker: Some(BreakerPolicy::default()),
        outlier: Some(OutlierPolicy::default()),
        ..EndpointPolicy::default()
    };
    for strategy in [
        Strategy::P2cEwma,
        Strategy::LeastConnections,
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::RingHash,
        Strategy::Maglev,
    ] {
        let member = |id| Member {
            id: EndpointId(id),
            identity: u64::from(id),
            weight: 1 + id,
            priority: 0,
            zone: None,
            state: EndpointState::new(&policy, start),
        };
        let balancing = BalancerPolicy { strategy, ..BalancerPolicy::default() };
        let mut rng = Rng::with_seed(1);
        let set = Balancer::new((0..3).map(member).collect(), balancing, start, &mut rng);
        let budget = Budget::new(BudgetPolicy::default(), start);
        let mut attempt = |step: u32| {
            let now = start + step * Duration::from_millis(7);
            budget.deposit(now);
            let picked = set.pick(now, &mut rng, Some(u64::from(step)), &Tried::new()).unwrap();
            let mut permit = set.admit(picked, now, &mut rng).unwrap().unwrap();
            permit.first_byte(now + Duration::from_millis(1));
            permit.finish(Outcome::Ok, now + Duration::from_millis(2));
        };
        attempt(0); // The first one may set up what belongs to the thread.
        let before = ALLOCATIONS.get();
        (1..10_000).for_each(&mut attempt);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{strategy:?}");
    }
}
