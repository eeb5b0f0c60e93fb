//! Who watches a stream, for counting and for its events.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use crate::Log;

/// Somebody watches a stream: counted in [`crate::Counters::viewers`] as long as this lives, and told to the observer when it
/// comes and goes. Independent of a [`crate::Subscription`]: one subscription may feed a thousand viewers.
pub struct Viewer {
    log: Arc<Log>,
    protocol: Cow<'static, str>,
}

impl Viewer {
    pub(crate) fn new(log: Arc<Log>, protocol: Cow<'static, str>) -> Self {
        log.totals.joins();
        log.observer.joined(&protocol);
        Self { log, protocol }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.log.totals.viewers.fetch_sub(1, Relaxed);
        self.log.observer.left(&self.protocol);
    }
}
