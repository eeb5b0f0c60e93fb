//! FLAC (RFC 9639): STREAMINFO and the dfLa record.

use bytes::Bytes;

use crate::{AudioInfo, CodecError};

/// The metadata blocks of a stream (RFC 9639 §8), STREAMINFO first, each with its header: the record is the body of `dfLa` behind version and flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlacConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
}

impl FlacConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "FLAC" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
