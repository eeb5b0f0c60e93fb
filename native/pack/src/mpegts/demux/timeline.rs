//! 33-bit times of all streams of a program to one timeline without end.

use super::super::TIME_BITS;

/// Times are held within ±2^61 of 90 kHz, far beyond any real one, so that sums of a few cannot overflow. A peer that
/// jumps ahead by the most that 33 bits can say would get there in 2^28 jumps.
const LATEST_90K: i64 = 1 << 61;

/// The most that a picture is shown behind its decoding. The standard's decoder holds nothing longer than 1 s, still
/// pictures a minute (§2.4.2.6); a DTS that is further off is not believed.
const MAX_DELAY_90K: i64 = 10 * 90_000;

/// Unrolls times. All streams of a program share one, so that a wrap reaches all of them as one.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    newest_90k: Option<i64>,
}

/// Times of a PES packet on the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) pts_90k: i64,
    pub(super) dts_90k: i64,
}

impl Timeline {
    /// The times that 33-bit `pts` and `dts` mean. Without a DTS it is the PTS (§2.4.3.7).
    pub(super) fn unroll(&mut self, pts: i64, dts: Option<i64>) -> Times {
        let delay_90k = dts.map_or(0, |dts| signed(pts - dts));
        // Only the DTS of a stream is in order; but one that has nothing to do with the PTS is none.
        let is_sane = (-MAX_DELAY_90K..=MAX_DELAY_90K).contains(&delay_90k);
        let delay_90k = if is_sane { delay_90k } else { 0 };
        let dts_90k = self.nearest(pts - delay_90k);
        self.newest_90k = Some(dts_90k);
        Times { pts_90k: dts_90k + delay_90k, dts_90k }
    }

    /// The time nearest to the newest one that `time` can mean; it does not become the newest.
    pub(super) fn nearest(&self, time: i64) -> i64 {
        let time = time & ((1 << TIME_BITS) - 1);
        let unrolled = self.newest_90k.map_or(time, |newest| newest + signed(time - newest));
        unrolled.clamp(-LATEST_90K, LATEST_90K)
    }

    /// The newest decoding time of whatever stream.
    pub(super) fn newest_90k(&self) -> Option<i64> {
        self.newest_90k
    }
}

/// A difference modulo 2^33, of the two the one that is nearer to 0.
pub(super) fn signed(difference: i64) -> i64 {
    const UNUSED_BITS: u32 = 64 - TIME_BITS;
    difference << UNUSED_BITS >> UNUSED_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAP: i64 = 1 << TIME_BITS;

    #[test]
    fn two_days_of_frames_go_on_through_every_wrap() {
        let mut timeline = Timeline::default();
        for index in 0..2 * 24 * 3600 * 25 {
            let (pts, dts) = (index * 3_600 + 7_200, index * 3_600);
            let times = timeline.unroll(pts % WRAP, Some(dts % WRAP));
            assert_eq!(times, Times { pts_90k: pts, dts_90k: dts });
        }
    }

    #[test]
    fn a_stream_that_is_behind_the_wrap_stays_on_the_timeline() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.unroll(WRAP - 100, None).dts_90k, WRAP - 100);
        assert_eq!(timeline.unroll(50, None).dts_90k, WRAP + 50);
        assert_eq!(timeline.unroll(WRAP - 20, None).dts_90k, WRAP - 20);
        assert_eq!(timeline.unroll(100, Some(WRAP - 10)), Times { pts_90k: WRAP + 100, dts_90k: WRAP - 10 });
    }

    #[test]
    fn far_dts_is_not_believed_and_far_jumps_end_at_the_bound() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.unroll(1000, Some(5_000_000_000)), Times { pts_90k: 1000, dts_90k: 1000 });
        timeline.newest_90k = Some(LATEST_90K - 5);
        assert_eq!(timeline.unroll((LATEST_90K + 100) % WRAP, None).dts_90k, LATEST_90K);
        assert_eq!(timeline.unroll((LATEST_90K + 100) % WRAP, Some(0)).dts_90k, LATEST_90K);
    }
}
