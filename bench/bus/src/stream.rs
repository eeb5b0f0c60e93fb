//! One stream of each kind, and the same frames for both.

use std::sync::Arc;

use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Publisher, Track, TrackId};
use arcly_codec::{Codec, CodecConfig};
use arcly_stream::{MediaFrame, StreamHandle};
use bytes::Bytes;

/// Bytes of a frame.
pub const FRAME_BYTES: usize = 4096;

/// Frames from one key frame to the next.
const GOP_FRAMES: u64 = 50;

/// The peer's default, `AppSpec::new`.
pub const PEER_CAPACITY: usize = 4096;

/// An avcC record written by libx264: 320x240, baseline.
const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];

/// A video track.
pub fn track() -> Track {
    let config = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).expect("the record is valid");
    Track::new(TrackId(0), config)
}

/// A stream of arcly with the bounds that are its default.
pub fn arcly() -> Publisher {
    let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    publisher.set_tracks(vec![track()]).expect("the stream is open");
    publisher
}

/// A stream of the peer with what is its default: no GOP cache, no observer. It does less than ours.
pub fn peer() -> StreamHandle {
    StreamHandle::new("live".into(), "bench".into(), PEER_CAPACITY)
}

/// Makes frames whose payloads exist already: what is measured is the bus and not the making of payloads.
pub struct Frames {
    payloads: Vec<Bytes>,
    next: u64,
}

impl Frames {
    /// As many as a chunk has frames: 256 KiB, so that the payloads stay in the cache and the bus is what is measured.
    const PAYLOADS: usize = 64;

    pub fn new() -> Self {
        let payload = |n: usize| Bytes::from(vec![n as u8; FRAME_BYTES]);
        let payloads: Vec<_> = (0..Self::PAYLOADS).map(payload).collect();
        // The first clone of a payload allocates its count.
        payloads.iter().for_each(|payload| drop(payload.clone()));
        Self { payloads, next: 0 }
    }

    fn next(&mut self) -> (i64, bool, Bytes) {
        let n = self.next;
        self.next += 1;
        (n as i64, n.is_multiple_of(GOP_FRAMES), self.payloads[n as usize % Self::PAYLOADS].clone())
    }

    pub fn arcly(&mut self) -> Frame {
        let (n, is_key, payload) = self.next();
        let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        Frame { track: TrackId(0), flags, pts: n * 3600, dts: n * 3600, duration: 3600, payload }
    }

    pub fn peer(&mut self) -> MediaFrame {
        let (n, is_key, payload) = self.next();
        MediaFrame::new_video(n * 40, n * 40, payload, arcly_stream::CodecId::H264, is_key)
    }
}

/// What every reader does with a frame, so that reading cannot be optimised away: looks at its time, its length and its first byte.
pub fn look(pts: i64, payload: &[u8]) -> u64 {
    pts as u64 ^ payload.len() as u64 ^ u64::from(payload.first().copied().unwrap_or_default())
}
