//! Opus (RFC 6716, RFC 7845): the identification header and the packet.

use bytes::Bytes;

use crate::{AudioInfo, CodecError};

/// `OpusHead` (RFC 7845 §5.1): the record is the whole header with its magic signature, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
}

impl OpusConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "Opus" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
