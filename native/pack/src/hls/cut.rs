//! Where one segment ends and the next begins.

use arcly_bus::{Frame, Track, TrackSet};
use arcly_codec::MediaKind;

use super::segment::OpenSegment;

/// The frame in front of which a cut is considered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) frame: &'a Frame,
    pub(super) kind: MediaKind,
    pub(super) dts_us: i64,
    pub(super) duration_us: i64,
    /// A segment may begin here: a key picture, or sound when there are no pictures.
    pub(super) is_entry: bool,
}

/// How the tracks differ from those that players were told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Change {
    /// In nothing but data, with which nothing begins or ends.
    #[default]
    Nothing,
    /// Pictures or sound have come beside what is there, or are gone: that waits for the next entry.
    Beside,
    /// Others stand in their place, or in that of some that have come and gone since.
    Replaced,
}

impl Change {
    fn cuts_at(self, next: &Candidate<'_>) -> bool {
        self == Self::Replaced || (self == Self::Beside && next.is_entry)
    }
}

/// Pictures and sound.
type Tracks = [Option<Track>; 2];

/// What has become of pictures and sound since players were told of them. What has come and is gone again meanwhile is no change.
#[derive(Debug, Default)]
pub(super) struct Changes {
    told: Tracks,
    present: Tracks,
    /// The last one of each kind in the open segment, or since an untold change; it may be gone.
    newest: Tracks,
    change: Change,
}

impl Changes {
    /// The tracks are these from now on.
    pub(super) fn note(&mut self, tracks: &TrackSet) {
        self.present = [MediaKind::Video, MediaKind::Audio].map(|kind| tracks.first(kind).cloned());
        let mut is_replaced = self.change == Change::Replaced;
        for (newest, present) in self.newest.iter_mut().zip(&self.present).filter(|(_, present)| present.is_some()) {
            is_replaced |= newest.is_some() && newest != present;
            newest.clone_from(present);
        }
        let is_as_told = self.present == self.told;
        self.change = match (is_replaced, is_as_told) {
            (true, _) => Change::Replaced,
            (false, true) => Change::Nothing,
            (false, false) => Change::Beside,
        };
    }

    pub(super) fn change(&self) -> Change {
        self.change
    }

    /// A segment begins, with which players are told of a change or not. Returns of which.
    pub(super) fn begin_segment(&mut self, is_told: bool) -> Change {
        if !is_told && self.change != Change::Nothing {
            return Change::Nothing;
        }
        (self.told, self.newest) = (self.present.clone(), self.present.clone());
        std::mem::take(&mut self.change)
    }
}

/// What the cuts must keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A segment is cut at the first entry from here on, or at a key picture a little before.
    pub(super) target_us: i64,
    /// No segment lasts that long.
    pub(super) duration_us: i64,
    pub(super) bytes: usize,
    pub(super) change: Change,
}

impl Limits {
    /// From when on a segment ends at an entry. The next key picture may come too late: one a little before the target is as good, since
    /// times are rounded to milliseconds on some ways. Sound can begin a segment at each frame.
    fn due_us(&self, kind: MediaKind) -> i64 {
        let early_us = if kind == MediaKind::Video { self.target_us / 20 } else { 0 };
        self.target_us - early_us
    }
}

/// A cut in front of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Where the segment in front of it ends.
    pub(super) end_us: i64,
    /// What follows has other timestamps or tracks (RFC 8216 §4.3.2.3).
    pub(super) discontinuity: bool,
}

/// The decoding times of the two tracks.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    video: TrackTime,
    audio: TrackTime,
}

#[derive(Debug, Default)]
struct TrackTime {
    /// The newest decoding time since the last break.
    newest_us: Option<i64>,
    /// The longest frame of the open segment.
    longest_us: i64,
}

/// The length of a frame that has none and no predecessor: 25 pictures a second.
const UNKNOWN_FRAME_US: i64 = 40_000;

impl Timeline {
    /// The cut in front of `next`, if there must be one.
    pub(super) fn cut(&self, open: &OpenSegment, next: &Candidate<'_>, limits: &Limits) -> Option<Cut> {
        let elapsed_us = next.dts_us - open.start_us;
        // In front of the beginning nothing can be cut in order: a track that stays there would never let the segment end.
        let is_changed = limits.change.cuts_at(next);
        let is_backward = elapsed_us <= 0 && (is_changed || is_too_big(open, next, limits));
        let is_far = elapsed_us.saturating_abs() >= limits.duration_us;
        if self.breaks_at(open, next) || is_far || is_backward {
            return Some(Cut { end_us: self.broken_end_us(open, next, limits), discontinuity: true });
        }
        let end_us = next.dts_us;
        let cuts = is_changed || (elapsed_us > 0 && self.is_full(open, next, limits, elapsed_us));
        cuts.then_some(Cut { end_us, discontinuity: is_changed })
    }

