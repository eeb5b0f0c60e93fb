//! An FLV file, or an HTTP-FLV response, in pieces of any size, to tags (FLV §E.2 to §E.4.1).

use bytes::{Buf, Bytes, BytesMut};

use super::{
    error::{FlvError, Foreign},
    tag::TagKind,
};

/// Largest body of a tag: what 24 bits of `DataSize` can say, and so the most that the reader ever holds back.
pub const MAX_TAG_BYTES: usize = 0xff_ffff;

/// Bytes of the FLV header, version 1, up to `DataOffset`.
const FILE_HEADER_BYTES: usize = 9;
/// Bytes of a tag in front of its body.
const TAG_HEADER_BYTES: usize = 11;
/// Bytes of `PreviousTagSize`.
const PREVIOUS_TAG_SIZE_BYTES: usize = 4;

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it is.
    pub kind: TagKind,
    /// `TimestampExtended` and `Timestamp`: 32 bits, in milliseconds.
    pub timestamp_ms: u32,
    /// `Data`: what [`FlvDemuxer::push`](super::FlvDemuxer::push) takes.
    pub body: Bytes,
}

/// Reads FLV piece by piece. After each [`feed`](Self::feed), call [`next_tag`](Self::next_tag) until it has none: the
/// reader then holds less than one tag.
///
/// `PreviousTagSize` is not judged: many files have it wrong, and no reader of a stream needs it.
#[derive(Debug, Default)]
pub struct FlvReader {
    buffer: BytesMut,
    /// Where in the file the buffer begins.
    offset: usize,
    /// Bytes to pass over before the next structure.
    skip_bytes: usize,
    has_header: bool,
}

impl FlvReader {
    /// A reader at the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole tag; `None` when more bytes are needed. Tags of types that FLV does not define are passed over.
    ///
    /// # Errors
    /// [`FlvError::Malformed`]: this is not FLV; more of it gives the same error. [`FlvError::Unsupported`]: an encrypted
    /// tag; the next call goes on behind it.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        if !self.has_header && !self.read_file_header()? {
            return Ok(None);
        }
        while self.pass_over() {
            let Some((header, body)) = self.split_tag()? else { return Ok(None) };
            if header.is_encrypted {
                return Err(FlvError::Unsupported { what: Foreign::Named("encrypted FLV tag") });
            }
            if let Some(kind) = header.kind {
                return Ok(Some(Tag { kind, timestamp_ms: header.timestamp_ms, body }));
            }
        }
        Ok(None)
    }

    /// Bytes that have come and that no tag has been made of yet: not 0 at the end of a file that is cut off (but for the
    /// last `PreviousTagSize`).
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the header has been read.
    fn read_file_header(&mut self) -> Result<bool, FlvError> {
        let known = self.buffer.len().min(3);
        if self.buffer.get(..known) != b"FLV".get(..known) {
            return Err(FlvError::Malformed { what: "FLV signature", offset: 0 });
        }
        let Some(&[_, _, _, version, _, o0, o1, o2, o3]) = self.buffer.first_chunk::<FILE_HEADER_BYTES>() else {
            return Ok(false);
        };
        if version != 1 {
            return Err(FlvError::Malformed { what: "FLV version", offset: 3 });
        }
        let data_offset = u32::from_be_bytes([o0, o1, o2, o3]) as usize;
        if data_offset < FILE_HEADER_BYTES {
            return Err(FlvError::Malformed { what: "DataOffset", offset: 5 });
        }
        self.skip_bytes = data_offset.saturating_add(PREVIOUS_TAG_SIZE_BYTES);
        self.has_header = true;
        Ok(true)
    }

    /// Whether all that is to be passed over has come.
    fn pass_over(&mut self) -> bool {
        let bytes = self.skip_bytes.min(self.buffer.len());
        self.buffer.advance(bytes);
        self.offset = self.offset.saturating_add(bytes);
        self.skip_bytes -= bytes;
        self.skip_bytes == 0
    }

    /// The next tag of any type.
    fn split_tag(&mut self) -> Result<Option<(TagHeader, Bytes)>, FlvError> {
        let Some(header) = self.buffer.first_chunk().map(TagHeader::parse) else { return Ok(None) };
        let header = header.ok_or(FlvError::Malformed { what: "TagType", offset: self.offset })?;
        let bytes = TAG_HEADER_BYTES + header.body_bytes;
        if self.buffer.len() < bytes {
            return Ok(None);
        }
        let mut tag = self.buffer.split_to(bytes);
        tag.advance(TAG_HEADER_BYTES);
        self.offset = self.offset.saturating_add(bytes);
        self.skip_bytes = PREVIOUS_TAG_SIZE_BYTES;
        Ok(Some((header, tag.freeze())))
    }
}

/// What stands in front of a tag's body.
struct TagHeader {
    /// `None`: a type that FLV does not define.
    kind: Option<TagKind>,
    is_encrypted: bool,
    body_bytes: usize,
    timestamp_ms: u32,
}

impl TagHeader {
    /// `None` when the reserved bits are set: then this is no tag, and the length is none either.
    fn parse(bytes: &[u8; TAG_HEADER_BYTES]) -> Option<Self> {
        let [tag_type, s0, s1, s2, t0, t1, t2, timestamp_extended, _, _, _] = *bytes;
        let kind = match tag_type & 0x1f {
            8 => Some(TagKind::Audio),
            9 => Some(TagKind::Video),
            18 => Some(TagKind::Script),
            _ => None,
        };
        (tag_type & 0xc0 == 0).then_some(Self {
            kind,
            is_encrypted: tag_type & 0x20 != 0,
            body_bytes: u32::from_be_bytes([0, s0, s1, s2]) as usize,
            timestamp_ms: u32::from_be_bytes([timestamp_extended, t0, t1, t2]),
        })
    }
}
