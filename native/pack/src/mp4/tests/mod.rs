//! Tests of the room. `foreign`: files of ffmpeg, beside what ffprobe says of them. `written`: files of ours. `files`: what is rarer. `media_time`: edit lists, the clock on the wall. `validate`: a judge of these.

mod dolby_vision;
mod files;
mod foreign;
mod media_time;
mod validate;
mod written;

use std::sync::Arc;

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, h264::AvcConfig};

use super::{Mp4Demuxer, Mp4Index, Step};
use crate::{
    demux::Item,
    testing::{Rng, VIDEO, audio_track, sound, track_set},
};

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

/// Reads all that is left of a file by random access. `tracks` have come before.
pub(super) fn read_on(index: &mut Mp4Index, file: &[u8], tracks: &[Track]) -> Read {
    let mut read = Read { tracks: tracks.to_vec(), ..Read::default() };
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
    read_on(&mut Mp4Index::new(file.len() as u64), file, &[])
}

/// An avcC record of libx264.
const RECORD: [u8; 39] = [
    1, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3, 0,
    0x40, 0, 0, 7, 0x83, 0xc5, 0x0a, 0xa8, 1, 0, 4, 0x68, 0xce, 0x0f, 0xc8, 0, 0,
];

/// H.264 with B-frames at 30000/1001 pictures a second in GOPs of 12, and AAC of 44.1 kHz, by decoding times. The bytes are noise behind
/// headers of NAL units that are right.
pub(super) fn stream(rng: &mut Rng, seconds: i64, start_90k: i64) -> (Arc<TrackSet>, Vec<Frame>) {
    let config = AvcConfig::parse(bytes::Bytes::from_static(&RECORD[..37])).unwrap();
    let video = Track::new(VIDEO, CodecConfig::H264(config));
    let mut timed: Vec<(i64, Frame)> = Vec::new();
    for index in 0..seconds * 30 {
        let dts = start_90k + index * 3_003;
        let is_key = index % 12 == 0;
        let length = 1 + rng.below(1_500) as usize;
        let mut nal = rng.bytes(length);
        nal[0] = if is_key { 0x65 } else { 0x41 };
        let payload = [&(length as u32).to_be_bytes()[..], &nal].concat().into();
        let delay = if is_key { 1 } else { [1, 3, 1, 0][index as usize % 4] };
        let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        timed.push((dts, Frame { track: VIDEO, flags, pts: dts + delay * 3_003, dts, duration: 0, payload }));
    }
    let start = start_90k * 441 / 900;
    for index in 0..seconds * 44_100 / 1_024 {
        let dts = start + index * 1_024;
        timed.push((dts * 900 / 441, sound(rng, dts, 300)));
    }
    timed.sort_by_key(|(at, _)| *at);
    (track_set(&[video, audio_track(44_100)]), timed.into_iter().map(|(_, frame)| frame).collect())
}
