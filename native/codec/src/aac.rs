//! MPEG-4 AAC: the AudioSpecificConfig and the ADTS header.

use bytes::Bytes;

use crate::CodecError;

/// `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// The record itself.
    pub record: Bytes,
    /// `audioObjectType` of the core coder, escape resolved: 2 is AAC LC. (SBR and PS are in `sbr` and `ps`.)
    pub object_type: u8,
    /// Sampling rate of the core coder, in Hz: also the clock rate of the track.
    pub sample_rate_hz: u32,
    /// Output sampling rate in Hz: twice the core's with SBR, else the same.
    pub output_rate_hz: u32,
    /// Channels: 1 to 8; 0 when a program_config_element says it.
    pub channels: u8,
    /// PCM frames of one access unit at `sample_rate_hz`: 1024, or 960.
    pub samples_per_frame: u32,
    /// Spectral band replication is signalled.
    pub sbr: bool,
    /// Parametric stereo is signalled.
    pub ps: bool,
}

impl AudioSpecificConfig {
    /// Reads an AudioSpecificConfig.
    ///
    /// # Errors
    /// [`CodecError`] when the record is malformed or not AAC.
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        let _ = record;
        Err(CodecError::Unsupported { what: "skeleton" })
    }

    /// `mp4a.40.N` (RFC 6381 §3.3), N being the object type that a player must support: 2, 5 (SBR) or 29 (PS).
    pub fn rfc6381(&self) -> String {
        let object_type = match (self.ps, self.sbr) {
            (true, _) => 29,
            (false, true) => 5,
            (false, false) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }
}