    /// Whether time or data break in front of `next`. When both tracks are marked, that is one break: the second
    /// mark meets a segment that began with the first one and has nothing of its track yet.
    fn breaks_at(&self, open: &OpenSegment, next: &Candidate<'_>) -> bool {
        let is_known = open.begins_at_mark && open.frames(next.kind) == 0;
        let is_marked = next.frame.is_discontinuity() && !is_known;
        is_marked || self.track(next.kind).newest_us.is_some_and(|newest_us| next.dts_us <= newest_us)
    }

    /// Where a segment ends at a break: where its last frame does, or at the next one if time goes on in spite of the mark.
    fn broken_end_us(&self, open: &OpenSegment, next: &Candidate<'_>, limits: &Limits) -> i64 {
        let last_end_us = last_end_us(open, limits);
        let newest_us = self.track(next.kind).newest_us.unwrap_or(i64::MIN).max(open.start_us);
        if next.dts_us > newest_us { last_end_us.min(next.dts_us) } else { last_end_us }
    }

    /// Whether the segment has reached its target, or would get past a limit with the frame *behind* `next`.
    fn is_full(&self, open: &OpenSegment, next: &Candidate<'_>, limits: &Limits, elapsed_us: i64) -> bool {
        let is_due = next.is_entry && elapsed_us >= limits.due_us(next.kind);
        let is_last_chance = elapsed_us + self.frame_us(next) >= limits.duration_us;
        is_due || is_last_chance || is_too_big(open, next, limits)
    }

    /// How long `next` lasts, judged by the longest frame of its track so far: where frames come irregularly, the
    /// segment had better end too early than too late.
    fn frame_us(&self, next: &Candidate<'_>) -> i64 {
        let track = self.track(next.kind);
        let since_us = track.newest_us.map_or(0, |newest_us| next.dts_us - newest_us);
        since_us.max(next.duration_us).max(track.longest_us)
    }

    /// Moves on to a frame of the open segment; returns when it ends.
    pub(super) fn advance(&mut self, next: &Candidate<'_>) -> i64 {
        let frame_us = self.frame_us(next);
        let track = self.track_mut(next.kind);
        *track = TrackTime { newest_us: Some(next.dts_us), longest_us: frame_us };
        let known_us = [next.duration_us, frame_us].into_iter().find(|us| *us > 0);
        next.dts_us + known_us.unwrap_or(UNKNOWN_FRAME_US)
    }

    /// A segment begins.
    pub(super) fn begin_segment(&mut self, discontinuity: bool) {
        if discontinuity {
            *self = Self::default();
        }
        (self.video.longest_us, self.audio.longest_us) = (0, 0);
    }

    fn track(&self, kind: MediaKind) -> &TrackTime {
        match kind {
            MediaKind::Video => &self.video,
            MediaKind::Audio | MediaKind::Data => &self.audio,
        }
    }

    fn track_mut(&mut self, kind: MediaKind) -> &mut TrackTime {
        match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio | MediaKind::Data => &mut self.audio,
        }
    }
}

fn is_too_big(open: &OpenSegment, next: &Candidate<'_>, limits: &Limits) -> bool {
    open.packets.len().saturating_add(next.frame.payload.len()) > limits.bytes
}

/// The end of a segment that no frame follows, or none of the same timeline: that of its last frame.
pub(super) fn last_end_us(open: &OpenSegment, limits: &Limits) -> i64 {
    let longest_us = (limits.duration_us - 1).max(1);
    open.start_us + (open.end_us - open.start_us).clamp(1, longest_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{audio_track, track_set, video_track};

    #[test]
    fn sound_that_comes_in_place_of_another_that_is_gone_replaces_it_within_the_segment_and_while_the_change_is_untold()
    {
        let alone = track_set(&[video_track()]);
        let [sound, other] = [48_000, 44_100].map(|rate_hz| track_set(&[video_track(), audio_track(rate_hz)]));
        for (begins_segment, is_sound_told, change) in
            [(false, false, Change::Replaced), (true, false, Change::Beside), (true, true, Change::Replaced)]
        {
            let mut changes = Changes::default();
            changes.note(if is_sound_told { &sound } else { &alone });
            changes.begin_segment(true);
            changes.note(&sound);
            changes.note(&alone);
            if begins_segment {
                changes.begin_segment(false);
            }
            changes.note(&other);
            assert_eq!(changes.change(), change, "{begins_segment}, {is_sound_told}");
        }
    }
}
