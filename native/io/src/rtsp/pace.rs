//! How fast somebody who joins is sent what is there already, by UDP: no faster than its receive buffer is emptied.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Bytes that are sent at once, and how often so many: 65 Mbit/s. Half of the receive buffer that Linux gives by itself, counted as it counts it.
pub(super) const BURST_BYTES: usize = 32 << 10;
pub(super) const BURST_EVERY: Duration = Duration::from_millis(4);

/// What was sent of a burst.
pub(super) struct Pace {
    begun: Instant,
    bytes: usize,
}

impl Pace {
    /// Nothing was sent yet.
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), bytes: 0 }
    }

    /// So much was sent.
    pub(super) fn count(&mut self, bytes: usize) {
        if self.begun.elapsed() >= BURST_EVERY {
            (self.begun, self.bytes) = (Instant::now(), 0);
        }
        self.bytes += bytes;
    }

    /// When more may be sent; none: at once.
    pub(super) fn waits(&self) -> Option<Instant> {
        Some(self.next()).filter(|at| self.bytes >= BURST_BYTES && *at > Instant::now())
    }

    /// When the next burst begins.
    pub(super) fn next(&self) -> Instant {
        self.begun + BURST_EVERY
    }

    /// Waits until more may be sent.
    pub(super) async fn ready(&self) {
        if let Some(at) = self.waits() {
            sleep_until(at).await;
        }
    }
}
