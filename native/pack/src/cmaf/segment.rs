//! Parts and segments of one track, complete: never changed again.

use std::sync::Arc;

use arcly_bus::Track;
use bytes::Bytes;

/// What a decoder is given before the first segment: a CMAF header (ISO/IEC 23000-19 §7.3.1).
#[derive(Debug)]
pub struct Init {
    /// The last part of its URI.
    pub name: String,
    /// `ftyp` and `moov`.
    pub data: Bytes,
    /// What it configures: the track as it was then.
    pub track: Track,
}

/// A Partial Segment (RFC 8216bis §4.4.4.9): one CMAF chunk.
#[derive(Debug)]
pub struct Part {
    /// The last part of its URI. Parts are numbered through, whichever segment they belong to: a hint at the next one is right even
    /// where nobody knows yet whether a segment ends in front of it.
    pub name: String,
    /// `moof` and `mdat`, and what stands in front of them. Empty in a gap.
    pub data: Bytes,
    /// How long it lasts.
    pub duration_us: i64,
    /// It contains a frame at which decoding can begin.
    pub independent: bool,
    /// Nothing is here: the frame in front of it lasts longer than a part may.
    pub gap: bool,
}

/// A Media Segment: the parts of which it is made.
#[derive(Debug)]
pub struct Segment {
    /// Media Sequence Number (RFC 8216bis §3).
    pub sequence: u64,
    /// The last part of its URI.
    pub name: String,
    /// How many breaks of the timeline were in front of it: its Discontinuity Sequence Number (RFC 8216bis §6.2.1).
    pub epoch: u64,
    /// What its decoder is given first.
    pub init: Arc<Init>,
    /// Earliest presentation time in ticks of the track's clock.
    pub start: i64,
    /// What it lasts in ticks of the track's clock.
    pub duration: i64,
    /// What it lasts: the sum of its parts.
    pub duration_us: i64,
    /// Decoding time of its first frame.
    pub start_us: i64,
    /// Decoding can begin at its first frame.
    pub independent: bool,
    /// Number of its first part.
    pub first_part: u64,
    /// In their order.
    pub parts: Vec<Arc<Part>>,
    /// Of all parts.
    pub bytes: usize,
    /// Frames in it.
    pub frames: u64,
}

impl Segment {
    /// Its bytes, piece by piece.
    pub fn pieces(&self) -> Vec<Bytes> {
        self.parts.iter().filter(|part| !part.gap).map(|part| part.data.clone()).collect()
    }
}
