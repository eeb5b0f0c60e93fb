//! Tags to be written: a header of a few bytes in front of a payload that is shared, never copied.

use bytes::Bytes;

use super::{reader::MAX_TAG_BYTES, tag::TagKind};
use crate::PackError;

/// Longest header of a body: `FrameType`, a ModEx packet of 5 bytes, multitrack with its FourCC and track id, and a
/// composition time are 15.
const MAX_HEADER_BYTES: usize = 16;
/// Bytes of a tag in front of its body (§E.4.1).
pub const TAG_HEADER_BYTES: usize = 11;

/// A tag. Its body, [`header`](Self::header) and then `payload`, is that of an FLV tag and of an RTMP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlvTag {
    /// `TagType`, and the type of the RTMP message.
    pub kind: TagKind,
    /// What it is to a viewer that joins or lags.
    pub role: TagRole,
    /// Milliseconds, modulo 2^32.
    pub timestamp_ms: u32,
    header: Header,
    /// The rest of the body: an access unit as it is on the bus, or a record.
    pub payload: Bytes,
}

/// What a tag is to whoever sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagRole {
    /// `onMetaData` or `colorInfo`.
    Metadata,
    /// A sequence header: needed in front of the frames behind it.
    Configuration,
    /// A frame at which decoding of the video can begin.
    KeyFrame,
    /// Any other frame.
    Frame,
    /// The end of a track.
    End,
}

/// The first bytes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    bytes: [u8; MAX_HEADER_BYTES],
    length: usize,
}

impl Header {
    pub fn of(bytes: &[u8]) -> Self {
        let mut header = Self::default();
        header.put(bytes);
        header
    }

    /// Appends; there is room for the longest header.
    pub fn put(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *slot = *byte;
        }
        self.length = (self.length + bytes.len()).min(MAX_HEADER_BYTES);
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl FlvTag {
    pub(super) fn new(
        kind: TagKind,
        role: TagRole,
        timestamp_ms: u32,
        header: Header,
        payload: Bytes,
    ) -> Result<Self, PackError> {
        let tag = Self { kind, role, timestamp_ms, header, payload };
        let seen = tag.body_bytes();
        if seen > MAX_TAG_BYTES {
            return Err(PackError::LimitExceeded { limit: "bytes of an FLV tag", max: MAX_TAG_BYTES, seen });
        }
        Ok(tag)
    }

    /// The first bytes of the body, at most 16.
    pub fn header(&self) -> &[u8] {
        self.header.as_slice()
    }

    /// Bytes of the body; they fit into 24 bits.
    pub fn body_bytes(&self) -> usize {
        self.header.length + self.payload.len()
    }

    /// The body in one piece: a copy.
    pub fn body(&self) -> Bytes {
        [self.header(), &self.payload].concat().into()
    }

    /// What stands in front of the body in a file and in HTTP-FLV (§E.4.1).
    pub fn file_header(&self) -> [u8; TAG_HEADER_BYTES] {
        let tag_type = match self.kind {
            TagKind::Audio => 8,
            TagKind::Video => 9,
            TagKind::Script => 18,
        };
        // 24 bits: checked when the tag was made.
        let [_, s0, s1, s2] = (self.body_bytes() as u32).to_be_bytes();
        let [extended, t0, t1, t2] = self.timestamp_ms.to_be_bytes();
        [tag_type, s0, s1, s2, t0, t1, t2, extended, 0, 0, 0]
    }

    /// What stands behind the body there: `PreviousTagSize` (§E.3).
    pub fn previous_tag_size(&self) -> [u8; 4] {
        ((TAG_HEADER_BYTES + self.body_bytes()) as u32).to_be_bytes()
    }

    /// Appends the tag as it is in a file, with `PreviousTagSize` behind it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(TAG_HEADER_BYTES + self.body_bytes() + 4);
        out.extend_from_slice(&self.file_header());
        out.extend_from_slice(self.header());
        out.extend_from_slice(&self.payload);
        out.extend_from_slice(&self.previous_tag_size());
    }
}

/// FLV header and the first `PreviousTagSize` (§E.2, §E.3): the beginning of a file and of an HTTP-FLV response.
pub fn file_header(has_video: bool, has_audio: bool) -> [u8; 13] {
    let flags = u8::from(has_video) | u8::from(has_audio) << 2;
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}
