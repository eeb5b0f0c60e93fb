//! MPEG-1 and MPEG-2 audio, layers I to III (ISO/IEC 11172-3, 13818-3): the frame header.

use bytes::Bytes;

use crate::{AudioInfo, CodecError};

/// A frame header (ISO/IEC 11172-3 §2.4.1.3): the record is its four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MpegAudioConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
}

impl MpegAudioConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "MPEG audio" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
