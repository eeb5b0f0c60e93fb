//! Times of pictures that have none: only every 0.7 s one must (§2.7.4).

use crate::mpegts::demux::timeline::Times;

/// The longest step between two pictures that is believed.
const STEP_MAX_90K: i64 = 10 * 90_000;

/// Counts from the newest time that was said, so that no rounding adds up.
#[derive(Debug, Default)]
pub(super) struct Cadence {
    said: Option<Times>,
    /// Fields from it to the picture behind the newest one.
    fields: i64,
    /// Ticks of 90 kHz from field to field, as a fraction.
    step: Option<(i64, i64)>,
    /// The step is that of the bitstream, which a measured one does not replace.
    is_declared: bool,
}

impl Cadence {
    /// What the bitstream says, in pictures a second; otherwise the step is measured between times.
    pub(super) fn declare(&mut self, frame_rate: Option<(u32, u32)>) {
        let step = frame_rate.map(|(frames, seconds)| (90_000 * i64::from(seconds), 2 * i64::from(frames)));
        let step = step.filter(|(ticks, fields)| 0 < *fields && 2 * ticks / fields <= STEP_MAX_90K && *ticks > 0);
        self.is_declared = step.is_some();
        self.step = step.or(self.step);
    }

    /// The times of the next picture, of so many `fields`, for which the stream says `times`. Without those it follows the one before,
    /// and is shown as long behind its decoding as that; `None` while nothing is known to go by.
    pub(super) fn place(&mut self, times: Option<Times>, fields: i64) -> Option<Times> {
        if let Some(times) = times {
            self.measure(times);
            (self.said, self.fields) = (Some(times), fields);
            return Some(times);
        }
        let behind = self.fields;
        self.fields += fields;
        let (said, (ticks, fields)) = (self.said?, self.step?);
        let ahead = behind * ticks / fields;
        Some(Times { pts_90k: said.pts_90k + ahead, dts_90k: said.dts_90k + ahead })
    }

    /// Something is missing: the next picture is not the next one.
    pub(super) fn lose(&mut self) {
        self.said = None;
    }

    fn measure(&mut self, times: Times) {
        let Some(said) = self.said.filter(|_| !self.is_declared) else { return };
        let ticks = times.dts_90k - said.dts_90k;
        if 0 < ticks && ticks <= STEP_MAX_90K && self.fields > 0 {
            self.step = Some((ticks, self.fields));
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
        assert_eq!(cadence.place(None, 2), None, "nothing to go by");
        cadence.place(Some(at(0)), 2);
        let last = (0..60_000).filter_map(|_| cadence.place(None, 2)).last();
        assert_eq!(last, Some(at(1_001 * 90_000)));
    }

    #[test]
    fn without_a_rate_the_step_is_measured() {
        let mut cadence = Cadence::default();
        cadence.declare(Some((0, 7)));
        cadence.place(Some(at(0)), 2);
        assert_eq!(cadence.place(None, 2), None);
        cadence.place(Some(at(7_200)), 2);
        assert_eq!(cadence.place(None, 2), Some(at(10_800)), "two pictures in 7 200 ticks");
        cadence.lose();
        assert_eq!(cadence.place(None, 2), None);
    }

    #[test]
    fn a_field_without_a_time_is_half_a_frame_behind_the_other() {
        let mut cadence = Cadence::default();
        cadence.declare(Some((25, 1)));
        let placed = [(Some(at(0)), 1), (None, 1), (None, 2), (None, 1), (None, 1), (None, 2)];
        let placed = placed.map(|(times, fields)| cadence.place(times, fields));
        assert_eq!(placed, [0, 1_800, 3_600, 7_200, 9_000, 10_800].map(|dts| Some(at(dts))));
    }
}
