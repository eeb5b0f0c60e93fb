//! A recording, made whole: a fragmented file becomes one that plays everywhere, with `moov` in front (faststart); and the end of a
//! recording that was cut off is found.
//!
//! - `tables`: the samples of a track as the tables of `stbl`, built while they are noted.
//! - `layout`: chunks of all tracks in the order of their times, `moov` in front of them.
//! - `recover`: how much of a file is whole.
//! - `clip`: where the samples of a file are, for a part of it as a file of its own.
//!
//! No I/O: [`Finalizer`] says which bytes of the recording it needs to see, and in the end which ranges of it make the new file.

mod clip;
mod layout;
mod recover;
mod tables;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::MediaKind;
use bytes::Bytes;

pub use clip::{PlaceReader, PlaceStep};
pub use layout::{Layout, Range};
pub use recover::WholeFragments;

use self::{
    layout::{first_presented, lay_out},
    tables::Tables,
};
use super::{
    demux::{Mp4Index, Step},
    entry,
    mux::{MAX_TRACKS, TrackOptions},
};
use crate::{PackError, demux::Item};

/// One access unit in a file of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its track.
    pub track: TrackId,
    /// Where its bytes begin.
    pub offset: u64,
    /// How many they are.
    pub bytes: u32,
    /// Presentation time in ticks of the track's clock.
    pub pts: i64,
    /// Decoding time in ticks of the track's clock.
    pub dts: i64,
    /// Length in ticks of the track's clock; 0 when it is not known.
    pub duration: u32,
    /// Whether decoding can begin here.
    pub is_key: bool,
}

impl Place {
    /// The place of a frame whose bytes were written at `offset`.
    pub fn of(frame: &Frame, offset: u64) -> Self {
        let Frame { track, flags, pts, dts, duration, .. } = *frame;
        let bytes = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
        Self { track, offset, bytes, pts, dts, duration, is_key: flags.contains(FrameFlags::KEY) }
    }
}

/// Makes the `moov` of samples that lie somewhere already.
#[derive(Debug)]
pub struct MovieBuilder {
    tables: Vec<Tables>,
}

impl MovieBuilder {
    /// For samples of these tracks. Data tracks are left out: a movie has no events.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when there is no other, [`PackError::LimitExceeded`] for more than [`MAX_TRACKS`],
    /// [`PackError::Unsupported`] for a codec that MP4 cannot carry.
    pub fn new(tracks: &[Track], options: impl Fn(&Track) -> TrackOptions) -> Result<Self, PackError> {
        let mut builder = Self { tables: Vec::new() };
        builder.add_with_options(tracks, options)?;
        match builder.tables.len() {
            0 => Err(PackError::Misuse { what: "MP4 without a track that has samples" }),
            _ => Ok(builder),
        }
    }

    /// Takes samples of these tracks, too. Those that it has already stay as they are.
    fn add(&mut self, tracks: &[Track]) -> Result<(), PackError> {
        self.add_with_options(tracks, |_| TrackOptions::default())
    }

    fn add_with_options(
        &mut self,
        tracks: &[Track],
        options: impl Fn(&Track) -> TrackOptions,
    ) -> Result<(), PackError> {
        for track in tracks.iter().filter(|track| track.kind() != MediaKind::Data) {
            if self.tables.iter().any(|tables| tables.track.id == track.id) {
                continue;
            }
            if self.tables.len() >= MAX_TRACKS {
                let seen = self.tables.len() + 1;
                return Err(PackError::LimitExceeded { limit: "tracks in an MP4 file", max: MAX_TRACKS, seen });
            }
            entry::check(track)?;
            self.tables.push(Tables::new(track, options(track)));
        }
        Ok(())
    }

    /// Takes the next sample of a track, in the order of decoding. Samples of other tracks, and those without bytes, are passed over.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when the decoding time goes back, [`PackError::LimitExceeded`] when it leaps by 2^32 ticks or more.
    pub fn note(&mut self, place: &Place) -> Result<(), PackError> {
        let tables = self.tables.iter_mut().find(|tables| tables.track.id == place.track);
        tables.filter(|_| place.bytes > 0).map_or(Ok(()), |tables| tables.note(place))
    }

    /// The file: what is written first, and the ranges of the old one that follow. It begins with the first frame that is presented.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when there was no sample.
    pub fn finish(self) -> Result<Layout, PackError> {
        let zero = first_presented(&self.tables);
        lay_out(self.tables, zero)
    }
}

/// What a [`Finalizer`] does next.
#[derive(Debug, Clone)]
pub enum Finalizing {
    /// It needs these bytes of the recording: see [`Finalizer::supply`].
    Read {
        /// Of the first byte.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// The new file.
    Done(Layout),
}

/// Turns a finished recording, fragmented or not, whole or cut off, into a file with `moov` in front.
///
/// Only boxes are read, no media. Times stay as they are: players may have seen them while the file grew. One configuration holds for the whole file: a recorder begins a new one when it changes.
#[derive(Debug)]
pub struct Finalizer {
    index: Mp4Index,
    builder: Option<MovieBuilder>,
}

impl Finalizer {
    /// For a recording of so many bytes.
    pub fn new(file_bytes: u64) -> Self {
        Self { index: Mp4Index::places(file_bytes), builder: None }
    }

    /// What comes next. Nothing more behind [`Finalizing::Done`] and behind an error.
    ///
    /// # Errors
    /// [`PackError`] when the recording cannot be read, or has nothing in it.
    pub fn step(&mut self) -> Result<Finalizing, PackError> {
        loop {
            while let Some(place) = self.index.poll_place() {
                self.builder.as_mut().map_or(Ok(()), |builder| builder.note(&place))?;
            }
            match self.index.advance()? {
                Some(Step::Read { offset, bytes }) => return Ok(Finalizing::Read { offset, bytes }),
                // More of them come when their configuration is found in their first samples.
                Some(Step::Item(Item::Tracks(tracks))) => match &mut self.builder {
                    Some(builder) => builder.add(&tracks)?,
                    None => self.builder = Some(MovieBuilder::new(&tracks, |_| TrackOptions::default())?),
                },
                Some(Step::Item(_)) | None => {}
                Some(Step::End) => {
                    let builder = self.builder.take().ok_or(PackError::Misuse { what: "recording without tracks" })?;
                    return lay_out(builder.tables, 0).map(Finalizing::Done);
                }
            }
        }
    }

    /// Gives it bytes of the recording that begin at `offset`.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.index.supply(offset, bytes);
    }
}
