//! Waveforms that need no decoder to speak of: G.711, G.722 and linear PCM.

use bytes::Bytes;

use crate::{AudioInfo, CodecError};

/// Sampling of a waveform. No standard has a record for it; this one is of arcly: sampling rate in Hz (32 bits, big-endian), channels (8 bits), bits per sample (8 bits).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcmConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
}

impl PcmConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "PCM" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
