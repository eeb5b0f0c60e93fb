//! One repetition of a file as one timeline, wherever the times in the file break.

use std::time::Duration;

use arcly_bus::TrackId;

/// A step back by more than this is a break, as on the bus.
const STEP_BACK_MAX_NS: i64 = 1_000_000_000;

/// And so is a step forward by more than this: nobody waits through it.
const GAP_MAX_NS: i64 = 10_000_000_000;

/// From the first to the last frame of one repetition.
#[derive(Default)]
pub(super) struct Pass {
    /// The decoding time of the first frame, whatever its track, in nanoseconds.
    first_ns: Option<i64>,
    spans: Vec<Span>,
}

/// What is known of one track of a repetition, in nanoseconds. But for the offset, its times are those behind the breaks.
struct Span {
    track: TrackId,
    is_data: bool,
    first_ns: i64,
    last_ns: i64,
    /// How long the last frame lasts: what lay between the last two, or what the first one says.
    step_ns: i64,
    /// What was added to the time of the last frame. Each track has its own: where files were joined, the last sound of one may come
    /// behind the first picture of the other.
    offset_ns: i64,
}

/// A frame as the file has it.
pub(super) struct Timed {
    pub track: TrackId,
    /// A data track may be silent for as long as it likes.
    pub is_data: bool,
    /// Its decoding time, in nanoseconds.
    pub at_ns: i64,
    /// 0: it does not say.
    pub duration_ns: i64,
}

/// Where a frame goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// When it is due, counted from the first frame.
    pub due: Duration,
    /// What is added to its times.
    pub offset_ns: i64,
    /// The first frame behind a break.
    pub is_break: bool,
}

impl Pass {
    /// Puts a frame where its time says, and the first one behind a break where the newest one ends. All that follow it are moved alike.
    pub fn place(&mut self, frame: &Timed) -> Place {
        let first_ns = *self.first_ns.get_or_insert(frame.at_ns);
        let (offset_ns, is_break) = match self.end_ns() {
            Some(end_ns) => self.join(frame, end_ns),
            None => (0, false),
        };
        let placed_ns = frame.at_ns.saturating_add(offset_ns);
        self.extend(frame, placed_ns, is_break);
        Place { due: span(first_ns, placed_ns), offset_ns, is_break }
    }

    /// What is added to the time of a frame where `end_ns` is the end of the newest one, and whether that is a break.
    fn join(&self, frame: &Timed, end_ns: i64) -> (i64, bool) {
        let known = self.spans.iter().find(|span| span.track == frame.track);
        let offset_ns = self.nearest_offset(frame, known, end_ns);
        let placed_ns = frame.at_ns.saturating_add(offset_ns);
        // Tracks lie beside each other in a file only about.
        let beside_ns = end_ns.saturating_sub(GAP_MAX_NS);
        let earliest_ns = match known.map(|span| span.last_ns.saturating_sub(STEP_BACK_MAX_NS)) {
            Some(steady_ns) if frame.is_data => steady_ns.max(beside_ns),
            Some(steady_ns) => steady_ns,
            None => beside_ns,
        };
        let is_late = placed_ns > end_ns.saturating_add(GAP_MAX_NS);
        if !is_late && placed_ns >= earliest_ns {
            return (offset_ns, false);
        }
        let behind_newest_ns = end_ns.saturating_sub(frame.at_ns);
        match (frame.is_data, self.has_media()) {
            // Pictures and sound tell where the break is: it is not waited for.
            (true, true) => (behind_newest_ns, false),
            (true, false) if is_late => (offset_ns, false),
            _ => (behind_newest_ns, true),
        }
    }

