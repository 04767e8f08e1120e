//! The cap on connections of one endpoint, over all workers, and the bounded queue before it.
//!
//! A slot is held by the socket itself and given back when the socket is closed, so the server never sees more than
//! `max_size` connections. Who waits gets either a slot or, sooner, a connection that somebody else is done with.

use crate::connection::Connection;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::oneshot;

/// The cap of one endpoint.
pub(crate) struct Slots {
    max: usize,
    waiting_max: usize,
    open: AtomicUsize,
    /// Length of the queue, readable without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    next: u64,
    waiters: VecDeque<(u64, oneshot::Sender<Grant>)>,
}

/// The right to have one connection open. Dropping it passes the right on.
pub(crate) struct Slot(Arc<Slots>);

/// What ends a wait.
pub(crate) enum Grant {
    Slot(Slot),
    Connection(Connection),
}

/// A place in the queue. Dropping it leaves the queue; a grant that came at the same moment passes on.
pub(crate) struct Waiting {
    slots: Arc<Slots>,
    id: u64,
    receiver: oneshot::Receiver<Grant>,
}

/// `max_waiting` was reached.
#[derive(Debug)]
pub(crate) struct QueueFull;

impl Slots {
    pub(crate) fn new(max: usize, waiting_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            waiting_max,
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        })
    }

    /// A slot, unless the cap is reached or others wait already.
    pub(crate) fn acquire(self: &Arc<Self>) -> Option<Slot> {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.take()
    }

    fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |open| (open < self.max).then_some(open + 1);
        self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Slot(Arc::clone(self)))
    }

    /// Joins the queue. Look for an idle connection again afterwards: one may have come back in between.
    pub(crate) fn wait(self: &Arc<Self>) -> Result<Waiting, QueueFull> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.queue.lock();
        if queue.waiters.len() >= self.waiting_max {
            return Err(QueueFull);
        }
        queue.next += 1;
        let id = queue.next;
        queue.waiters.push_back((id, sender));
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        drop(queue);
        // A slot given back just before we were seen in the queue has woken nobody.
        self.pass_on();
        Ok(Waiting { slots: Arc::clone(self), id, receiver })
    }

    /// Gives free slots to those who wait longest.
    fn pass_on(self: &Arc<Self>) {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            let Some(slot) = self.take() else { return };
            if self.offer(Grant::Slot(slot)).is_err() {
                return;
            }
        }
    }

    /// Hands something to the first in the queue, or gives it back when nobody waits.
    pub(crate) fn offer(&self, mut grant: Grant) -> Result<(), Grant> {
        loop {
            let waiter = {
                let mut queue = self.queue.lock();
                let waiter = queue.waiters.pop_front();
                self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
                waiter
            };
            let Some((_, sender)) = waiter else {
                // The slot must not try to pass itself on from here: nobody is left.
                return Err(grant);
            };
            match sender.send(grant) {
                Ok(()) => return Ok(()),
                Err(unwanted) => grant = unwanted,
            }
        }
    }

    pub(crate) fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Connections open or being opened.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.pass_on();
    }
}

impl Waiting {
    pub(crate) async fn granted(&mut self) -> Option<Grant> {
        (&mut self.receiver).await.ok()
    }
}

impl Waiting {
    /// Leaves the queue, with what was granted at the same moment.
    pub(crate) fn leave(&mut self) -> Option<Grant> {
        let mut queue = self.slots.queue.lock();
        queue.waiters.retain(|(id, _)| *id != self.id);
        self.slots.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        drop(queue);
        self.receiver.try_recv().ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_given_back_goes_to_who_waits_longest() {
        let slots = Slots::new(1, 2);
        let held = slots.acquire().unwrap();
        assert!(slots.acquire().is_none());
        let mut first = slots.wait().unwrap();
        let mut second = slots.wait().unwrap();
        assert!(slots.wait().is_err(), "the queue is bounded");
        drop(held);
        let Some(Grant::Slot(slot)) = first.granted().await else { panic!("no slot") };
        assert_eq!((slots.open(), slots.waiting()), (1, 1));
        drop(slot);
        assert!(matches!(second.granted().await, Some(Grant::Slot(_))));
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_no_slot_with_it() {
        let slots = Slots::new(1, 8);
        let held = slots.acquire().unwrap();
        let waiting: Vec<_> = (0..4).map(|_| slots.wait().unwrap()).collect();
        drop(held);
        assert_eq!(slots.open(), 1, "granted to the first, who has not looked yet");
        drop(waiting);
        assert_eq!((slots.open(), slots.waiting()), (0, 0));
        assert!(slots.acquire().is_some());
    }

    #[test]
    fn slots_are_conserved_between_threads() {
        let slots = Slots::new(3, 64);
        let peak = AtomicUsize::new(0);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let (slots, peak, inside) = (&slots, &peak, &inside);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let mut rng = fastrand::Rng::with_seed(seed);
                    for _ in 0..2_000 {
                        let slot = slots.acquire().or_else(|| {
                            let mut waiting = slots.wait().ok()?;
                            if rng.u8(..4) == 0 {
                                return None; // leaves the queue again
                            }
                            match runtime.block_on(waiting.granted()) {
                                Some(Grant::Slot(slot)) => Some(slot),
                                _ => None,
                            }
                        });
                        if slot.is_some() {
                            peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                        drop(slot);
                    }
                });
            }
        });
        assert!(peak.load(Ordering::SeqCst) <= 3);
        assert_eq!((slots.open(), slots.waiting()), (0, 0));
    }
}
