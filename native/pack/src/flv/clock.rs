//! The clocks of FLV: 32-bit milliseconds to a timeline without end, and audio back onto the grid of its samples.

use super::error::FlvError;

/// How far a timeline may go from where it began: 2^40 ms, 34 years. Each jump that 32 bits can say is less than 25 days,
/// but a peer can repeat it; the bound keeps ticks of every clock rate far from the end of their 64 bits.
pub const MAX_TIMELINE_MS: u64 = 1 << 40;

/// Unrolls 32-bit timestamps. Audio and video share one, so that a wrap reaches both as one.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    last_ms: Option<i64>,
}

impl Timeline {
    /// The time that `timestamp_ms` means: the one that is nearest to the last. Thus a step back of more than 2^31 is
    /// a wrap, and a smaller one is a step back.
    pub fn unroll(&mut self, timestamp_ms: u32) -> Result<i64, FlvError> {
        let now_ms = match self.last_ms {
            None => i64::from(timestamp_ms),
            // The low 32 bits of the last time are the last timestamp; the difference is taken modulo 2^32, signed.
            Some(last_ms) => last_ms + i64::from(timestamp_ms.wrapping_sub(last_ms as u32) as i32),
        };
        check_bounds(now_ms)?;
        self.last_ms = Some(now_ms);
        Ok(now_ms)
    }
}

fn check_bounds(ms: i64) -> Result<(), FlvError> {
    if ms.unsigned_abs() <= MAX_TIMELINE_MS {
        return Ok(());
    }
    let (max, seen) = (usize::try_from(MAX_TIMELINE_MS), usize::try_from(ms.unsigned_abs()));
    let (max, seen) = (max.unwrap_or(usize::MAX), seen.unwrap_or(usize::MAX));
    Err(FlvError::LimitExceeded { limit: "milliseconds of the timeline", max, seen })
}

/// A time on the timeline: milliseconds, and what the sender said below them (`TimestampOffsetNano`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub ms: i64,
    pub offset_ns: u32,
}

impl Moment {
    /// In ticks of `rate_hz`, rounded to the nearest.
    pub fn ticks(self, rate_hz: u32) -> i64 {
        let ns = i128::from(self.ms) * 1_000_000 + i128::from(self.offset_ns);
        let ticks = (ns * i128::from(rate_hz) + 500_000_000).div_euclid(1_000_000_000);
        // 2^41 ms of the fastest clock are far from the end of 64 bits.
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }
}

/// How far the wire may be from the grid: its milliseconds are rounded, up or down, and so was the one at which the grid
/// began.
const TOLERANCE_MS: i64 = 2;

/// Puts the rounded timestamps of audio back where its samples are: each access unit begins where the one before ended.
/// Only a gap, or a clock that has drifted off by more than [`TOLERANCE_MS`], begins a new grid.
#[derive(Debug)]
pub(super) struct AudioGrid {
    rate_hz: u32,
    expected: Option<i64>,
}

impl AudioGrid {
    pub fn new(rate_hz: u32) -> Self {
        Self { rate_hz, expected: None }
    }

