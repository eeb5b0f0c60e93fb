//! Where the samples of a file are, one after the other: for a part of a recording as a file of its own.

use arcly_bus::Track;
use bytes::Bytes;

use super::Place;
use crate::{
    Item, PackError,
    mp4::demux::{Mp4Index, Step},
};

/// Goes over the samples of a file without reading them. No I/O: it says which bytes it needs.
#[derive(Debug)]
pub struct PlaceReader {
    index: Mp4Index,
}

/// What a [`PlaceReader`] does next.
#[derive(Debug, Clone)]
pub enum PlaceStep {
    /// It needs these bytes of the file: see [`PlaceReader::supply`].
    Read {
        /// Of the first byte.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// The tracks, or those that are known now.
    Tracks(Vec<Track>),
    /// The next sample of one of them.
    Place(Place),
    /// There are no more.
    End,
}

impl PlaceReader {
    /// For a file of so many bytes.
    pub fn new(file_bytes: u64) -> Self {
        Self { index: Mp4Index::places(file_bytes) }
    }

    /// For one whose tracks were found before: its tables are all that it needs.
    pub fn of_tables(file_bytes: u64, tracks: Vec<Track>) -> Self {
        Self { index: Mp4Index::places_of(file_bytes, tracks) }
    }

    /// What comes next.
    ///
    /// # Errors
    /// [`PackError`] when the file cannot be read on, or its samples are not in the form of the bus.
    pub fn step(&mut self) -> Result<PlaceStep, PackError> {
        loop {
            if let Some(place) = self.index.poll_place() {
                return Ok(PlaceStep::Place(place));
            }
            match self.index.advance()? {
                Some(Step::Read { offset, bytes }) => return Ok(PlaceStep::Read { offset, bytes }),
                Some(Step::Item(Item::Tracks(tracks))) => return Ok(PlaceStep::Tracks(tracks)),
                Some(Step::Item(_)) | None => {}
                Some(Step::End) => return Ok(PlaceStep::End),
            }
        }
    }

    /// Gives it bytes of the file that begin at `offset`.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.index.supply(offset, bytes);
    }
}