    /// Of the offsets in use that which puts a frame nearest to where it is expected.
    fn nearest_offset(&self, frame: &Timed, known: Option<&Span>, end_ns: i64) -> i64 {
        let is_near = |span: &&Span| end_ns.saturating_sub(span.last_ns) <= GAP_MAX_NS;
        let expected_ns = known.filter(is_near).map_or(end_ns, Span::end_ns);
        let distance = |offset_ns: i64| frame.at_ns.saturating_add(offset_ns).abs_diff(expected_ns);
        let offsets = self.telling().map(|span| span.offset_ns);
        offsets.min_by_key(|offset_ns| distance(*offset_ns)).unwrap_or(0)
    }

    fn extend(&mut self, frame: &Timed, placed_ns: i64, is_break: bool) {
        let offset_ns = placed_ns.saturating_sub(frame.at_ns);
        let Some(span) = self.spans.iter_mut().find(|span| span.track == frame.track) else {
            self.spans.push(Span {
                track: frame.track,
                is_data: frame.is_data,
                first_ns: placed_ns,
                last_ns: placed_ns,
                step_ns: frame.duration_ns.clamp(0, GAP_MAX_NS),
                offset_ns,
            });
            return;
        };
        let step_ns = placed_ns.saturating_sub(span.last_ns);
        if (1..=GAP_MAX_NS).contains(&step_ns) && !is_break {
            span.step_ns = step_ns;
        }
        (span.last_ns, span.offset_ns) = (placed_ns, offset_ns);
    }

    fn has_media(&self) -> bool {
        self.spans.iter().any(|span| !span.is_data)
    }

    /// The tracks that tell where it is: pictures and sound, where there are any.
    fn telling(&self) -> impl Iterator<Item = &Span> {
        let has_media = self.has_media();
        self.spans.iter().filter(move |span| !(span.is_data && has_media))
    }

    /// When the newest frame ends.
    fn end_ns(&self) -> Option<i64> {
        self.telling().map(Span::end_ns).max()
    }

    /// The longest track, its last frame included. How long data last, nothing says.
    pub fn duration(&self) -> Duration {
        let lasted = self.telling().map(|track| span(track.first_ns, track.end_ns()));
        lasted.chain(self.spans.iter().map(|track| span(track.first_ns, track.last_ns))).max().unwrap_or_default()
    }
}

impl Span {
    fn end_ns(&self) -> i64 {
        self.last_ns.saturating_add(self.step_ns)
    }
}

