//! Who hears of readers.

/// Told of readers that come and go, and of those that a log has overtaken. Called on the reader's thread.
pub trait LogObserver: Send + Sync {
    /// A reader was made to skip `missed` frames. Where no key frame is kept it is told again, of those that it skips until the next one.
    fn lagged(&self, missed: u64);
    /// A reader has missed more than it may (`missed` frames in all) and reads nothing any more.
    fn evicted(&self, missed: u64);
    /// Somebody watches from now on; `protocol` is how: `hls`, `python`. See [`crate::Viewer`].
    fn joined(&self, _protocol: &str) {}
    /// Somebody does not watch any more.
    fn left(&self, _protocol: &str) {}
}

/// Nobody.
impl LogObserver for () {
    fn lagged(&self, _: u64) {}
    fn evicted(&self, _: u64) {}
}
