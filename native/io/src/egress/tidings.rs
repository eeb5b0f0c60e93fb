//! Whether some viewer of a pump has news.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// Somebody has said something to a viewer of this pump, or wants it gone. Asked once a pass: the flags of each viewer lie where nothing else of a
/// pass does, and to fetch them costs as much as all the rest that we do for it.
#[derive(Default)]
pub(super) struct Tidings(AtomicBool);

impl Tidings {
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// Whether there were some since the last time.
    pub(super) fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Acquire)
    }
}

impl Wake for Tidings {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
