//! Times of tags do not fall. Where those of a stream go back, for that its sender has begun anew, what follows is put behind what was written:
//! who reads RTMP takes a time that falls for jitter and makes up its own, and a player waits until the old times have come again.

use arcly_bus::TrackId;

/// A step back of less is jitter where nothing says that it is a break, as the bus has it; tracks may be apart by as much.
const JITTER_MAX_MS: i64 = 1_000;

/// Where the times of a stream come to lie. What is added to them is one for all tracks, so that these keep their distance.
#[derive(Debug, Default)]
pub(super) struct Rise {
    /// Added to the times behind the newest break.
    shift_ms: i64,
    tracks: Vec<Last>,
}

/// The last time of a track.
#[derive(Debug)]
struct Last {
    track: TrackId,
    /// As it was written.
    ms: i64,
    /// From the one before it.
    step_ms: i64,
    /// Was added to it. Old times of a track may come for a while behind the break of another.
    shift_ms: i64,
}

impl Last {
    /// Whether `ms` is one of the times to which `shift_ms` belongs, and not the next of the old ones.
    fn turns(&self, ms: i64, shift_ms: i64) -> bool {
        let distance = |shift_ms| ms.saturating_add(shift_ms).saturating_sub(self.ms).saturating_abs();
        distance(shift_ms) <= JITTER_MAX_MS || distance(shift_ms) < distance(self.shift_ms)
    }
}

impl Rise {
    /// When the frame of `track` is written that the stream has at `ms`; `is_break`: the stream says that it does not follow the one before.
    pub fn lift(&mut self, track: TrackId, ms: i64, is_break: bool) -> i64 {
        let newest_ms = self.tracks.iter().map(|last| last.ms).max().unwrap_or(ms);
        let Some(last) = self.tracks.iter_mut().find(|last| last.track == track) else {
            let at_ms = ms.saturating_add(self.shift_ms);
            self.tracks.push(Last { track, ms: at_ms, step_ms: 1, shift_ms: self.shift_ms });
            return at_ms;
        };
        let turns = last.shift_ms != self.shift_ms && (is_break || last.turns(ms, self.shift_ms));
        if turns {
            last.shift_ms = self.shift_ms;
        }
        let back_ms = last.ms.saturating_sub(ms.saturating_add(last.shift_ms));
        if back_ms > JITTER_MAX_MS || back_ms > 0 && (is_break || turns) {
            self.shift_ms = newest_ms.saturating_add(last.step_ms).saturating_sub(ms);
            last.shift_ms = self.shift_ms;
        }
        let at_ms = ms.saturating_add(last.shift_ms);
        last.step_ms = at_ms.saturating_sub(last.ms).clamp(1, JITTER_MAX_MS);
        last.ms = at_ms;
        at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);

    /// Frames as they come: of which track, when, and whether they are marked.
    fn lift(frames: &[(TrackId, i64, bool)]) -> Vec<i64> {
        let mut rise = Rise::default();
        frames.iter().map(|&(track, ms, is_break)| rise.lift(track, ms, is_break)).collect()
    }

    #[test]
    fn times_that_rise_are_left_alone_and_so_are_jumps_forward_and_jitter() {
        let frames = [(VIDEO, -40, true), (AUDIO, -60, true), (VIDEO, 0, false), (VIDEO, 90_000, true)];
        assert_eq!(lift(&frames), [-40, -60, 0, 90_000]);
        assert_eq!(lift(&[(AUDIO, 100, false), (AUDIO, 90, false), (AUDIO, 110, false)]), [100, 90, 110]);
    }

    #[test]
    fn behind_a_break_back_all_tracks_follow_the_last_time_by_a_step_and_keep_their_distance() {
        let old = [(VIDEO, 10_000, false), (AUDIO, 10_005, false), (VIDEO, 10_040, false), (AUDIO, 10_050, false)];
        let new = [(VIDEO, 0, true), (AUDIO, 13, false), (VIDEO, 40, false), (AUDIO, 36, false)];
        assert_eq!(lift(&[old, new].concat())[4..], [10_090, 10_103, 10_130, 10_126]);
    }

    #[test]
    fn the_rest_of_a_track_behind_the_break_of_another_is_not_moved() {
        let old = [(VIDEO, 3_600_000, false), (AUDIO, 3_599_000, false), (VIDEO, 3_600_040, false)];
        let mixed = [(VIDEO, 0, true), (AUDIO, 3_599_020, false), (VIDEO, 40, false), (AUDIO, 3_599_040, false)];
        let new = [(AUDIO, 10, true), (VIDEO, 80, false), (AUDIO, 30, false)];
        let times = lift(&[&old[..], &mixed, &new].concat());
        assert_eq!(times[3..], [3_600_080, 3_599_020, 3_600_120, 3_599_040, 3_600_090, 3_600_160, 3_600_110]);
    }

    #[test]
    fn a_track_that_begins_earlier_behind_a_break_rises_too() {
        let old = [(VIDEO, 10_000, false), (AUDIO, 10_000, false)];
        let times = lift(&[&old[..], &[(VIDEO, 0, true), (AUDIO, -30, false), (VIDEO, 40, false)]].concat());
        assert_eq!(times[2..], [10_001, 10_002, 10_072]);
    }

    #[test]
    fn a_break_back_of_which_nobody_was_told_is_one() {
        assert_eq!(lift(&[(VIDEO, 10_000, false), (VIDEO, 0, false), (VIDEO, 40, false)]), [10_000, 10_001, 10_041]);
    }

    #[test]
    fn times_at_the_ends_do_not_overflow() {
        for ends in [[i64::MIN, i64::MAX], [i64::MAX, i64::MIN]] {
            lift(
                &ends
                    .repeat(3)
                    .into_iter()
                    .flat_map(|ms| [(VIDEO, ms, true), (AUDIO, -(ms / 2), false)])
                    .collect::<Vec<_>>(),
            );
        }
    }
}
