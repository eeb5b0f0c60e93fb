//! How fast somebody who joins is sent what is there already, by UDP: no faster than its receive buffer is emptied.

use std::time::Duration;

use arcly_wire::rtsp::FRAME_HEADER_BYTES;
use tokio::time::{Instant, sleep_until};

use super::channels::split;

/// Bytes that are sent at once, and how often so many: 65 Mbit/s. Half of the receive buffer that Linux gives by itself, counted as it counts it.
pub(super) const BURST_BYTES: usize = 32 << 10;
pub(super) const BURST_EVERY: Duration = Duration::from_millis(4);

/// What was sent of a burst. What was more than it has to be made up for by the next ones.
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
        self.count_at(Instant::now(), bytes);
    }

    /// The first of these packets, as the log has them, that may be sent now; they count as sent. At least one.
    pub(super) fn part<'a>(&mut self, packets: &'a [u8]) -> &'a [u8] {
        let mut taken = 0;
        for (_, packet) in split(packets) {
            taken += FRAME_HEADER_BYTES + packet.len();
            self.count(packet.len());
            if self.is_spent() {
                return packets.get(..taken).unwrap_or_default();
            }
        }
        packets
    }

    fn count_at(&mut self, now: Instant, bytes: usize) {
        let bursts = now.saturating_duration_since(self.begun).as_nanos() / BURST_EVERY.as_nanos();
        let bursts = u32::try_from(bursts).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_sub(BURST_BYTES.saturating_mul(bursts as usize));
        // Behind a silence nothing is owed, and nothing saved up.
        self.begun = if self.bytes == 0 { now } else { self.begun + BURST_EVERY * bursts };
        self.bytes += bytes;
    }

    /// Whether no more may be sent now.
    pub(super) fn is_spent(&self) -> bool {
        self.waits().is_some()
    }

    /// When more may be sent; none: at once.
    pub(super) fn waits(&self) -> Option<Instant> {
        Some(self.next()).filter(|at| self.bytes >= BURST_BYTES && *at > Instant::now())
    }

    /// When the next burst begins.
    pub(super) fn next(&self) -> Instant {
        let bursts = u32::try_from(self.bytes / BURST_BYTES).unwrap_or(u32::MAX);
        self.begun + BURST_EVERY * bursts.max(1)
    }

    /// Waits until more may be sent.
    pub(super) async fn ready(&self) {
        if let Some(at) = self.waits() {
            sleep_until(at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by reading: a push gave a whole picture to the system at once, and most of a large one was lost.
    #[tokio::test(start_paused = true)]
    async fn a_large_picture_goes_in_parts() {
        let packet = [&b"$\0\x04\0"[..], &[0; 1024]].concat();
        let (mut pace, packets) = (Pace::new(), packet.repeat(100));
        let mut rest = packets.as_slice();
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let part = pace.part(rest);
            parts.push(part.len() / packet.len());
            rest = &rest[part.len()..];
            pace.ready().await;
        }
        assert_eq!(parts, [32, 32, 32, 4]);
    }

    /// Found by reading: a picture of a megabyte was sent at once, and the next burst four milliseconds later.
    #[test]
    fn what_was_sent_too_early_is_made_up_for() {
        let mut pace = Pace::new();
        let begun = pace.begun;
        pace.count_at(begun, 10 * BURST_BYTES);
        assert_eq!(pace.next(), begun + 10 * BURST_EVERY);
        pace.count_at(begun + 3 * BURST_EVERY, 1);
        assert_eq!((pace.begun, pace.bytes), (begun + 3 * BURST_EVERY, 7 * BURST_BYTES + 1));
        let late = begun + 100 * BURST_EVERY;
        pace.count_at(late, 5);
        assert_eq!((pace.begun, pace.bytes), (late, 5), "a silence saves nothing up");
        assert!(!pace.is_spent());
    }
}
