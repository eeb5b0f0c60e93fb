//! ITU-T H.264: parameter sets, the avcC record, and the NAL units of an access unit.

use bytes::Bytes;

use crate::CodecError;

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1) and what its first SPS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig {
    /// The record itself (avcC), as it came or as it was made.
    pub record: Bytes,
    /// Bytes of a NAL unit length in access units as the *sender* writes them: 1, 2 or 4. On the bus it is always 4.
    pub nal_length_size: u8,
    /// Sequence parameter sets, without length or start code.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, without length or start code.
    pub pps: Vec<Bytes>,
    /// What the first sequence parameter set says.
    pub info: SpsInfo,
}

/// Facts of one sequence parameter set (H.264 §7.3.2.1.1 and Annex E).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpsInfo {
    /// `profile_idc`.
    pub profile_idc: u8,
    /// `constraint_set0_flag` … `constraint_set5_flag` and the two reserved bits, as one byte.
    pub constraint_flags: u8,
    /// `level_idc`.
    pub level_idc: u8,
    /// Width in luma samples after cropping.
    pub width: u32,
    /// Height in luma samples after cropping.
    pub height: u32,
    /// Bits per luma sample.
    pub bit_depth: u8,
    /// Frames per second as numerator and denominator, when the VUI gives timing; never with a zero in it.
    pub frame_rate: Option<(u32, u32)>,
}

impl AvcConfig {
    /// Reads an avcC record.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] with the offset at which the record breaks.
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        let _ = record;
        Err(CodecError::Unsupported { what: "skeleton" })
    }

    /// `avc1.PPCCLL` (RFC 6381 §3.3): profile, constraint flags and level of the first SPS in hexadecimal.
    pub fn rfc6381(&self) -> String {
        let info = &self.info;
        format!("avc1.{:02x}{:02x}{:02x}", info.profile_idc, info.constraint_flags, info.level_idc)
    }
}
