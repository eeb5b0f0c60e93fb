//! ITU-T H.266 (VVC): parameter sets, the vvcC record, and the NAL units of an access unit.

use bytes::Bytes;

use crate::{CodecError, VideoInfo};

/// `VvcDecoderConfigurationRecord` (ISO/IEC 14496-15 §11.2.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VvcConfig {
    /// The record itself.
    pub record: Bytes,
    /// Video parameter sets.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
    /// What the record says about the pictures.
    pub info: VideoInfo,
}

impl VvcConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "H266" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
