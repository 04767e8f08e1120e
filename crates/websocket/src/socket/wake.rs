//! A stream remembers one task that waits to write; two halves may wait. So it is given a waker that wakes both.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    task::{Wake, Waker},
};

/// Who may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Reader,
    Writer,
}

impl Half {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Reader => Self::Writer,
            Self::Writer => Self::Reader,
        }
    }
}

/// Both who wait for the stream to take bytes.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<[Option<Waker>; 2]>);

impl Waiting {
    /// This half waits.
    pub(super) fn register(&self, half: Half, waker: &Waker) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut slots[half as usize];
        match slot {
            Some(old) => old.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    /// Wakes one half, if it waits.
    pub(super) fn wake_half(&self, half: Half) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner)[half as usize].take();
        if let Some(waker) = taken {
            waker.wake();
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Not under the lock: a task may run at once.
        let taken = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        taken.into_iter().flatten().for_each(Waker::wake);
    }
}
