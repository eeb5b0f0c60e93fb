//! Tests of the room. `foreign`: what ffmpeg and ffprobe say of our files, and we of theirs.

mod foreign;
mod mux;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};

use super::{Mp4Demuxer, Mp4Index, Step};
use crate::demux::Item;

/// What comes out of a file.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Read {
    pub tracks: Vec<Track>,
    pub frames: Vec<Plain>,
    pub announcements: usize,
    pub dropped: u64,
    pub broken: u64,
}

/// A frame that can be compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plain {
    pub track: TrackId,
    pub flags: FrameFlags,
    pub pts: i64,
    pub dts: i64,
    pub duration: u32,
    pub payload: bytes::Bytes,
}

impl From<&Frame> for Plain {
    fn from(frame: &Frame) -> Self {
        let Frame { track, flags, pts, dts, duration, payload } = frame.clone();
        Self { track, flags, pts, dts, duration, payload }
    }
}

impl Read {
    pub fn take(&mut self, item: Item) {
        match item {
            Item::Tracks(tracks) => {
                self.tracks = tracks;
                self.announcements += 1;
            }
            Item::Frame(frame) => {
                assert!(self.tracks.iter().any(|track| track.id == frame.track), "a frame in front of its track");
                self.frames.push((&frame).into());
            }
            Item::EndOfSequence => {}
        }
    }

    pub fn of(&self, track: TrackId) -> Vec<&Plain> {
        self.frames.iter().filter(|frame| frame.track == track).collect()
    }
}

/// Pushes a file in pieces of that size.
pub(super) fn push(file: &[u8], piece_bytes: usize) -> Read {
    let (mut demuxer, mut read) = (Mp4Demuxer::new(), Read::default());
    for piece in file.chunks(piece_bytes) {
        demuxer.push(piece).unwrap();
        std::iter::from_fn(|| demuxer.poll()).for_each(|item| read.take(item));
    }
    demuxer.finish();
    std::iter::from_fn(|| demuxer.poll()).for_each(|item| read.take(item));
    (read.dropped, read.broken) = (demuxer.dropped_frames(), demuxer.broken_frames());
    read
}

/// Reads all that is left of a file by random access.
pub(super) fn read_on(index: &mut Mp4Index, file: &[u8]) -> Read {
    let mut read = Read::default();
    loop {
        match index.step().unwrap() {
            Step::Read { offset, bytes } => {
                let begin = usize::try_from(offset).unwrap();
                index.supply(offset, bytes::Bytes::copy_from_slice(&file[begin..begin + bytes]));
            }
            Step::Item(item) => read.take(item),
            Step::End => break,
        }
    }
    (read.dropped, read.broken) = (index.dropped_frames(), index.broken_frames());
    read
}

/// Reads a file by random access.
pub(super) fn index(file: &[u8]) -> Read {
    read_on(&mut Mp4Index::new(file.len() as u64), file)
}
