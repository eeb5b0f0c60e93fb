//! A part of a recording as one MP4 file: which fragments of which files, and the samples in them that are wanted.

use arcly_bus::{Track, TrackId};
use arcly_codec::MediaKind;

use super::{
    Piece, Vod,
    cut::{Beat, beats, shift},
    section::Section,
};
use crate::{
    PackError,
    mp4::{Fragment, MovieBuilder, Place, Range, TrackOptions},
    time::rescale,
};

/// Fragments of one file that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipPart {
    /// Index of the file, among the pieces.
    pub piece: usize,
    /// Their bytes.
    pub range: Range,
    /// What is added to the times of each track.
    shifts: Vec<(TrackId, i64)>,
}

/// A part of a recording.
#[derive(Debug, Clone)]
pub struct ClipPlan {
    /// Where its samples are.
    pub parts: Vec<ClipPart>,
    /// When it begins: at a key frame, at the time that was asked for or before it; in microseconds of the recording.
    pub begin_us: i64,
    /// When it ends.
    pub end_us: i64,
    /// When its first frame is decoded: sound from then on belongs to it.
    pub(super) begin_dts_us: i64,
    pub(super) tracks: Vec<Track>,
}

impl ClipPlan {
    /// What makes its `moov`.
    ///
    /// # Errors
    /// [`PackError`], when MP4 cannot carry its tracks.
    pub fn builder(&self) -> Result<MovieBuilder, PackError> {
        MovieBuilder::new(&self.tracks, |_| TrackOptions::default())
    }

    /// A sample of a part, at its time in the recording; `None` when it is not wanted. `offset`: where it is in what the clip is made of.
    pub fn place(&self, part: &ClipPart, place: Place, offset: u64) -> Option<Place> {
        let (pts, dts) = self.times(part, place.track, (place.pts, place.dts))?;
        Some(Place { offset, pts, dts, ..place })
    }

    /// PTS and DTS in the recording of a frame of a part; `None` when it is not wanted.
    pub(super) fn times(&self, part: &ClipPart, track: TrackId, (pts, dts): (i64, i64)) -> Option<(i64, i64)> {
        let track = self.tracks.iter().find(|known| known.id == track)?;
        let shift = part.shifts.iter().find(|(id, _)| *id == track.id).map_or(0, |(_, shift)| *shift);
        let (pts, dts) = (pts.saturating_add(shift), dts.saturating_add(shift));
        let us = rescale(pts, track.clock_rate_hz, 1_000_000);
        // Pictures are cut by the order in which they are decoded: none is taken from those that need it.
        let begins = track.kind() == MediaKind::Video || us >= self.begin_dts_us;
        let ends = rescale(dts, track.clock_rate_hz, 1_000_000) >= self.end_us;
        (begins && !ends).then_some((pts, dts))
    }
}

impl Vod {
    /// The part from the last key frame at `begin_us` or before it up to `end_us`, in microseconds of the recording; `None` when nothing is
    /// there. It ends where the tracks become others; what is missing stays a pause.
    pub fn clip(&self, begin_us: i64, end_us: i64) -> Option<ClipPlan> {
        let all: Vec<Candidate<'_>> = self.sections.iter().flat_map(|section| self.candidates(section)).collect();
        let entries = || all.iter().enumerate().filter(|(_, candidate)| candidate.is_entry);
        let begin = entries().take_while(|(_, candidate)| candidate.begin_us <= begin_us).last().or(entries().next());
        let (begin, first) = begin?;
        let end_us = end_us.max(first.begin_us.saturating_add(1));
        let wanted = all
            .iter()
            .skip(begin)
            .take_while(|candidate| candidate.begin_us < end_us && candidate.section.tracks == first.section.tracks);
        let mut parts: Vec<ClipPart> = Vec::new();
        for candidate in wanted {
            let Range { offset, bytes } = candidate.fragment.range;
            match parts.last_mut().filter(|part| part.piece == candidate.piece) {
                Some(part) => {
                    let end = (part.range.offset + part.range.bytes).max(offset + bytes);
                    part.range.offset = part.range.offset.min(offset);
                    part.range.bytes = end - part.range.offset;
                }
                None => parts.push(ClipPart {
                    piece: candidate.piece,
                    range: candidate.fragment.range,
                    shifts: self.shifts(candidate.section, candidate.piece),
                }),
            }
        }
        let Candidate { begin_us, begin_dts_us, section, .. } = first;
        Some(ClipPlan {
            parts,
            begin_us: *begin_us,
            end_us,
            begin_dts_us: *begin_dts_us,
            tracks: section.tracks.clone(),
        })
    }

    fn shifts(&self, section: &Section, piece: usize) -> Vec<(TrackId, i64)> {
        let (Some(first), Some(piece)) = (self.pieces.get(section.first_piece), self.pieces.get(piece)) else {
            return Vec::new();
        };
        section.tracks.iter().map(|track| (track.id, shift(first, piece, track))).collect()
    }

    fn candidates<'a>(&'a self, section: &'a Section) -> Vec<Candidate<'a>> {
        let Some(first) = self.pieces.get(section.first_piece) else { return Vec::new() };
        let of_piece = |(index, piece): (usize, &'a Piece)| {
            beats(piece, &section.tracks).map(move |Beat { fragment, track, span, is_entry, .. }| {
                let shift = shift(first, piece, track);
                let us = |ticks: i64| rescale(ticks.saturating_add(shift), track.clock_rate_hz, 1_000_000);
                let (begin_us, begin_dts_us) = (us(span.first_pts), us(span.begin_dts));
                Candidate { piece: index, section, fragment, is_entry, begin_us, begin_dts_us }
            })
        };
        let pieces = self.pieces.iter().enumerate().skip(section.first_piece).take(section.pieces);
        pieces.flat_map(of_piece).collect()
    }
}

/// A fragment with which a clip may begin or go on.
struct Candidate<'a> {
    piece: usize,
    section: &'a Section,
    fragment: &'a Fragment,
    is_entry: bool,
    begin_us: i64,
    begin_dts_us: i64,
}
