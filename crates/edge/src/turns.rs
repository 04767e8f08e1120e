//! Turns: how many may do something at once. The others wait in the order they came.

use holdfast_telemetry::{Gauge, UnderWay};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most turns there can be; what a semaphore can count is more.
const TURNS_MAX: usize = 1 << 30;

/// A fair limit that a reload may change.
#[derive(Debug)]
pub struct Turns {
    /// First come, first served: nobody overtakes who waits.
    places: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    max: usize,
    /// Turns under way beyond `max` since it became smaller: so many are not given on.
    beyond: usize,
}

/// The right to go on. Dropping it passes it to whoever waits longest.
#[must_use]
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    place: Option<OwnedSemaphorePermit>,
    waited: bool,
}

impl Turns {
    /// At most `max` at once; 0 counts as 1.
    pub fn new(max: usize) -> Arc<Self> {
        let max = max.clamp(1, TURNS_MAX);
        Arc::new(Self { places: Arc::new(Semaphore::new(max)), size: Mutex::new(Size { max, beyond: 0 }) })
    }

    /// At most `max` from now on. Turns under way go on; after a smaller limit none begins until there are fewer than that.
    pub fn set(&self, max: usize) {
        let max = max.clamp(1, TURNS_MAX);
        let mut size = self.size.lock();
        if max > size.max {
            let more = max - size.max;
            let settled = more.min(size.beyond);
            size.beyond -= settled;
            self.places.add_permits(more - settled);
        } else {
            let fewer = size.max - max;
            size.beyond += fewer - self.places.forget_permits(fewer);
        }
        size.max = max;
    }

    /// Waits for a turn; `waiting` counts those who do. Cancel safe: who leaves takes nothing along. The caller sets the deadline.
    pub async fn take(self: &Arc<Self>, waiting: &Gauge) -> Turn {
        let places = Arc::clone(&self.places);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Turn { turns: Arc::clone(self), place: Some(place), waited: false };
        }
        let _counted = UnderWay::new(waiting);
        // Never closed, so it ends with a place.
        let place = places.acquire_owned().await.ok();
        Turn { turns: Arc::clone(self), place, waited: true }
    }
}

impl Turn {
    /// Whether it had to be waited for.
    pub fn waited(&self) -> bool {
        self.waited
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut size = self.turns.size.lock();
        // Given back under the lock: a smaller limit must not miss it.
        match self.place.take() {
            Some(place) if size.beyond > 0 => {
                size.beyond -= 1;
                place.forget();
            }
            place => drop(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_telemetry::{EdgeMetrics, Registry};
    use proptest::prelude::*;
    use std::{
        collections::{BTreeMap, VecDeque},
        future::Future,
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    type Taking = Pin<Box<dyn Future<Output = Turn>>>;

    fn metrics() -> Arc<EdgeMetrics> {
        Arc::new(EdgeMetrics::new(&Registry::new(&BTreeMap::new()).unwrap(), "t"))
    }

    fn taking(turns: &Arc<Turns>, metrics: &Arc<EdgeMetrics>) -> Taking {
        let (turns, metrics) = (Arc::clone(turns), Arc::clone(metrics));
        Box::pin(async move { turns.take(&metrics.handshakes_waiting).await })
    }

    fn poll(taking: &mut Taking) -> Option<Turn> {
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_longest_is_next_and_who_leaves_is_passed_over() {
        let (turns, metrics) = (Turns::new(1), metrics());
        let held = poll(&mut taking(&turns, &metrics)).unwrap();
        assert!(!held.waited());
        let (mut first, mut second, mut third) =
            (taking(&turns, &metrics), taking(&turns, &metrics), taking(&turns, &metrics));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none() && poll(&mut third).is_none());
        assert_eq!(metrics.handshakes_waiting.get(), 3);
        drop(second);
        drop(held);
        assert!(poll(&mut third).is_none(), "nobody overtakes");
        let turn = poll(&mut first).unwrap();
        assert!(turn.waited() && poll(&mut third).is_none());
        drop(turn);
        drop(poll(&mut third).unwrap());
        assert_eq!(metrics.handshakes_waiting.get(), 0);
    }

    proptest! {
        /// Against a queue that is written down: who is under way and who waits is the same after every step.
        #[test]
        fn the_limit_holds_in_order_whatever_a_reload_makes_of_it(
            max in 1usize..5,
            steps in proptest::collection::vec((0u8..4, 0usize..6), 0..80),
        ) {
            let (turns, metrics) = (Turns::new(max), metrics());
            let mut max = max;
            let mut under_way: Vec<Turn> = Vec::new();
            let mut waiting: VecDeque<Taking> = VecDeque::new();
            for (step, number) in steps {
                match step {
                    0 => {
                        let mut new = taking(&turns, &metrics);
                        match poll(&mut new) {
                            Some(turn) => {
                                prop_assert!(under_way.len() < max && waiting.is_empty());
                                under_way.push(turn);
                            }
                            None => waiting.push_back(new),
                        }
                    }
                    1 if number < under_way.len() => drop(under_way.swap_remove(number)),
                    2 if number < waiting.len() => drop(waiting.remove(number)),
                    3 => {
                        max = number.max(1);
                        turns.set(number);
                    }
                    _ => {}
                }
                // From the back: one that was passed over would show itself.
                let expected = max.saturating_sub(under_way.len()).min(waiting.len());
                for at in (expected..waiting.len()).rev() {
                    prop_assert!(poll(&mut waiting[at]).is_none(), "one too many or out of order");
                }
                for _ in 0..expected {
                    let mut first = waiting.pop_front().unwrap();
                    let turn = poll(&mut first);
                    prop_assert!(turn.is_some(), "a place is free and the first waits");
                    under_way.extend(turn);
                }
                prop_assert_eq!(metrics.handshakes_waiting.get(), i64::try_from(waiting.len()).unwrap());
            }
        }
    }
}
