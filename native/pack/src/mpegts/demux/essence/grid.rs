//! The grid of the samples: each frame of sound begins where the one before ended.

use crate::time::rescale;

/// How far the wire may be from the grid: the times of some encoders are whole milliseconds.
const TOLERANCE_MS: i64 = 2;

/// Puts rounded times back onto the grid. Only a gap, or a clock that has drifted off by more than [`TOLERANCE_MS`], begins a
/// new one.
#[derive(Debug, Default)]
pub(super) struct Grid {
    /// The sample behind the newest frame, and the rate it is counted in.
    expected: Option<(i64, u32)>,
}

impl Grid {
    /// The first sample of a frame for which the wire says `pts_90k`; `None` when neither the wire nor the grid knows.
    pub(super) fn place(&mut self, pts_90k: Option<i64>, rate_hz: u32, samples: u32) -> Option<i64> {
        let expected = self.expected.filter(|(_, rate)| *rate == rate_hz).map(|(expected, _)| expected);
        let wire = pts_90k.map(|pts_90k| rescale(pts_90k, 90_000, rate_hz));
        let tolerance = i64::from(rate_hz) * TOLERANCE_MS / 1_000;
        let on_grid = expected.filter(|expected| wire.is_none_or(|wire| (wire - expected).abs() <= tolerance));
        let start = on_grid.or(wire)?;
        self.expected = Some((start.saturating_add(i64::from(samples)), rate_hz));
        Some(start)
    }
}
