//! What other threads call the port for: streams that have more, publishers of whom something is wanted.

use std::{
    sync::{Arc, Mutex},
    task::Wake,
};

use tokio::sync::Notify;

use super::{FeedKey, PeerNumber};
use crate::lock;

/// What another thread calls the port for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// A stream has more.
    Feed(FeedKey),
    /// Somebody asks for a key frame, or has ended the stream.
    Publisher(PeerNumber),
}

/// What the port was called for.
#[derive(Default)]
pub(super) struct Calls {
    waiting: Mutex<Vec<Call>>,
    pub(super) bell: Notify,
}

impl Calls {
    pub(super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.waiting))
    }
}

/// Calls the port for one thing.
pub(super) struct Ring {
    pub(super) calls: Arc<Calls>,
    pub(super) call: Call,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        let mut waiting = lock(&self.calls.waiting);
        // Each stream and each session is in it once, so it is bounded by them.
        if !waiting.contains(&self.call) {
            waiting.push(self.call);
        }
        drop(waiting);
        self.calls.bell.notify_one();
    }
}
