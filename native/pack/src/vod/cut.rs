//! Where a player may be given a segment: at fragments that begin with a key frame, and where there are no pictures for long, at any.

use std::ops;

use arcly_bus::Track;
use arcly_codec::MediaKind;

use super::{Piece, SEGMENT_US};
use crate::{
    mp4::{Fragment, Span},
    time::rescale,
};

/// Of so much without a frame of the track that leads, in microseconds, that has ceased: segments are made without it.
const SILENT_US: i64 = 5_000_000;
/// What is missing of a track for less is passed over, in microseconds.
const GAP_MIN_US: i64 = 1_000_000;

/// A segment of one track; times in ticks of its clock, on the timeline of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Index of the file.
    pub piece: usize,
    /// Those of its fragments that have the segment; none where the track is silent.
    pub fragments: ops::Range<usize>,
    /// What is added to times in the file.
    pub shift: i64,
    /// When its first frame is decoded.
    pub begin_dts: i64,
    /// When its first frame is presented.
    pub begin_pts: i64,
    /// When the next one begins; of the last one, when its last frame ends.
    pub end_pts: i64,
    /// Of its frames.
    pub bytes: u64,
}

impl Cut {
    /// Whether the track has nothing there, while others have.
    pub fn is_gap(&self) -> bool {
        self.fragments.is_empty()
    }
}

/// The segments of each track of files that go on from each other; `begin` is the index of the first of them.
pub(super) fn cuts(pieces: &[Piece], begin: usize, tracks: &[Track]) -> Vec<Vec<Cut>> {
    let groups: Vec<(usize, Group)> = pieces
        .iter()
        .enumerate()
        .flat_map(|(index, piece)| groups(piece, tracks).into_iter().map(move |group| (index, group)))
        .collect();
    let Some(first) = pieces.first() else { return Vec::new() };
    let of_track = |track: &Track| {
        let gap_min = rescale(GAP_MIN_US, 1_000_000, track.clock_rate_hz);
        let mut cuts: Vec<Cut> = Vec::new();
        for (index, group) in &groups {
            let Some(piece) = pieces.get(*index) else { continue };
            let cut = cut(piece, begin + index, group, track, shift(first, piece, track));
            let is_short =
                |before: &mut Cut| before.is_gap() && cut.begin_pts.saturating_sub(before.begin_pts) < gap_min;
            cuts.pop_if(is_short);
            cuts.push(cut);
        }
        // A track that does not come again has ended.
        cuts.truncate(cuts.iter().rposition(|cut| !cut.is_gap()).map_or(0, |last| last + 1));
        let mut next = None;
        for cut in cuts.iter_mut().rev() {
            cut.end_pts = next.replace(cut.begin_pts).unwrap_or(cut.end_pts);
        }
        cuts
    };
    tracks.iter().map(of_track).collect()
}

/// What is added to the times of a file. Exact from file to file; only where the first one begins is rounded.
pub(super) fn shift(first: &Piece, piece: &Piece, track: &Track) -> i64 {
    let clock_hz = track.clock_rate_hz;
    let begin = rescale(i64::try_from(first.position_us).unwrap_or(i64::MAX), 1_000_000, clock_hz);
    if piece.base_hz == 0 {
        return begin;
    }
    begin.saturating_add(rescale(piece.base_ticks.saturating_sub(first.base_ticks), piece.base_hz, clock_hz))
}

/// A fragment in time: by its first frame of the track that leads, or of any where it has none of that.
pub(super) struct Beat<'a> {
    /// Its place in the file.
    index: usize,
    pub fragment: &'a Fragment,
    pub track: &'a Track,
    pub span: &'a Span,
    /// Whether players can begin with it. Where pictures have ceased, they can with sound.
    pub is_entry: bool,
}

/// The fragments of a file that have something of these tracks, of which the first one with pictures leads, or else the first.
pub(super) fn beats<'a>(piece: &'a Piece, tracks: &'a [Track]) -> impl Iterator<Item = Beat<'a>> {
    let lead = tracks.iter().find(|track| track.kind() == MediaKind::Video).or(tracks.first()).map(|track| track.id);
    // In front of its first frame nothing waits for it.
    let mut lead_us = i64::MIN;
    piece.outline.fragments.iter().enumerate().filter_map(move |(index, fragment)| {
        let of_lead = fragment.spans.iter().find(|span| Some(span.track) == lead);
        let any = || fragment.spans.iter().find(|span| tracks.iter().any(|track| track.id == span.track));
        let span = of_lead.or_else(any)?;
        let track = tracks.iter().find(|track| track.id == span.track)?;
        let at_us = rescale(span.begin_dts, track.clock_rate_hz, 1_000_000);
        let is_silent = of_lead.is_none() && at_us.saturating_sub(lead_us) >= SILENT_US;
        if of_lead.is_some() {
            lead_us = rescale(span.end_dts, track.clock_rate_hz, 1_000_000);
        }
        Some(Beat { index, fragment, track, span, is_entry: fragment.is_entry || is_silent })
    })
}

/// Fragments that make a segment together, and when they begin, in microseconds of their file.
struct Group {
    fragments: ops::Range<usize>,
    begin_us: i64,
}

/// Those of a file: from one that players can begin with on, long enough.
fn groups(piece: &Piece, tracks: &[Track]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for Beat { index, track, span, is_entry, .. } in beats(piece, tracks) {
        let at_us = rescale(span.begin_dts, track.clock_rate_hz, 1_000_000);
        match groups.last_mut() {
            Some(group) if !is_entry || at_us.saturating_sub(group.begin_us) < SEGMENT_US => {
                group.fragments.end = index + 1;
            }
            _ => groups.push(Group { fragments: index..index + 1, begin_us: at_us }),
        }
    }
    groups
}

/// A group of fragments as a segment of one track: a gap where it has nothing of it.
fn cut(piece: &Piece, index: usize, group: &Group, track: &Track, shift: i64) -> Cut {
    let fragments = piece.outline.fragments.get(group.fragments.clone()).unwrap_or_default();
    let spans = || fragments.iter().flat_map(|fragment| &fragment.spans).filter(|span| span.track == track.id);
    let (Some(first), Some(last)) = (spans().next(), spans().last()) else {
        let begin = rescale(group.begin_us, 1_000_000, track.clock_rate_hz).saturating_add(shift);
        return Cut {
            piece: index,
            fragments: 0..0,
            shift,
            begin_dts: begin,
            begin_pts: begin,
            end_pts: begin,
            bytes: 0,
        };
    };
    let begin_pts = first.first_pts.saturating_add(shift);
    let delay = first.first_pts.saturating_sub(first.begin_dts);
    Cut {
        piece: index,
        fragments: group.fragments.clone(),
        shift,
        begin_dts: first.begin_dts.saturating_add(shift),
        begin_pts,
        end_pts: last.end_dts.saturating_add(delay).saturating_add(shift).max(begin_pts),
        bytes: spans().map(|span| span.bytes).fold(0, u64::saturating_add),
    }
}
