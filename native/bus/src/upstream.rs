//! What readers ask of a publisher.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

/// The way from readers to the publisher of a log. Never touched where frames flow.
#[derive(Default)]
pub(crate) struct Upstream {
    keyframe_requested: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Upstream {
    pub(crate) fn listen(&self, waker: Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// Many requests before the publisher looks are one.
    pub(crate) fn request_keyframe(&self) {
        if !self.keyframe_requested.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    pub(crate) fn take_keyframe_request(&self) -> bool {
        self.keyframe_requested.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Outside of the lock: the woken may listen anew.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
