//! The recovery point (H.264 §D.1.8, H.265 §D.2.8).

use crate::{CodecError, bits::BitReader};

/// From the access unit with this message on, pictures become right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryPoint {
    /// `recovery_frame_cnt` (H.264) or `recovery_poc_cnt` (H.265): frames in decoding order, or steps of the picture order
    /// count, which may go back, until the pictures are right; 0: at once.
    pub count: i32,
    /// `exact_match_flag`: they are then exactly those of a decoder that began earlier.
    pub exact_match: bool,
    /// `broken_link_flag`: pictures behind it in decoding order may refer to what was cut away.
    pub broken_link: bool,
}

impl RecoveryPoint {
    /// Reads the payload of an H.264 message.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn parse_h264(payload: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(payload);
        // Below MaxFrameNum (§D.2.8).
        let count = bits.ue_max(0xffff, "recovery_frame_cnt")?;
        Self::read_flags(&mut bits, i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Reads the payload of an H.265 message.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn parse_h265(payload: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(payload);
        let count = bits.se("recovery_poc_cnt")?;
        Self::read_flags(&mut bits, count)
    }

    fn read_flags(bits: &mut BitReader<'_>, count: i32) -> Result<Self, CodecError> {
        let exact_match = bits.flag("exact_match_flag")?;
        Ok(Self { count, exact_match, broken_link: bits.flag("broken_link_flag")? })
    }
}
