//! Open bitstream units: headers (§5.3.2), sizes, and the order in which they stand.

use crate::CodecError;

/// `obu_type` of a sequence header.
pub const OBU_SEQUENCE_HEADER: u8 = 1;
/// `obu_type` of a temporal delimiter, in front of each temporal unit; not on the bus.
pub const OBU_TEMPORAL_DELIMITER: u8 = 2;
/// `obu_type` of a frame header whose tiles follow in OBUs of their own.
pub const OBU_FRAME_HEADER: u8 = 3;
/// `obu_type` of tiles.
pub const OBU_TILE_GROUP: u8 = 4;
/// `obu_type` of metadata.
pub const OBU_METADATA: u8 = 5;
/// `obu_type` of a frame header with its tiles.
pub const OBU_FRAME: u8 = 6;
/// `obu_type` of a repeated frame header.
pub const OBU_REDUNDANT_FRAME_HEADER: u8 = 7;
/// `obu_type` of a list of tiles, for large scale tile decoding; not on the bus.
pub const OBU_TILE_LIST: u8 = 8;
/// `obu_type` of padding; not on the bus.
pub const OBU_PADDING: u8 = 15;

/// OBUs that one temporal unit may have. Real ones have up to some hundreds: layers, tiles in groups of their own.
/// Stops a temporal unit of megabytes that is nothing but headers.
pub const MAX_OBUS: usize = 4_096;

/// One OBU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obu<'a> {
    /// `obu_type`.
    pub kind: u8,
    /// `temporal_id`, 0 without an extension.
    pub temporal_id: u8,
    /// `spatial_id`, 0 without an extension.
    pub spatial_id: u8,
    /// Whether there is an extension header: whether the OBU belongs to a layer.
    pub has_extension: bool,
    /// Whether the size stands in the OBU.
    pub has_size: bool,
    /// The whole OBU, header included.
    pub bytes: &'a [u8],
    /// What is behind the header and the size.
    pub payload: &'a [u8],
}

impl<'a> Obu<'a> {
    /// Reads the OBU at the beginning of `bytes`, which it fills when it has no size of its own.
    fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let malformed = |what, offset| CodecError::Malformed { what, offset };
        let header = *bytes.first().ok_or(malformed("OBU header", 0))?;
        if header & 0x80 != 0 {
            return Err(malformed("obu_forbidden_bit", 0));
        }
        let (has_extension, has_size) = (header & 0b100 != 0, header & 0b10 != 0);
        let extension = if has_extension { *bytes.get(1).ok_or(malformed("OBU extension header", 1))? } else { 0 };
        let header_bytes = 1 + usize::from(has_extension);
        let behind = bytes.get(header_bytes..).unwrap_or_default();
        let (payload, obu_bytes) = if has_size {
            let (size, rest) = leb128(behind).ok_or(malformed("obu_size", header_bytes))?;
            let payload = rest.get(..size).ok_or(malformed("obu_size", header_bytes))?;
            (payload, bytes.len() - rest.len() + size)
        } else {
            (behind, bytes.len())
        };
        let bytes = bytes.get(..obu_bytes).unwrap_or_default();
        let (temporal_id, spatial_id) = (extension >> 5, extension >> 3 & 0b11);
        Ok(Self { kind: header >> 3 & 0xf, temporal_id, spatial_id, has_extension, has_size, bytes, payload })
    }
}

/// The OBUs of a temporal unit in the low-overhead format (§5.2), in order. One without a size ends the temporal unit, as
/// AV1-ISOBMFF §2.4 allows for the last. Behind an error there is nothing.
pub fn obus(bytes: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, CodecError>> + Clone {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let obu = Obu::read(rest).map_err(|error| error.shifted(offset));
        offset = obu.as_ref().map_or(bytes.len(), |obu| offset + obu.bytes.len());
        Some(obu)
    })
}

/// The OBUs of a temporal unit in the length-delimited format (Annex B): frame units of OBUs, each behind its length.
/// `bytes` is what follows `temporal_unit_size`. Behind an error there is nothing.
pub fn annex_b_obus(bytes: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, CodecError>> + Clone {
    let (mut offset, mut frame_end) = (0, 0);
    std::iter::from_fn(move || {
        if offset >= bytes.len() {
            return None;
        }
        let obu = next_annex_b(bytes, &mut offset, &mut frame_end);
        if obu.is_err() {
            offset = bytes.len();
        }
        // An empty frame unit at the end.
        obu.transpose()
    })
}

/// One OBU from `offset`, which it moves behind it.
fn next_annex_b<'a>(bytes: &'a [u8], offset: &mut usize, frame_end: &mut usize) -> Result<Option<Obu<'a>>, CodecError> {
    // An empty frame unit is a byte, so this is linear.
    while *offset == *frame_end {
        if *offset == bytes.len() {
            return Ok(None);
        }
        let size = length(bytes, offset, bytes.len(), "frame_unit_size")?;
        *frame_end = *offset + size;
    }
    let size = length(bytes, offset, *frame_end, "obu_length")?;
    let obu = bytes.get(*offset..*offset + size).unwrap_or_default();
    let obu = Obu::read(obu).map_err(|error| error.shifted(*offset))?;
    *offset += size;
    Ok(Some(obu))
}

/// A length at `offset`, of something that ends by `end`.
fn length(bytes: &[u8], offset: &mut usize, end: usize, what: &'static str) -> Result<usize, CodecError> {
    let malformed = CodecError::Malformed { what, offset: *offset };
    let behind = bytes.get(*offset..end).unwrap_or_default();
    let (size, rest) = leb128(behind).filter(|(size, rest)| *size <= rest.len()).ok_or(malformed)?;
    *offset = end - rest.len();
    Ok(size)
}

/// `leb128()` (§4.10.5): seven bits a byte, the lowest first, at most eight bytes and 32 bits. Returns what is behind it too.
pub fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Bytes of a size as [`put_leb128`] writes it.
pub fn leb128_bytes(size: usize) -> usize {
    (usize::BITS - size.leading_zeros()).max(1).div_ceil(7) as usize
}

/// Writes a size in as few bytes as it needs.
pub fn put_leb128(into: &mut impl bytes::BufMut, mut size: usize) {
    while size > 0x7f {
        into.put_u8(0x80 | (size & 0x7f) as u8);
        size >>= 7;
    }
    into.put_u8(size as u8);
}
