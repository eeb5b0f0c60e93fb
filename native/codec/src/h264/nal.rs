//! NAL units: behind lengths (ISO/IEC 14496-15 §5.3.2), behind start codes (H.264 Annex B), and what they are (§7.4.1).

use crate::{CodecError, bits::rbsp_bytes};

/// `nal_unit_type` of a slice of a picture that is not an IDR picture (Table 7-1).
pub const NAL_SLICE: u8 = 1;
/// `nal_unit_type` of a slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// `nal_unit_type` of supplemental enhancement information.
pub const NAL_SEI: u8 = 6;
/// `nal_unit_type` of a sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub const NAL_PPS: u8 = 8;
/// `nal_unit_type` of an access unit delimiter.
pub const NAL_AUD: u8 = 9;

/// `payloadType` of the recovery point SEI message (Annex D.1).
const SEI_RECOVERY_POINT: u32 = 6;

/// `nal_unit_type`; 0 (unspecified) for no bytes.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// The NAL units of an access unit, each behind a big-endian length of `length_size` bytes (1, 2 or 4).
///
/// Units of no bytes are passed over: some encoders pad with them. Behind an error there is nothing more.
pub fn nal_units(payload: &[u8], length_size: u8) -> NalUnits<'_> {
    NalUnits { rest: payload, length_size, offset: 0 }
}

/// See [`nal_units`].
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_size: u8,
    offset: usize,
}

impl<'a> NalUnits<'a> {
    /// One unit, perhaps empty.
    fn step(&mut self) -> Result<&'a [u8], CodecError> {
        let (length, rest) = self.split_length().ok_or(self.malformed("NAL unit length"))?;
        let (unit, rest) =
            rest.split_at_checked(length).ok_or(self.malformed("NAL unit longer than the access unit"))?;
        self.offset += self.rest.len() - rest.len();
        self.rest = rest;
        Ok(unit)
    }

    fn split_length(&self) -> Option<(usize, &'a [u8])> {
        let (length, rest) = match self.length_size {
            1 => self.rest.split_first_chunk::<1>().map(|(length, rest)| (u32::from(length[0]), rest))?,
            2 => self.rest.split_first_chunk().map(|(length, rest)| (u32::from(u16::from_be_bytes(*length)), rest))?,
            4 => self.rest.split_first_chunk().map(|(length, rest)| (u32::from_be_bytes(*length), rest))?,
            _ => return None,
        };
        Some((usize::try_from(length).ok()?, rest))
    }

    fn malformed(&self, what: &'static str) -> CodecError {
        CodecError::Malformed { what, offset: self.offset }
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.step() {
                Ok([]) => {}
                Ok(unit) => return Some(Ok(unit)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// The NAL units of a byte stream (Annex B): what lies between start codes, without the zero bytes around them.
///
/// Bytes in front of the first start code belong to no unit and are passed over.
pub fn annex_b_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = split_at_start_code(stream).and_then(|(_, rest)| rest);
    std::iter::from_fn(move || {
        let (unit, behind) = split_at_start_code(rest?)?;
        rest = behind;
        Some(unit)
    })
    .map(trim_trailing_zeros)
    .filter(|unit| !unit.is_empty())
}

/// What lies in front of the next start code and, if there is one, what lies behind it.
pub(super) fn split_at_start_code(stream: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    match find_start_code(stream) {
        Some(at) => Some((stream.get(..at)?, stream.get(at + 3..))),
        None => Some((stream, None)),
    }
}

/// Where `00 00 01` begins. A block without a zero byte, as nearly all of them are, is passed over at once.
fn find_start_code(stream: &[u8]) -> Option<usize> {
    const BLOCK_BYTES: usize = 16;
    let mut rest = stream;
    while !rest.is_empty() {
        if rest.first_chunk::<BLOCK_BYTES>().is_none_or(has_zero) {
            let near = rest.get(..BLOCK_BYTES + 2).unwrap_or(rest);
            if let Some(at) = near.windows(3).position(|window| window == [0, 0, 1]) {
                return Some(stream.len() - rest.len() + at);
            }
        }
        rest = rest.get(BLOCK_BYTES..).unwrap_or_default();
    }
    None
}

/// Looks at every byte: the compiler makes a few vector instructions of that.
fn has_zero<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(false, |found, &byte| found | (byte == 0))
}

/// A NAL unit never ends in a zero byte (§7.4.1): such bytes are `trailing_zero_8bits` or the longer start code's.
fn trim_trailing_zeros(unit: &[u8]) -> &[u8] {
    let length = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    unit.get(..length).unwrap_or_default()
}

/// Whether one of the NAL units is a slice of an IDR picture.
pub fn has_idr<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().any(|nal| nal_type(nal) == NAL_IDR)
}

/// Whether decoding can begin at the access unit with these NAL units: at an IDR picture, or at a recovery point SEI
/// message. The latter is all that an encoder with open GOPs or with intra refresh ever sends after its first picture;
/// the picture may then need `recovery_frame_cnt` frames to be whole (Annex D.2.8).
pub fn is_random_access<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().any(|nal| match nal_type(nal) {
        NAL_IDR => true,
        NAL_SEI => has_recovery_point(nal),
        _ => false,
    })
}

/// Whether one of the messages of an SEI NAL unit (§7.3.2.3.1) is a recovery point.
fn has_recovery_point(nal: &[u8]) -> bool {
    let mut bytes = rbsp_bytes(nal).skip(1);
    while let (Some(payload_type), Some(payload_bytes)) = (sei_number(&mut bytes), sei_number(&mut bytes)) {
        if payload_type == SEI_RECOVERY_POINT {
            return payload_bytes > 0;
        }
        let last_byte = (payload_bytes as usize).checked_sub(1);
        if last_byte.is_some_and(|last| bytes.nth(last).is_none()) {
            return false;
        }
    }
    false
}

/// `payloadType` and `payloadSize`: a sum of bytes 255 and one that is less.
fn sei_number(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut sum = 0_u32;
    loop {
        let byte = bytes.next()?;
        sum = sum.checked_add(u32::from(byte))?;
        if byte != 0xff {
            return Some(sum);
        }
    }
}