    /// Samples per second.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// The tick at which the access unit of `samples` begins that the wire puts at `moment`.
    pub fn snap(&mut self, moment: Moment, samples: u32) -> i64 {
        let wire = moment.ticks(self.rate_hz);
        let tolerance = Moment { ms: TOLERANCE_MS, offset_ns: 0 }.ticks(self.rate_hz);
        let on_grid = self.expected.filter(|expected| (wire - expected).abs() <= tolerance);
        let start = on_grid.unwrap_or(wire);
        // A length that is not known gives no grid.
        self.expected = (samples > 0).then(|| start + i64::from(samples));
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    /// A grid of 1024 samples.
    struct Grid(AudioGrid);

    impl Grid {
        fn new(rate_hz: u32) -> Self {
            Self(AudioGrid::new(rate_hz))
        }

        fn snap(&mut self, ms: i64) -> i64 {
            self.0.snap(Moment { ms, offset_ns: 0 }, 1024)
        }
    }

    /// A day of access units whose times were rounded down, or to the nearest, to milliseconds, from a start that is
    /// `phase` samples off a millisecond.
    fn drift_free_day(rate_hz: i64, phase: i64, round: fn(i64, i64) -> i64) {
        let samples = 1024;
        let mut grid = Grid::new(rate_hz as u32);
        let first = grid.snap(round(phase * 1000, rate_hz));
        for index in 1..DAY_MS * rate_hz / 1000 / samples {
            let wire_ms = round((phase + index * samples) * 1000, rate_hz);
            let start = grid.snap(wire_ms);
            assert_eq!(start, first + index * samples, "access unit {index}: off the grid");
            assert!((start * 1000 - wire_ms * rate_hz).abs() <= 2 * rate_hz, "access unit {index}: drifted");
        }
    }

    fn floor(samples_ms: i64, rate_hz: i64) -> i64 {
        samples_ms.div_euclid(rate_hz)
    }

    fn nearest(samples_ms: i64, rate_hz: i64) -> i64 {
        (samples_ms + rate_hz / 2).div_euclid(rate_hz)
    }

    #[test]
    fn a_day_of_44100_hz_stays_on_its_samples() {
        drift_free_day(44_100, 0, floor);
        drift_free_day(44_100, 43, floor);
        drift_free_day(44_100, 21, nearest);
    }

    #[test]
    fn a_day_of_48000_and_22050_hz_stays_on_its_samples() {
        drift_free_day(48_000, 47, floor);
        drift_free_day(22_050, 11, nearest);
    }

    #[test]
    fn a_gap_begins_a_new_grid_where_the_wire_says() {
        let mut grid = Grid::new(44_100);
        assert_eq!([0, 23, 46].map(|ms| grid.snap(ms)), [0, 1024, 2048]);
        // 70 ms would be next; 500 ms are missing.
        assert_eq!([570, 593, 616].map(|ms| grid.snap(ms)), [25_137, 25_137 + 1024, 25_137 + 2048]);
        // A step back is kept, too.
        assert_eq!(grid.snap(100), 4_410);
    }

    #[test]
    fn the_wire_wins_beyond_two_milliseconds() {
        for (ms, start) in [(23, 1024), (25, 1024), (22, 1024), (26, 1147), (20, 882)] {
            let mut grid = Grid::new(44_100);
            grid.snap(0);
            assert_eq!(grid.snap(ms), start, "{ms} ms for 23.2 ms");
        }
    }

    #[test]
    fn frames_of_different_lengths_follow_each_other() {
        let mut grid = AudioGrid::new(48_000);
        let starts = [(0, 120), (3, 960), (23, 2_880), (82, 0), (200, 960)];
        let starts = starts.map(|(ms, samples)| grid.snap(Moment { ms, offset_ns: 0 }, samples));
        assert_eq!(starts, [0, 120, 1_080, 3_960, 9_600], "a length that is not known ends the grid");
    }

    #[test]
    fn nanoseconds_reach_the_tick() {
        // 30000/1001 frames a second: 3003 ticks are 33.3666... ms.
        for frame in 0..1_000_i64 {
            let ns = (frame * 3_003 * 1_000_000_000).div_euclid(90_000);
            let moment = Moment { ms: ns / 1_000_000, offset_ns: (ns % 1_000_000) as u32 };
            assert_eq!(moment.ticks(90_000), frame * 3_003);
        }
        assert_eq!(Moment { ms: -1, offset_ns: 500_000 }.ticks(90_000), -45);
    }

    #[test]
    fn timestamps_wrap_forward_and_step_back() {
        let mut timeline = Timeline::default();
        let mut unroll = |timestamp_ms| timeline.unroll(timestamp_ms).unwrap();
        let wrap = 1_i64 << 32;
        assert_eq!(unroll(u32::MAX - 10), wrap - 11);
        assert_eq!(unroll(5), wrap + 5);
        assert_eq!(unroll(u32::MAX), wrap - 1, "audio that is late by a few milliseconds");
        assert_eq!(unroll(20), wrap + 20);
        assert_eq!(unroll(0x7fff_ffff), wrap + 0x7fff_ffff);
        assert_eq!(unroll(0xf000_0000), wrap + 0xf000_0000);
        assert_eq!(unroll(0), 2 * wrap);
        assert_eq!(Timeline::default().unroll(0).unwrap(), 0);
    }

    #[test]
    fn a_timeline_that_runs_away_ends() {
        for step in [0x7fff_ffff_u32, 0x8000_0000] {
            let mut timeline = Timeline::default();
            let times: Vec<_> = (0..1_000_000_u32).map_while(|n| timeline.unroll(step.wrapping_mul(n)).ok()).collect();
            assert!(times.len() < 1_000);
            let last = times.last().unwrap();
            assert!(last.unsigned_abs() <= MAX_TIMELINE_MS);
            // Every clock has room left for the composition offset and a frame.
            assert!(Moment { ms: last * 2, offset_ns: 0 }.ticks(768_000) < i64::MAX);
        }
    }
}
