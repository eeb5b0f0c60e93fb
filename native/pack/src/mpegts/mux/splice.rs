//! A `splice_info_section` (ANSI/SCTE 35 §9.6) whose time is that of the transport stream it goes into.

use bytes::Bytes;

use super::super::{TIME_BITS, crc::crc_32, splice::Splice};
use crate::PackError;

/// Most bytes of a section of SCTE 35 (§9.6.1: `section_length` up to 4 093).
const MAX_SECTION_BYTES: usize = 4_096;
/// Where the 33 bits of `pts_adjustment` begin, behind 1 + 6 bits that share the first byte.
const ADJUSTMENT_AT: usize = 4;
const CRC_BYTES: usize = 4;

/// The section with the `pts_adjustment` that makes its splice happen at `pts_90k`; one without a time stays as it is.
///
/// # Errors
/// [`PackError::Malformed`] when this is no such section, [`PackError::LimitExceeded`] when it is too long.
pub(super) fn moved_splice(section: &Bytes, pts_90k: i64) -> Result<Bytes, PackError> {
    let splice = Splice::parse(section).ok_or(PackError::Malformed { what: "splice_info_section", offset: 0 })?;
    if section.len() > MAX_SECTION_BYTES {
        return Err(PackError::LimitExceeded {
            limit: "bytes of a splice_info_section",
            max: MAX_SECTION_BYTES,
            seen: section.len(),
        });
    }
    let Some(pts_time) = splice.pts_time else { return Ok(section.clone()) };
    let adjustment = (pts_90k - pts_time) & ((1 << TIME_BITS) - 1);
    if adjustment == splice.pts_adjustment {
        return Ok(section.clone());
    }
    Ok(adjusted(section, adjustment).into())
}

fn adjusted(section: &[u8], adjustment: i64) -> Vec<u8> {
    let mut moved = section.get(..section.len().saturating_sub(CRC_BYTES)).unwrap_or_default().to_vec();
    if let Some([flags, low @ ..]) = moved.get_mut(ADJUSTMENT_AT..ADJUSTMENT_AT + 5) {
        let [_, _, _, high, bytes @ ..] = adjustment.to_be_bytes();
        *flags = *flags & 0xFE | high & 1;
        low.copy_from_slice(&bytes);
    }
    let crc = crc_32(&moved);
    moved.extend_from_slice(&crc.to_be_bytes());
    moved
}
