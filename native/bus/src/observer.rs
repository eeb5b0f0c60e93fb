//! Who hears of slow readers.

/// Told of readers that a log has overtaken. Called on the reader's thread, when it next reads.
pub trait LogObserver: Send + Sync {
    /// A reader was made to skip `missed` frames.
    fn lagged(&self, missed: u64);
    /// A reader has missed more than it may (`missed` frames in all) and reads nothing any more.
    fn evicted(&self, missed: u64);
}

/// Nobody.
impl LogObserver for () {
    fn lagged(&self, _: u64) {}
    fn evicted(&self, _: u64) {}
}
