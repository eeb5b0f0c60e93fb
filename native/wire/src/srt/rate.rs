//! Rates: what comes in, what goes out, what a link could carry, and the pace of sending.

/// A rate of bytes and packets, measured over windows of half a second and smoothed a little.
#[derive(Debug, Default)]
pub(super) struct Meter {
    since_us: u64,
    bytes: u64,
    packets: u64,
    pub(super) bytes_per_second: u64,
    pub(super) packets_per_second: u64,
}

const WINDOW_US: u64 = 500_000;

impl Meter {
    pub(super) fn count(&mut self, now_us: u64, bytes: usize) {
        self.look(now_us);
        self.bytes += bytes as u64;
        self.packets += 1;
    }

    /// Closes the window when it is over.
    pub(super) fn look(&mut self, now_us: u64) {
        let passed_us = now_us.saturating_sub(self.since_us);
        if passed_us < WINDOW_US {
            return;
        }
        let per_second = |count: u64| (u128::from(count) * 1_000_000 / u128::from(passed_us)) as u64;
        let smooth = |old: u64, new: u64| if old == 0 || passed_us >= 4 * WINDOW_US { new } else { (old + new) / 2 };
        self.bytes_per_second = smooth(self.bytes_per_second, per_second(self.bytes));
        self.packets_per_second = smooth(self.packets_per_second, per_second(self.packets));
        (self.since_us, self.bytes, self.packets) = (now_us, 0, 0);
    }
}

/// Pairs of packets that were sent back to back: their distance is what the narrowest link takes for one (SRT §5.2.1.3).
#[derive(Debug, Default)]
pub(super) struct LinkProbe {
    first: Option<(u64, u64)>,
    interval_us: u64,
}

/// Every 16th packet is the first of a pair, as peers of this protocol agree.
const PROBE_EVERY: u64 = 16;

impl LinkProbe {
    pub(super) fn packet(&mut self, now_us: u64, sequence: u64, is_retransmitted: bool) {
        if is_retransmitted {
            return;
        }
        if sequence.is_multiple_of(PROBE_EVERY) {
            self.first = Some((sequence, now_us));
        } else if let Some((_, at_us)) = self.first.take_if(|(first, _)| *first + 1 == sequence) {
            let interval_us = now_us.saturating_sub(at_us).max(1);
            self.interval_us =
                if self.interval_us == 0 { interval_us } else { (7 * self.interval_us + interval_us) / 8 };
        }
    }

    /// Packets per second that the link could carry; 0 while nothing is known.
    pub(super) fn packets_per_second(&self) -> u64 {
        1_000_000_u64.checked_div(self.interval_us).unwrap_or(0)
    }
}

/// How fast a sender may be (SRT §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bandwidth {
    /// Bytes per second in all. The draft's default is 1 Gbit/s.
    Fixed(u64),
    /// What the source is said to give, in bytes per second, and the overhead.
    Input(u64),
    /// What the source is measured to give, and the overhead.
    Estimated,
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self::Fixed(125_000_000)
    }
}

/// Headers of UDP and IPv4, which count as sent.
const LOWER_HEADERS_BYTES: u64 = 28;
/// What may leave at once after a pause: timers are no finer, and a picture is several packets.
const BURST_US: u64 = 2_000;

/// When the next packet may leave.
#[derive(Debug)]
pub(super) struct Pacer {
    bandwidth: Bandwidth,
    overhead_percent: u64,
    pub(super) next_us: u64,
}

impl Pacer {
    pub(super) fn new(bandwidth: Bandwidth, overhead_percent: u32) -> Self {
        Self { bandwidth, overhead_percent: u64::from(overhead_percent), next_us: 0 }
    }

    /// Bytes per second; none where nothing is known yet.
    pub(super) fn max(&self, input: &Meter) -> Option<u64> {
        let with_overhead = |bytes: u64| bytes.saturating_mul(100 + self.overhead_percent) / 100;
        let max = match self.bandwidth {
            Bandwidth::Fixed(bytes) => bytes,
            Bandwidth::Input(bytes) => with_overhead(bytes),
            Bandwidth::Estimated => with_overhead(input.bytes_per_second),
        };
        (max > 0).then_some(max)
    }

    /// A packet leaves.
    pub(super) fn sent(&mut self, now_us: u64, bytes: usize, max: Option<u64>) {
        let Some(max) = max else { return };
        let period_us = (bytes as u64 + LOWER_HEADERS_BYTES) * 1_000_000 / max;
        self.next_us = self.next_us.max(now_us.saturating_sub(BURST_US)) + period_us;
    }
}
