//! VP8 (RFC 6386): the frame header, and the vpcC record.

use bytes::Bytes;

use crate::{CodecError, VideoInfo};

/// `VPCodecConfigurationRecord` (VP Codec ISO Media File Format Binding), without the version and flags of its box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vp8Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the pictures.
    pub info: VideoInfo,
}

impl Vp8Config {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(_record: Bytes) -> Result<Self, CodecError> {
        Err(CodecError::Unsupported { what: "VP8" })
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