/// From one time to a later one; nothing when it is earlier.
fn span(from_ns: i64, to_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);
    const CUES: TrackId = TrackId(2);
    const STEP_MS: i64 = 40;
    const HOUR_MS: i64 = 3_600_000;

    fn place(pass: &mut Pass, track: TrackId, at_ms: i64) -> Place {
        pass.place(&Timed { track, is_data: track == CUES, at_ns: at_ms * 1_000_000, duration_ns: 0 })
    }

    fn due_ms(pass: &mut Pass, track: TrackId, at_ms: i64) -> (u128, bool) {
        let Place { due, is_break, .. } = place(pass, track, at_ms);
        (due.as_millis(), is_break)
    }

    /// Pictures and sound beside each other, `count` of each from `from_ms` on; when they are due, and the breaks among them.
    fn clip(pass: &mut Pass, from_ms: i64, count: i64) -> Vec<(u128, bool)> {
        let times = (0..count).map(|index| from_ms + index * STEP_MS);
        times
            .flat_map(|at_ms| [VIDEO, AUDIO].map(|track| (track, at_ms)))
            .map(|(track, at)| due_ms(pass, track, at))
            .collect()
    }

    /// What one clip would be that is as long as all of them.
    fn unbroken(count: i64) -> Vec<u128> {
        (0..count).flat_map(|index| [index * STEP_MS; 2]).map(|ms| u128::try_from(ms).unwrap()).collect()
    }

    /// Found by reading: the second of two joined files went out at the speed of the disk, and a jump of ten hours was slept through.
    #[test]
    fn joined_files_last_as_long_as_both() {
        for second_ms in [1400, 1400 + 10 * HOUR_MS, -10 * HOUR_MS] {
            let mut pass = Pass::default();
            let mut played = clip(&mut pass, 1400, 1500);
            played.extend(clip(&mut pass, second_ms, 1500));
            let (due, breaks): (Vec<_>, Vec<_>) = played.into_iter().unzip();
            assert_eq!(due, unbroken(3000), "{second_ms}");
            let breaks: Vec<_> = breaks.iter().enumerate().filter(|(_, is)| **is).map(|(index, _)| index).collect();
            assert_eq!(breaks, [3000], "the other track follows, and that is no second break: {second_ms}");
            assert_eq!(pass.duration(), Duration::from_secs(120), "{second_ms}");
        }
    }

    #[test]
    fn the_last_sound_of_a_file_may_come_behind_the_first_picture_of_the_next() {
        let mut pass = Pass::default();
        clip(&mut pass, 1400, 1500);
        assert_eq!(due_ms(&mut pass, VIDEO, 1400), (60_000, true));
        assert_eq!(due_ms(&mut pass, AUDIO, 61_400), (60_000, false));
        assert_eq!(due_ms(&mut pass, VIDEO, 1440), (60_040, false));
        assert_eq!(due_ms(&mut pass, AUDIO, 1440), (60_040, false));
    }

    #[test]
    fn good_times_are_left_alone() {
        let mut pass = Pass::default();
        for (track, at_ms) in
            [(VIDEO, 5000), (AUDIO, 4500), (VIDEO, 5040), (AUDIO, 5500), (VIDEO, 14_000), (VIDEO, 13_500)]
        {
            let placed = place(&mut pass, track, at_ms);
            assert_eq!((placed.offset_ns, placed.is_break), (0, false), "{at_ms}");
        }
    }

    #[test]
    fn pictures_that_return_are_no_break_while_sound_goes_on() {
        let mut pass = Pass::default();
        clip(&mut pass, 0, 2);
        for index in 2..750 {
            place(&mut pass, AUDIO, index * STEP_MS);
        }
        assert_eq!(due_ms(&mut pass, VIDEO, 30_000), (30_000, false));
        assert_eq!(due_ms(&mut pass, AUDIO, 30_000), (30_000, false));
    }

    #[test]
    fn silence_of_data_is_no_break() {
        let mut pass = Pass::default();
        assert_eq!(due_ms(&mut pass, CUES, 0), (0, false));
        clip(&mut pass, 0, 1500);
        assert_eq!(due_ms(&mut pass, CUES, 59_960), (59_960, false));
        assert_eq!(pass.duration(), Duration::from_secs(60), "what a cue lasts nobody knows");
        let mut alone = Pass::default();
        for at_ms in [0, HOUR_MS, 3 * HOUR_MS] {
            assert_eq!(due_ms(&mut alone, CUES, at_ms), (u128::try_from(at_ms).unwrap(), false));
        }
    }

    #[test]
    fn data_do_not_tell_where_pictures_break() {
        for second_ms in [0, 10 * HOUR_MS] {
            let mut pass = Pass::default();
            place(&mut pass, CUES, 0);
            clip(&mut pass, 0, 1500);
            assert_eq!(due_ms(&mut pass, CUES, second_ms + 40), (60_000, false), "not waited for: {second_ms}");
            assert_eq!(due_ms(&mut pass, VIDEO, second_ms), (60_000, true));
            assert_eq!(due_ms(&mut pass, CUES, second_ms + 5000), (65_000, false));
            assert_eq!(due_ms(&mut pass, AUDIO, second_ms), (60_000, false));
        }
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut pass = Pass::default();
        for (index, at_ns) in [i64::MIN, i64::MAX, i64::MAX, i64::MIN, 0].into_iter().enumerate() {
            let track = TrackId(u8::try_from(index % 3).unwrap());
            pass.place(&Timed { track, is_data: track == CUES, at_ns, duration_ns: i64::MAX });
        }
        pass.duration();
    }
}
