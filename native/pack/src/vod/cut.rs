//! Where a player may be given a segment: at fragments that begin with a key frame.

use std::ops;

use arcly_bus::{Track, TrackId};
use arcly_codec::MediaKind;

use super::{Piece, SEGMENT_US};
use crate::{
    mp4::{Fragment, Span},
    time::rescale,
};

/// A segment of one track; times in ticks of its clock, on the timeline of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Index of the file.
    pub piece: usize,
    /// Those of its fragments that have the segment.
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

/// The segments of each track of files that go on from each other; `begin` is the index of the first of them.
pub(super) fn cuts(pieces: &[Piece], begin: usize, tracks: &[Track]) -> Vec<Vec<Cut>> {
    let groups: Vec<(usize, ops::Range<usize>)> = pieces
        .iter()
        .enumerate()
        .flat_map(|(index, piece)| groups(piece, tracks).into_iter().map(move |group| (index, group)))
        .collect();
    let Some(first) = pieces.first() else { return Vec::new() };
    let of_track = |track: &Track| {
        let mut cuts: Vec<Cut> = Vec::new();
        for (index, group) in &groups {
            let Some(piece) = pieces.get(*index) else { continue };
            let Some(cut) = cut(piece, begin + index, group.clone(), track, shift(first, piece, track)) else {
                continue;
            };
            if let Some(before) = cuts.last_mut() {
                before.end_pts = cut.begin_pts;
            }
            cuts.push(cut);
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

/// Fragments of a file that make a segment together: from one that begins with a key frame on, long enough.
fn groups(piece: &Piece, tracks: &[Track]) -> Vec<ops::Range<usize>> {
    let video = tracks.iter().find(|track| track.kind() == MediaKind::Video);
    let Some(lead) = video.or(tracks.first()) else { return Vec::new() };
    let mut groups: Vec<ops::Range<usize>> = Vec::new();
    let mut begin_us = i64::MIN;
    for (index, fragment) in piece.outline.fragments.iter().enumerate() {
        let at_us = span(fragment, lead.id).map(|span| rescale(span.begin_dts, lead.clock_rate_hz, 1_000_000));
        let is_due = at_us.is_some_and(|at_us| at_us.saturating_sub(begin_us) >= SEGMENT_US);
        match groups.last_mut() {
            Some(group) if !(is_due && fragment.is_entry) => group.end = index + 1,
            _ => {
                begin_us = at_us.unwrap_or(begin_us);
                groups.push(index..index + 1);
            }
        }
    }
    groups
}

fn span(fragment: &Fragment, track: TrackId) -> Option<&Span> {
    fragment.spans.iter().find(|span| span.track == track)
}

/// A group of fragments as a segment of one track; `None` when it has nothing of it.
fn cut(piece: &Piece, index: usize, group: ops::Range<usize>, track: &Track, shift: i64) -> Option<Cut> {
    let fragments = piece.outline.fragments.get(group.clone())?;
    let spans: Vec<&Span> = fragments.iter().filter_map(|fragment| span(fragment, track.id)).collect();
    let (first, last) = (spans.first()?, spans.last()?);
    let begin_pts = first.first_pts.saturating_add(shift);
    let delay = first.first_pts.saturating_sub(first.begin_dts);
    Some(Cut {
        piece: index,
        fragments: group,
        shift,
        begin_dts: first.begin_dts.saturating_add(shift),
        begin_pts,
        end_pts: last.end_dts.saturating_add(delay).saturating_add(shift).max(begin_pts),
        bytes: spans.iter().map(|span| span.bytes).fold(0, u64::saturating_add),
    })
}
