//! Round-trip time (SRT §4.10).

/// Smoothed as the draft says, but for the first sample, which replaces the guess of 100 ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rtt {
    pub(super) smoothed_us: u64,
    pub(super) variance_us: u64,
    has_sample: bool,
}

impl Default for Rtt {
    fn default() -> Self {
        Self { smoothed_us: 100_000, variance_us: 50_000, has_sample: false }
    }
}

/// More is no round trip: a peer that keeps acknowledgements back must not stop us from asking for what is lost.
const MAX_US: u64 = 10_000_000;

impl Rtt {
    pub(super) fn sample(&mut self, rtt_us: u64) {
        let rtt_us = rtt_us.min(MAX_US);
        if std::mem::replace(&mut self.has_sample, true) {
            self.variance_us = (3 * self.variance_us + self.smoothed_us.abs_diff(rtt_us)) / 4;
            self.smoothed_us = (7 * self.smoothed_us + rtt_us) / 8;
        } else {
            (self.smoothed_us, self.variance_us) = (rtt_us, rtt_us / 2);
        }
    }

    /// Between two periodic loss reports (SRT §5.1.2).
    pub(super) fn nak_interval_us(&self) -> u64 {
        ((self.smoothed_us + 4 * self.variance_us) / 2).max(20_000)
    }

    /// Within what an answer is there nearly always.
    pub(super) fn patience_us(&self) -> u64 {
        self.smoothed_us + 4 * self.variance_us
    }

    /// For so long after a retransmission a further loss report of the same packet says nothing new: it was sent before that could arrive.
    pub(super) fn repeat_us(&self) -> u64 {
        (self.smoothed_us / 2).max(self.smoothed_us.saturating_sub(4 * self.variance_us))
    }
}
