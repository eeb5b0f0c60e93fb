//! AC-3 and E-AC-3 (ETSI TS 102 366): the syncframe, and the dac3 and dec3 records.

use bytes::Bytes;

use crate::{AudioInfo, CodecError};

/// `AC3SpecificBox` (ETSI TS 102 366 §F.4): the record is the body of the box, three bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ac3Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
}

impl Ac3Config {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "AC-3" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}

/// `EC3SpecificBox` (ETSI TS 102 366 §F.6): the record is the body of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eac3Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
}

impl Eac3Config {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "E-AC-3" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
