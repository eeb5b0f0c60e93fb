//! Times of an endless stream do not fall. Where those of its sender go back, for that it has begun anew, what follows is put behind what was
//! written: who reads RTMP takes a time that falls for jitter and makes up its own, and a player waits until the old times have come again.

use arcly_bus::TrackId;

/// A step back of less is jitter where nothing says that it is a break, as the bus has it.
const JITTER_MAX_MS: i64 = 1_000;

/// Tracks of one timeline are no further apart. A track that goes back to where the others still are has not begun anew: its time was wrong
/// before, or its sender has said better when its pictures were taken, and it is written as it is.
const APART_MAX_MS: i64 = 10_000;

/// Where the times of a stream come to lie. What is added to them is one for all tracks, so that these keep their distance.
#[derive(Debug, Default)]
pub struct Rise {
    /// Added to the times behind the newest break.
    shift_ms: i64,
    tracks: Vec<Last>,
}

/// The last time of a track.
#[derive(Debug, Clone, Copy)]
struct Last {
    track: TrackId,
    /// As the stream has it.
    ms: i64,
    /// From the one before it.
    step_ms: i64,
    /// Was added to it. Old times of a track may come for a while behind the break of another.
    shift_ms: i64,
}

impl Last {
    /// As it was written.
    fn written_ms(&self) -> i64 {
        self.ms.saturating_add(self.shift_ms)
    }
}

impl Rise {
    /// When the frame of `track` is written that the stream has at `ms`; `is_break`: the stream says that it does not follow the one before.
    pub fn lift(&mut self, track: TrackId, ms: i64, is_break: bool) -> i64 {
        let Some(index) = self.tracks.iter().position(|last| last.track == track) else {
            let last = Last { track, ms, step_ms: 1, shift_ms: self.shift_ms };
            self.tracks.push(last);
            return last.written_ms();
        };
        let newest_ms = self.tracks.iter().map(Last::written_ms).max().unwrap_or(ms);
        let is_among_others = |shift_ms| {
            let others = self.tracks.iter().filter(|last| last.track != track && last.shift_ms == shift_ms);
            others.map(|last| last.ms.saturating_sub(ms).saturating_abs()).any(|apart_ms| apart_ms < APART_MAX_MS)
        };
        let Some(&before) = self.tracks.get(index) else { return ms };
        let turns = before.shift_ms != self.shift_ms && is_among_others(self.shift_ms);
        let shift_ms = if turns { self.shift_ms } else { before.shift_ms };
        let back_ms = before.written_ms().saturating_sub(ms.saturating_add(shift_ms));
        let is_back = back_ms > JITTER_MAX_MS || back_ms > 0 && (is_break || turns);
        let lifts = is_back && (turns || !is_among_others(shift_ms));
        let shift_ms = if lifts { newest_ms.saturating_add(before.step_ms).saturating_sub(ms) } else { shift_ms };
        if lifts {
            self.shift_ms = shift_ms;
        }
        let at_ms = ms.saturating_add(shift_ms);
        let step_ms = at_ms.saturating_sub(before.written_ms()).clamp(1, JITTER_MAX_MS);
        if let Some(last) = self.tracks.get_mut(index) {
            *last = Last { track, ms, step_ms, shift_ms };
        }
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
        let old = [(VIDEO, 20_000, false), (AUDIO, 20_005, false), (VIDEO, 20_040, false), (AUDIO, 20_050, false)];
        let new = [(VIDEO, 0, true), (AUDIO, 13, false), (VIDEO, 40, false), (AUDIO, 36, false)];
        assert_eq!(lift(&[old, new].concat())[4..], [20_090, 20_103, 20_130, 20_126]);
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
        let old = [(VIDEO, 20_000, false), (AUDIO, 20_000, false)];
        let times = lift(&[&old[..], &[(VIDEO, 0, true), (AUDIO, -30, false), (VIDEO, 40, false)]].concat());
        assert_eq!(times[2..], [20_001, 20_002, 20_072]);
    }

    #[test]
    fn one_wrong_time_of_a_track_moves_no_other() {
        for wrong_ms in [11_600, 3_600_000] {
            let frames =
                [(VIDEO, 10_040, false), (AUDIO, 10_020, false), (AUDIO, wrong_ms, true), (AUDIO, 10_061, true)];
            let times = lift(&[&frames[..], &[(VIDEO, 10_080, false), (AUDIO, 10_082, false)]].concat());
            assert_eq!(times, [10_040, 10_020, wrong_ms, 10_061, 10_080, 10_082]);
        }
    }

    #[test]
    fn pictures_that_are_put_beside_their_sound_stay_there() {
        let frames = [(VIDEO, 10_040, false), (AUDIO, 10_050, false), (VIDEO, 8_580, true), (AUDIO, 10_071, false)];
        assert_eq!(lift(&frames), [10_040, 10_050, 8_580, 10_071]);
    }

    #[test]
    fn sound_that_comes_late_behind_a_break_is_beside_its_pictures() {
        let old = [(VIDEO, 20_000, false), (AUDIO, 20_000, false), (VIDEO, 0, true)];
        let new: Vec<_> = (1..=50).map(|n| (VIDEO, n * 40, false)).chain([(AUDIO, 2_000, false)]).collect();
        let times = lift(&[&old[..], &new].concat());
        assert_eq!(times[times.len() - 2..], [22_001, 22_001]);
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
