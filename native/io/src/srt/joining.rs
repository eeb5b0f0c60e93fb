//! How quick a viewer who joins is given what there is since the newest key picture. At once it would be a burst of seconds of media, of
//! which the queue of the narrowest link on the way drops all but the beginning, as if all of it were shown at one moment.

use std::time::Duration;

/// By so much quicker than it is shown: whoever watches by SRT has room for so much more than the stream (SRT §5.1.1: 25 % of overhead).
const CATCH_UP_PERCENT: u32 = 25;
/// Times that jump are no pause.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Where it is quicker, as quick as the peer acknowledges it, every 10 ms (SRT §4.8.1): packets that have not arrived, and with a picture
/// behind them find room in a queue of 64 KB.
const AHEAD_PACKETS: usize = 24;
/// We are woken no finer than this, which costs no speed.
const SLACK: Duration = Duration::from_millis(10);

/// What was given so far.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// When the last run was, and what is shown the latest of all, in microseconds of the stream.
    given: Option<(Duration, i64)>,
}

impl Joining {
    /// Until when a run waits that is shown at `shown_us`; none when it is to be given now. `unacknowledged`: packets that have not arrived.
    pub(super) fn wait(&mut self, now: Duration, shown_us: i64, unacknowledged: usize) -> Option<Duration> {
        let (last, newest_us) = self.given.unwrap_or((now, shown_us));
        let step_us = u64::try_from(shown_us.saturating_sub(newest_us)).unwrap_or(0);
        let due = last + Duration::from_micros(step_us).min(STEP_MAX) * 100 / (100 + CATCH_UP_PERCENT);
        if now < due && unacknowledged >= AHEAD_PACKETS {
            return Some(due);
        }
        self.given = Some((due.clamp(now.saturating_sub(SLACK), now), newest_us.max(shown_us)));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srt::alarm::round_up;

    const MS: Duration = Duration::from_millis(1);

    /// How long it takes to give runs that are shown at these times, with a wake in each millisecond.
    fn takes(shown_ms: impl IntoIterator<Item = i64>, unacknowledged: usize) -> Duration {
        let (mut joining, start) = (Joining::default(), 1000 * MS);
        let mut now = start;
        for shown_ms in shown_ms {
            while let Some(due) = joining.wait(now, shown_ms * 1000, unacknowledged) {
                now = round_up(due, MS);
            }
        }
        now - start
    }

    #[test]
    fn it_is_a_quarter_quicker_than_it_is_shown_however_it_is_cut() {
        let exactly = 3150 * MS..=3210 * MS;
        for step_ms in [1, 3, 40] {
            let took = takes((0..4000 / step_ms).map(|n| n * step_ms), AHEAD_PACKETS);
            assert!(exactly.contains(&took), "{step_ms}: {took:?}");
        }
        // Sound that is half a second behind the pictures between which it stands.
        let took = takes((0..100).flat_map(|n| [n * 40, n * 40 - 500]), AHEAD_PACKETS);
        assert!(exactly.contains(&took), "{took:?}");
        assert_eq!(takes([0, 3_600_000, 40], AHEAD_PACKETS), 800 * MS, "a jump");
        assert_eq!(takes((0..100).map(|n| n * 40), AHEAD_PACKETS - 1), Duration::ZERO, "all so far has arrived");
    }
}
