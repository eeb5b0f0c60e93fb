//! When a packet is delivered (SRT §4.5), on a clock that follows the sender's (SRT §4.7).

use super::number::unroll_time;

/// Samples of drift that are averaged: ten seconds of acknowledgements.
const DRIFT_SAMPLES: u32 = 1000;
/// What is corrected in one step: a path that has become longer is no clock that drifts, and comes back.
const DRIFT_STEP_US: i64 = 5_000;
/// A packet waits for at most so long more than the delay, whatever its timestamp says: a sender whose clock jumps must not stop the
/// stream for half an hour. It is more than a handshake is delayed against the data behind it.
const AHEAD_MAX_US: u64 = 1_000_000;

/// The sender's time as ours.
#[derive(Debug)]
pub(super) struct Tsbpd {
    /// Our time at the sender's time 0.
    base_us: i64,
    pub(super) delay_us: u64,
    first_rtt_us: Option<u64>,
    drift_sum_us: i64,
    drift_count: u32,
}

impl Tsbpd {
    /// `timestamp` came with the handshake at `now_us` (SRT §4.5.1.1).
    pub(super) fn new(now_us: u64, timestamp: u32, delay_us: u64) -> Self {
        let base_us = now_us.cast_signed().saturating_sub(i64::from(timestamp));
        Self { base_us, delay_us, first_rtt_us: None, drift_sum_us: 0, drift_count: 0 }
    }

    /// When a packet that comes at `now_us` is due.
    pub(super) fn due_us(&self, now_us: u64, timestamp: u32) -> u64 {
        let time_us = self.sender_us(now_us, timestamp);
        (self.local_us(time_us) + self.delay_us).min(now_us + self.delay_us + AHEAD_MAX_US)
    }

    /// A timestamp that comes at `now_us`, unrolled. Nearest to now, not to the last one: there may have been none for days.
    fn sender_us(&self, now_us: u64, timestamp: u32) -> u64 {
        let expected_us = now_us.cast_signed().saturating_sub(self.base_us).max(0);
        unroll_time(expected_us.cast_unsigned(), timestamp)
    }

    fn local_us(&self, time_us: u64) -> u64 {
        u64::try_from(self.base_us.saturating_add(time_us.cast_signed())).unwrap_or(0)
    }

    /// A control packet of the sender that left at `timestamp` has come; the round trip is known then.
    pub(super) fn sample(&mut self, now_us: u64, timestamp: u32, rtt_us: u64) {
        let time_us = self.sender_us(now_us, timestamp);
        let first_rtt_us = *self.first_rtt_us.get_or_insert(rtt_us);
        // A longer way shows as half a longer round trip.
        let way_us = (rtt_us.cast_signed() - first_rtt_us.cast_signed()) / 2;
        let sample_us = now_us.cast_signed() - self.base_us.saturating_add(time_us.cast_signed()) - way_us;
        if sample_us.unsigned_abs() > 10 * AHEAD_MAX_US {
            return; // That is no drift.
        }
        self.drift_sum_us += sample_us;
        self.drift_count += 1;
        if self.drift_count == DRIFT_SAMPLES {
            let drift_us = self.drift_sum_us / i64::from(DRIFT_SAMPLES);
            self.base_us += drift_us.clamp(-DRIFT_STEP_US, DRIFT_STEP_US);
            (self.drift_sum_us, self.drift_count) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour with a sender whose clock is 200 ppm fast, over a path that takes 20 ms.
    #[test]
    fn the_clock_follows_a_sender_that_drifts() {
        let mut tsbpd = Tsbpd::new(20_000, 0, 120_000);
        let sender = |ours_us: u64| (ours_us as f64 * 1.0002) as u64;
        for tick in 1..360_000_u64 {
            let sent_us = tick * 10_000;
            let now_us = sent_us + 20_000;
            let due_us = tsbpd.due_us(now_us, sender(sent_us) as u32);
            let wait_us = due_us.cast_signed() - now_us.cast_signed();
            assert!((wait_us - 120_000).abs() < 8_000, "at {now_us}: waits {wait_us}");
            tsbpd.sample(now_us, sender(sent_us) as u32, 40_000);
        }
    }

    #[test]
    fn times_go_on_over_the_wrap_of_timestamps() {
        let tsbpd = Tsbpd::new(1_000_000, 0xffff_0000, 120_000);
        assert_eq!(tsbpd.due_us(1_000_000, 0xffff_0000), 1_120_000);
        assert_eq!(tsbpd.due_us(1_065_636, 100), 1_120_000 + 0x1_0000 + 100);
        assert_eq!(tsbpd.due_us(1_065_640, 0xffff_0001), 1_120_001, "an old one is still old");
    }

    /// The point by which timestamps are unrolled moved with data alone: behind 36 minutes without any, all was due at once.
    #[test]
    fn a_link_that_was_silent_for_long_has_its_latency_still() {
        for silence_us in [2_400_000_000, 4_300_000_000, 9 * 86_400_000_000_u64] {
            let tsbpd = Tsbpd::new(0, 0, 120_000);
            assert_eq!(tsbpd.due_us(silence_us, silence_us as u32), silence_us + 120_000);
            assert_eq!(tsbpd.due_us(silence_us + 30_000, silence_us as u32 + 10_000), silence_us + 130_000);
        }
    }

    #[test]
    fn drift_is_measured_behind_a_long_silence_too() {
        let mut tsbpd = Tsbpd::new(0, 0, 120_000);
        let begin_us = 3 * 86_400_000_000_u64;
        for tick in 0..u64::from(DRIFT_SAMPLES) {
            let now_us = begin_us + tick * 10_000;
            tsbpd.sample(now_us, (now_us - 2_000) as u32, 0);
        }
        assert_eq!(tsbpd.due_us(begin_us, begin_us as u32), begin_us + 122_000);
    }

    #[test]
    fn a_wild_timestamp_waits_for_a_second_and_moves_nothing() {
        let tsbpd = Tsbpd::new(0, 0, 120_000);
        assert_eq!(tsbpd.due_us(10_000, 0x7000_0000), 10_000 + 120_000 + AHEAD_MAX_US);
        assert_eq!(tsbpd.due_us(10_000, 10_000), 130_000);
    }
}
