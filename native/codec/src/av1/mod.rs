//! AOM AV1: the sequence header, the av1C record, and the open bitstream units of a temporal unit.

use bytes::Bytes;

use crate::{CodecError, VideoInfo};

/// `AV1CodecConfigurationRecord` (AV1 Codec ISO Media File Format Binding §2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Av1Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the pictures.
    pub info: VideoInfo,
}

impl Av1Config {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "AV1" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
