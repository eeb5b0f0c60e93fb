//! Files that go on from each other: one configuration, one timeline.

use arcly_bus::{Track, TrackId};

use super::{
    Piece, Segment,
    cut::{Cut, cuts},
    is_playable,
};
use crate::{mp4::Range, time::rescale};

/// A name that is off by so much means the same segment, in microseconds: where a section begins is rounded, and moves when its first file
/// is deleted.
const NAME_TOLERANCE_US: i64 = 1_000;

/// A part of a recording without a break in it.
#[derive(Debug)]
pub(super) struct Section {
    pub tracks: Vec<Track>,
    /// Index of its first file.
    pub first_piece: usize,
    /// How many files it has.
    pub pieces: usize,
    /// Of each track, in the order of [`Self::tracks`].
    pub cuts: Vec<Vec<Cut>>,
}

/// The sections of these files. The last segment of a recording that still grows is left out: there may be more of it.
pub(super) fn sections(pieces: &[Piece], has_ended: bool) -> Vec<Section> {
    let mut begins: Vec<usize> = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| pieces.get(before));
        if !before.is_some_and(|before| goes_on(before, piece)) {
            begins.push(index);
        }
    }
    let ends = begins.iter().skip(1).copied().chain([pieces.len()]);
    let mut sections: Vec<Section> =
        begins.iter().zip(ends).map(|(&begin, end)| Section::new(pieces, begin, end)).collect();
    if let Some(last) = sections.last_mut().filter(|_| !has_ended) {
        last.cuts.iter_mut().for_each(|cuts| cuts.truncate(cuts.len().saturating_sub(1)));
    }
    sections
}

fn goes_on(before: &Piece, piece: &Piece) -> bool {
    piece.follows
        && piece.number == before.number + 1
        && piece.base_hz > 0
        && piece.base_hz == before.base_hz
        && piece.outline.tracks == before.outline.tracks
}

impl Section {
    fn new(pieces: &[Piece], begin: usize, end: usize) -> Self {
        let own = pieces.get(begin..end).unwrap_or_default();
        let tracks: Vec<Track> = own.first().map_or(Vec::new(), |piece| {
            piece.outline.tracks.iter().filter(|track| is_playable(track)).cloned().collect()
        });
        let cuts = cuts(own, begin, &tracks);
        Self { tracks, first_piece: begin, pieces: end - begin, cuts }
    }

    /// The segments of a track.
    pub fn cuts_of(&self, track: TrackId) -> Option<(&Track, &[Cut])> {
        let found = self.tracks.iter().zip(&self.cuts).find(|(other, _)| other.id == track);
        found.map(|(track, cuts)| (track, cuts.as_slice()))
    }

    /// When the first of its tracks begins, in microseconds of the recording.
    pub fn begin_us(&self) -> i64 {
        let begins = self.tracks.iter().zip(&self.cuts).filter_map(|(track, cuts)| {
            // A gap in front of a track that is late begins where others are decoded, which may be before anything is presented.
            let first = cuts.iter().find(|cut| !cut.is_gap())?;
            Some(rescale(first.begin_pts, track.clock_rate_hz, 1_000_000))
        });
        begins.min().unwrap_or(0)
    }

    /// How long the longest of its tracks is, in microseconds.
    pub fn duration_us(&self) -> i64 {
        let ends = self
            .tracks
            .iter()
            .zip(&self.cuts)
            .filter_map(|(track, cuts)| Some(rescale(cuts.last()?.end_pts, track.clock_rate_hz, 1_000_000)));
        ends.max().unwrap_or(0).saturating_sub(self.begin_us()).max(0)
    }

    /// The segment of that name.
    pub fn segment(&self, pieces: &[Piece], id: TrackId, begin_pts: i64) -> Option<Segment> {
        let (track, cuts) = self.cuts_of(id)?;
        let tolerance = rescale(NAME_TOLERANCE_US, 1_000_000, track.clock_rate_hz);
        let index = cuts.partition_point(|cut| cut.begin_pts < begin_pts.saturating_sub(tolerance));
        let is_it = |cut: &&Cut| !cut.is_gap() && cut.begin_pts.saturating_sub(begin_pts) <= tolerance;
        let cut = cuts.get(index).filter(is_it)?;
        let fragments = pieces.get(cut.piece)?.outline.fragments.get(cut.fragments.clone())?;
        // Those of a file with tables may overlap: sound from before a key frame may lie behind it.
        let offset = fragments.iter().map(|fragment| fragment.range.offset).min()?;
        let end = fragments.iter().map(|fragment| fragment.range.offset + fragment.range.bytes).max()?;
        let range = Range { offset, bytes: end - offset };
        let spans = fragments.iter().flat_map(|fragment| &fragment.spans).filter(|span| span.track == id);
        let frames = spans.map(|span| span.frames as usize).sum();
        let next_dts = cuts.get(index + 1).map(|next| next.begin_dts);
        let begin_dts = cut.begin_dts.saturating_sub(cut.shift);
        Some(Segment { piece: cut.piece, range, track: id, begin_dts, frames, shift: cut.shift, next_dts })
    }
}
