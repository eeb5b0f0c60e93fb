//! A waker for a task that does other things too.

use std::{sync::Arc, task::Wake};

use tokio::sync::Notify;

/// Wakes a task from any thread; rung while nobody waits, it is heard by the next who does.
#[derive(Default)]
pub(crate) struct Bell(Notify);

impl Bell {
    /// Rings.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until it rings, or has rung since the last call. Nothing is lost when the future is dropped.
    pub(crate) async fn heard(&self) {
        self.0.notified().await;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}
