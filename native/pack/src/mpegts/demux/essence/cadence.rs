//! Times of pictures that have none: only every 0.7 s one must (§2.7.4).

use crate::mpegts::demux::timeline::Times;

/// The longest step between two pictures that is believed.
const STEP_MAX_90K: i64 = 10 * 90_000;

/// Counts from the newest time that was said, so that no rounding adds up.
#[derive(Debug, Default)]
pub(super) struct Cadence {
    said: Option<Times>,
    /// Pictures behind it.
    untimed: i64,
    /// Ticks of 90 kHz from picture to picture, as a fraction.
    step: Option<(i64, i64)>,
    /// The step is that of the bitstream, which a measured one does not replace.
    is_declared: bool,
}

impl Cadence {
    /// What the bitstream says, in pictures a second; otherwise the step is measured between times.
    pub(super) fn declare(&mut self, frame_rate: Option<(u32, u32)>) {
        let step = frame_rate.map(|(pictures, seconds)| (90_000 * i64::from(seconds), i64::from(pictures)));
        let step = step.filter(|(ticks, pictures)| 0 < *pictures && ticks / pictures <= STEP_MAX_90K && *ticks > 0);
        self.is_declared = step.is_some();
        self.step = step.or(self.step);
    }

    /// The times of the next picture, for which the stream says `times`. Without those it follows the one before, and is shown as
    /// long behind its decoding as that; `None` while nothing is known to go by.
    pub(super) fn place(&mut self, times: Option<Times>) -> Option<Times> {
        if let Some(times) = times {
            self.measure(times);
            (self.said, self.untimed) = (Some(times), 0);
            return Some(times);
        }
        self.untimed += 1;
        let (said, (ticks, pictures)) = (self.said?, self.step?);
        let ahead = self.untimed * ticks / pictures;
        Some(Times { pts_90k: said.pts_90k + ahead, dts_90k: said.dts_90k + ahead })
    }

    /// Something is missing: the next picture is not the next one.
    pub(super) fn lose(&mut self) {
        self.said = None;
    }

    fn measure(&mut self, times: Times) {
        let Some(said) = self.said.filter(|_| !self.is_declared) else { return };
        let (ticks, pictures) = (times.dts_90k - said.dts_90k, self.untimed + 1);
        if 0 < ticks && ticks <= STEP_MAX_90K {
            self.step = Some((ticks, pictures));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dts_90k: i64) -> Times {
        Times { pts_90k: dts_90k + 3_000, dts_90k }
    }

    #[test]
    fn pictures_without_times_follow_the_declared_rate_and_do_not_drift() {
        let mut cadence = Cadence::default();
        cadence.declare(Some((60_000, 1_001)));
        assert_eq!(cadence.place(None), None, "nothing to go by");
        cadence.place(Some(at(0)));
        let last = (0..60_000).filter_map(|_| cadence.place(None)).last();
        assert_eq!(last, Some(at(1_001 * 90_000)));
    }

    #[test]
    fn without_a_rate_the_step_is_measured() {
        let mut cadence = Cadence::default();
        cadence.declare(Some((0, 7)));
        cadence.place(Some(at(0)));
        assert_eq!(cadence.place(None), None);
        cadence.place(Some(at(7_200)));
        assert_eq!(cadence.place(None), Some(at(10_800)), "two pictures in 7 200 ticks");
        cadence.lose();
        assert_eq!(cadence.place(None), None);
    }
}
