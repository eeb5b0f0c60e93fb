//! Recordings, played back: HLS (RFC 8216) and DASH (ISO/IEC 23009-1) over the same CMAF segments, one track each, which are cut out of
//! recorded files when somebody asks for them.
//!
//! - `outline`: what is where in files of all kinds.
//! - `section`: files that go on from each other: one configuration, one timeline.
//! - `cut`: where a player may be given a segment.
//! - `playlist`: HLS. `manifest`: DASH.
//! - `segment`: the bytes of one.
//! - `clip`: a part of a recording as one MP4 file, whose bytes are those of the recorded ones.
//! - `remux`: the same of files that are no MP4: written while it is read.
//!
//! A segment is named by its track and by the time at which it is presented, in ticks: the same name stays right when older files are
//! deleted and newer ones come. What is missing between sections is passed over: players see one thing behind the other.

mod clip;
mod cut;
mod manifest;
mod outline;
mod playlist;
mod remux;
mod section;
mod segment;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arcly_bus::{Track, TrackId};
use arcly_codec::MediaKind;
use bytes::Bytes;

use self::section::Section;
pub use self::{
    clip::{ClipPart, ClipPlan},
    outline::{Form, PackedOutline, Places, SampleOutliner, StreamOutliner, pack_fragments},
    remux::{Remux, RemuxPart},
};
use crate::{
    PackError,
    mp4::{Fmp4Muxer, Outline, Range},
};

/// A segment has at least so much, in microseconds, where key frames allow it.
const SEGMENT_US: i64 = 4_000_000;

/// One file of a recording.
#[derive(Debug, Clone)]
pub struct Piece {
    /// What is where in it.
    pub outline: Arc<Outline>,
    /// The bytes in front of its first fragment.
    pub init: Bytes,
    /// How its bytes become frames.
    pub form: Form,
    /// The how-manieth of its recording it is; ascending.
    pub number: u64,
    /// Where in the recording it begins, in microseconds.
    pub position_us: u64,
    /// Time of the stream that is 0 in the file, in ticks of [`Self::base_hz`].
    pub base_ticks: i64,
    /// 0 when nobody knows it.
    pub base_hz: u32,
    /// It goes on where the one before it ends.
    pub follows: bool,
    /// When it was begun, in milliseconds of Unix time.
    pub began_unix_ms: u64,
}

/// A recording as players see it.
#[derive(Debug)]
pub struct Vod {
    pieces: Vec<Piece>,
    sections: Vec<Section>,
    has_ended: bool,
}

/// A segment, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Index of the file, among the pieces.
    pub piece: usize,
    /// Bytes of the file in which it is.
    pub range: Range,
    /// Its track.
    pub track: TrackId,
    /// When its first frame is decoded, by the outline of its file.
    begin_dts: i64,
    /// How many frames it has.
    frames: usize,
    /// Added to the times of the file.
    shift: i64,
    /// When the first frame behind it is decoded, if that is known.
    next_dts: Option<i64>,
}

impl Vod {
    /// A recording of these files, in their order. `has_ended`: no more of them come, and the last one does not grow.
    pub fn new(pieces: Vec<Piece>, has_ended: bool) -> Self {
        let pieces: Vec<Piece> = pieces.into_iter().filter(|piece| !piece.outline.fragments.is_empty()).collect();
        let sections = section::sections(&pieces, has_ended);
        Self { pieces, sections, has_ended }
    }

    /// Its files, without those that have nothing in them.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// All tracks that there ever are, pictures first.
    pub fn tracks(&self) -> Vec<&Track> {
        let mut tracks: Vec<&Track> = Vec::new();
        for track in self.sections.iter().flat_map(|section| &section.tracks) {
            if !tracks.iter().any(|known| known.id == track.id) {
                tracks.push(track);
            }
        }
        tracks.sort_by_key(|track| track.kind() != MediaKind::Video);
        tracks
    }

    /// How long it plays, in microseconds, without what is missing.
    pub fn duration_us(&self) -> i64 {
        self.sections.iter().map(Section::duration_us).fold(0, i64::saturating_add)
    }

    /// The init segment of a track from the file with that number on.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when no section begins there or it has no such track.
    pub fn init_segment(&self, number: u64, track: TrackId) -> Result<Bytes, PackError> {
        let missing = PackError::Misuse { what: "no such init segment" };
        let section = self.sections.iter().find(|section| self.number(section) == number).ok_or(missing.clone())?;
        let track = section.tracks.iter().find(|other| other.id == track).ok_or(missing)?;
        Ok(segment::muxer(track)?.init_segment().clone())
    }

    /// The segment of a track that is presented from that time on; `None` when there is none.
    pub fn segment(&self, track: TrackId, begin_pts: i64) -> Option<Segment> {
        self.sections.iter().find_map(|section| section.segment(&self.pieces, track, begin_pts))
    }

    /// The bytes of a segment, out of those of its file.
    ///
    /// # Errors
    /// [`PackError`] when they are not what they were.
    pub fn segment_bytes(&self, segment: &Segment, file: &Bytes) -> Result<Vec<u8>, PackError> {
        let piece = self.pieces.get(segment.piece).ok_or(PackError::Misuse { what: "segment of another recording" })?;
        segment::bytes(piece, segment, file)
    }

    /// HLS: the playlist that names those of the tracks.
    pub fn multivariant_playlist(&self) -> String {
        playlist::multivariant(self)
    }

    /// HLS: the playlist of a track; `None` when there is no such track.
    pub fn media_playlist(&self, track: TrackId) -> Option<String> {
        playlist::media(self, track)
    }

    /// DASH: the manifest.
    pub fn manifest(&self) -> String {
        manifest::manifest(self)
    }

    /// The number of the file with which a section begins.
    fn number(&self, section: &Section) -> u64 {
        self.pieces.get(section.first_piece).map_or(0, |piece| piece.number)
    }
}

/// Whether `track` can be played back.
fn is_playable(track: &Track) -> bool {
    track.kind() != MediaKind::Data && Fmp4Muxer::supports(track).is_ok()
}
