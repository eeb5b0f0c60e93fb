//! The time of a stream on the way to viewers: one clock for pictures and sound, which never jumps.

use std::time::{Duration, Instant};

use arcly_pack::rescale;

/// How far behind the newest frame sender reports say that its moment is. They must not name a moment in the future, and frames come
/// early by as much as their path jitters.
const BEHIND: Duration = Duration::from_millis(300);

/// A frame further than this from where it should be does not belong to the same run: a publisher came back, or its clock was set.
const JUMP_MAX: Duration = Duration::from_secs(3);

const MICROS_HZ: u32 = 1_000_000;

/// Maps times of frames to a clock that goes on when those jump, and to moments of ours.
#[derive(Debug, Default)]
pub(super) struct FeedClock {
    /// A moment of ours, and the time of the frame that came then, in microseconds of the clock that goes on.
    anchor: Option<(Instant, i64)>,
    /// What is added to the times of frames, in microseconds.
    shift: i64,
}

impl FeedClock {
    /// The time of a frame that comes now, in microseconds that go on.
    pub(super) fn take(&mut self, micros: i64, now: Instant) -> i64 {
        let here = micros.saturating_add(self.shift);
        let Some((moment, then)) = self.anchor else {
            self.anchor = Some((now, here));
            return here;
        };
        let elapsed = i64::try_from(now.saturating_duration_since(moment).as_micros()).unwrap_or(i64::MAX);
        let expected = then.saturating_add(elapsed);
        if here.abs_diff(expected) > JUMP_MAX.as_micros() as u64 {
            self.shift = self.shift.saturating_add(expected.saturating_sub(here));
            return expected;
        }
        // Early: then the path is shorter than the anchor says.
        if here > expected {
            self.anchor = Some((now, here));
        }
        here
    }

    /// Begins anew with the newest of the frames that were there already, of which older ones come first.
    pub(super) fn begin(&mut self, newest_micros: i64, now: Instant) {
        self.anchor = Some((now, newest_micros.saturating_add(self.shift)));
    }

    /// The moment of a time that [`Self::take`] has given, for sender reports: never later than now.
    pub(super) fn moment(&self, micros: i64, now: Instant) -> Instant {
        let Some((moment, then)) = self.anchor else { return now };
        let moment = moment.checked_sub(BEHIND).unwrap_or(moment);
        let distance = Duration::from_micros(micros.abs_diff(then));
        let moment = if micros >= then { moment.checked_add(distance) } else { moment.checked_sub(distance) };
        moment.unwrap_or(now).min(now)
    }

    /// What is added to ticks of a clock of that rate.
    pub(super) fn shift_ticks(&self, rate_hz: u32) -> i64 {
        rescale(self.shift, MICROS_HZ, rate_hz)
    }
}

/// Ticks of a clock as microseconds.
pub(super) fn micros(ticks: i64, rate_hz: u32) -> i64 {
    rescale(ticks, rate_hz, MICROS_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_publisher_is_none_of_the_viewers() {
        let (mut clock, start) = (FeedClock::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(clock.take(5_000_000, at(0)), 5_000_000);
        assert_eq!(clock.take(5_040_000, at(40)), 5_040_000);
        // The publisher begins anew at 0: pictures, then sound.
        assert_eq!(clock.take(0, at(1080)), 6_080_000);
        assert_eq!(clock.take(20_000, at(1081)), 6_100_000);
        assert_eq!(clock.shift_ticks(90_000), 6_080_000 * 9 / 100);
    }

    #[test]
    fn no_sender_report_is_of_the_future() {
        let (mut clock, start) = (FeedClock::default(), Instant::now() + Duration::from_secs(10));
        clock.take(0, start);
        for early in [0, 100_000, 2_000_000] {
            let taken = clock.take(early, start);
            assert!(clock.moment(taken, start) <= start);
        }
    }
}
