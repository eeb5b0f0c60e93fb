//! Any form of an H.264 access unit to the one form of the bus: NAL units behind 4-byte lengths, parameter sets and
//! access unit delimiters taken out.

use bytes::{BufMut, Bytes, BytesMut};

use super::nal::{NAL_AUD, NAL_PPS, NAL_SPS, annex_b_units, nal_type, nal_units, split_at_start_code};
use crate::CodecError;

/// An access unit in the form of the bus, and what was taken out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    /// NAL units behind 4-byte lengths; empty when there were only parameter sets and delimiters.
    pub payload: Bytes,
    /// Sequence parameter sets that were in-band. For [`AvcConfig::with_parameter_sets`](super::AvcConfig::with_parameter_sets).
    pub sps: Vec<Bytes>,
    /// Picture parameter sets that were in-band.
    pub pps: Vec<Bytes>,
}

/// Parameter sets that one access unit may bring: as many as an avcC record can hold (ISO/IEC 14496-15 §5.3.3.1).
/// Stops an access unit of 16 MiB that is three million parameter sets of a byte.
const MAX_PARAMETER_SETS: usize = 31 + 255;

/// Brings an access unit of `nal_length_size`-byte lengths (1, 2 or 4) into the form of the bus. One that is in that
/// form already, which is what encoders send nearly always, comes back as it is: no copy.
///
/// # Errors
/// [`CodecError::Malformed`] when the lengths do not add up; [`CodecError::LimitExceeded`] for absurdly many
/// parameter sets.
pub fn to_canonical(payload: Bytes, nal_length_size: u8) -> Result<Canonical, CodecError> {
    let rebuilt_bytes = measure(nal_units(&payload, nal_length_size))?;
    // Same length of lengths, and nothing is left out (an empty unit would be): the same bytes.
    if nal_length_size == 4 && rebuilt_bytes == payload.len() {
        return Ok(Canonical { payload, sps: Vec::new(), pps: Vec::new() });
    }
    Ok(rebuild(&payload, nal_units(&payload, nal_length_size).flatten(), rebuilt_bytes))
}

/// Brings an access unit in the byte stream form (Annex B) into the form of the bus.
///
/// # Errors
/// [`CodecError::Malformed`] when something else than zero bytes stands in front of the first start code, or when there
/// is none; [`CodecError::LimitExceeded`] for absurdly many parameter sets.
pub fn annex_b_to_canonical(stream: Bytes) -> Result<Canonical, CodecError> {
    check_first_start_code(&stream)?;
    let rebuilt_bytes = measure(annex_b_units(&stream).map(Ok))?;
    Ok(rebuild(&stream, annex_b_units(&stream), rebuilt_bytes))
}

/// Bytes that the access unit has in the form of the bus.
fn measure<'a>(nals: impl Iterator<Item = Result<&'a [u8], CodecError>>) -> Result<usize, CodecError> {
    let (mut rebuilt_bytes, mut parameter_sets) = (0, 0);
    for nal in nals {
        let nal = nal?;
        rebuilt_bytes += canonical_bytes(nal);
        parameter_sets += usize::from(is_parameter_set(nal));
    }
    check_parameter_sets(parameter_sets)?;
    Ok(rebuilt_bytes)
}

/// Copies what stays into one buffer of exactly the right size. The parameter sets are slices of `source`.
fn rebuild<'a>(source: &Bytes, nals: impl Iterator<Item = &'a [u8]>, rebuilt_bytes: usize) -> Canonical {
    let mut payload = BytesMut::with_capacity(rebuilt_bytes);
    let (mut sps, mut pps) = (Vec::new(), Vec::new());
    for nal in nals {
        match nal_type(nal) {
            NAL_SPS => sps.push(source.slice_ref(nal)),
            NAL_PPS => pps.push(source.slice_ref(nal)),
            NAL_AUD => {}
            _ => put_nal(&mut payload, nal),
        }
    }
    Canonical { payload: payload.freeze(), sps, pps }
}

fn put_nal(payload: &mut BytesMut, nal: &[u8]) {
    // A unit of 4 GiB and more cannot come: `Bytes` of one message, far below. Saturation keeps that from being a panic.
    payload.put_u32(u32::try_from(nal.len()).unwrap_or(u32::MAX));
    payload.put_slice(nal);
}

/// Bytes of this unit in the form of the bus.
fn canonical_bytes(nal: &[u8]) -> usize {
    if is_parameter_set(nal) || nal_type(nal) == NAL_AUD { 0 } else { 4 + nal.len() }
}

fn is_parameter_set(nal: &[u8]) -> bool {
    matches!(nal_type(nal), NAL_SPS | NAL_PPS)
}

fn check_parameter_sets(seen: usize) -> Result<(), CodecError> {
    if seen <= MAX_PARAMETER_SETS {
        return Ok(());
    }
    Err(CodecError::LimitExceeded { limit: "parameter sets in an access unit", max: MAX_PARAMETER_SETS, seen })
}

fn check_first_start_code(stream: &[u8]) -> Result<(), CodecError> {
    match split_at_start_code(stream) {
        Some((leading_zeros, Some(_))) if leading_zeros.iter().all(|&byte| byte == 0) => Ok(()),
        _ if stream.is_empty() => Ok(()),
        _ => Err(CodecError::Malformed { what: "start code", offset: 0 }),
    }
}
