//! Any form of an access unit to the one form of the bus: NAL units behind 4-byte lengths, parameter sets and access unit
//! delimiters taken out.

use bytes::{BufMut, Bytes};

use super::{Role, in_place, nal_units};
use crate::{CodecError, annex_b};

/// An access unit in the form of the bus, and what was taken out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Canonical {
    /// NAL units behind 4-byte lengths; empty when there were only parameter sets and delimiters.
    pub payload: Bytes,
    /// Video parameter sets that were in-band; H.264 has none. These three are for `with_parameter_sets` of the configuration.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets that were in-band.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets that were in-band.
    pub pps: Vec<Bytes>,
}

impl Canonical {
    /// Whether parameter sets were in-band.
    pub fn has_parameter_sets(&self) -> bool {
        !(self.vps.is_empty() && self.sps.is_empty() && self.pps.is_empty())
    }

    /// Puts NAL units back in front of the payload.
    pub(crate) fn put_in_front(&mut self, nals: &[Bytes]) {
        let bytes: usize = nals.iter().map(|nal| 4 + nal.len()).sum();
        let mut payload = Vec::with_capacity(bytes + self.payload.len());
        nals.iter().for_each(|nal| put_nal(&mut payload, nal));
        payload.put_slice(&self.payload);
        self.payload = payload.into();
    }

    /// Puts a parameter set to those of its kind; there is none for what is no set.
    pub(super) fn put_set(&mut self, role: Role, set: Bytes) -> Result<(), CodecError> {
        match role {
            Role::Vps => self.vps.push(set),
            Role::Sps => self.sps.push(set),
            Role::Pps => self.pps.push(set),
            Role::Payload | Role::Delimiter => {}
        }
        let seen = self.vps.len() + self.sps.len() + self.pps.len();
        if seen <= MAX_PARAMETER_SETS {
            return Ok(());
        }
        Err(CodecError::LimitExceeded { limit: "parameter sets in an access unit", max: MAX_PARAMETER_SETS, seen })
    }
}

/// Parameter sets that one access unit may bring: as many as an avcC record can hold (ISO/IEC 14496-15 §5.3.3.1), and more
/// than H.265 (16 + 16 + 64) and H.266 (16 + 16 + 64) have ids for.
/// Stops an access unit of 16 MiB that is three million parameter sets of a byte.
pub const MAX_PARAMETER_SETS: usize = 31 + 255;

/// Brings an access unit of `nal_length_size`-byte lengths into the form of the bus. One that is in that form already,
/// which is what encoders send nearly always, comes back as it is: no copy.
pub(crate) fn to_canonical(
    payload: Bytes,
    nal_length_size: u8,
    role: fn(&[u8]) -> Role,
) -> Result<Canonical, CodecError> {
    let rebuilt_bytes = measure(nal_units(&payload, nal_length_size), role)?;
    // Same length of lengths, and nothing is left out (an empty unit would be): the same bytes.
    if nal_length_size == 4 && rebuilt_bytes == payload.len() {
        return Ok(Canonical { payload, ..Canonical::default() });
    }
    let rebuilt = Vec::with_capacity(rebuilt_bytes);
    rebuild(&payload, nal_units(&payload, nal_length_size).flatten(), rebuilt, Canonical::default(), role)
}

/// Brings an access unit in the byte stream form (Annex B) into the form of the bus. Bytes that nobody else has become that form where
/// they are, as far as they can: a start code of four bytes and a length take the same place.
pub(crate) fn annex_b_to_canonical(stream: Bytes, role: fn(&[u8]) -> Role) -> Result<Canonical, CodecError> {
    annex_b::check_first_start_code(&stream)?;
    match stream.try_into_mut() {
        Ok(stream) => in_place::convert(stream, role),
        // Start codes are searched once, so that the size is not known before: what is searched is large, and what is guessed is off by
        // a byte for each short start code.
        Err(stream) => {
            let payload = Vec::with_capacity(stream.len() + SHORT_START_CODES);
            rebuild(&stream, annex_b::units(&stream), payload, Canonical::default(), role)
        }
    }
}

/// Units behind 3-byte start codes in an access unit for which there is room at once: one a slice in most streams.
pub(super) const SHORT_START_CODES: usize = 64;

/// Bytes that the access unit has in the form of the bus.
fn measure<'a>(
    nals: impl Iterator<Item = Result<&'a [u8], CodecError>>,
    role: fn(&[u8]) -> Role,
) -> Result<usize, CodecError> {
    let mut rebuilt_bytes = 0;
    for nal in nals {
        let nal = nal?;
        if role(nal) == Role::Payload {
            rebuilt_bytes += 4 + nal.len();
        }
    }
    Ok(rebuilt_bytes)
}

/// Copies what stays to the end of `payload`, which has room for about as much. The parameter sets are slices of `source`.
pub(super) fn rebuild<'a>(
    source: &Bytes,
    nals: impl Iterator<Item = &'a [u8]>,
    mut payload: Vec<u8>,
    mut canonical: Canonical,
    role: fn(&[u8]) -> Role,
) -> Result<Canonical, CodecError> {
    for nal in nals {
        match role(nal) {
            Role::Payload => put_nal(&mut payload, nal),
            Role::Delimiter => {}
            set => canonical.put_set(set, source.slice_ref(nal))?,
        }
    }
    // Frames are kept for seconds: no byte more than they have.
    payload.shrink_to_fit();
    Ok(Canonical { payload: payload.into(), ..canonical })
}

fn put_nal(payload: &mut Vec<u8>, nal: &[u8]) {
    // A unit of 4 GiB and more cannot come: `Bytes` of one message, far below. Saturation keeps that from being a panic.
    payload.put_u32(u32::try_from(nal.len()).unwrap_or(u32::MAX));
    payload.put_slice(nal);
}
