//! Any form of a temporal unit to the one form of the bus: OBUs with sizes, without temporal delimiters, tile lists and
//! padding.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Av1Config,
    frame::{is_frame, is_reduced, is_shown_key},
    obu::{
        MAX_OBUS, OBU_PADDING, OBU_SEQUENCE_HEADER, OBU_TEMPORAL_DELIMITER, OBU_TILE_LIST, Obu, annex_b_obus,
        leb128_bytes, obus, put_leb128,
    },
};
use crate::CodecError;

/// A temporal unit in the form of the bus, and what was seen in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    /// OBUs with sizes; empty when nothing was worth keeping.
    pub payload: Bytes,
    /// The whole sequence header OBU, with its size, when there is one. It is in the payload too: a random access point
    /// has one (AV1-ISOBMFF §2.5). For [`Av1Config::from_sequence_header`](super::Av1Config::from_sequence_header).
    pub sequence_header: Option<Bytes>,
    /// Whether decoding can begin here; see [`is_random_access`](super::is_random_access).
    pub is_key: bool,
}

impl Canonical {
    /// Puts the sequence header of the configuration in front of a random access point that came without. RTP and some
    /// encoders send it out of band only; transports without a configuration need it in-band.
    #[must_use]
    pub fn with_sequence_header_of(mut self, config: &Av1Config) -> Self {
        if let Some(sequence_header) = &config.sequence_header
            && self.is_key
            && self.sequence_header.is_none()
        {
            let mut payload = BytesMut::with_capacity(sequence_header.len() + self.payload.len());
            payload.put_slice(sequence_header);
            payload.put_slice(&self.payload);
            self.payload = payload.freeze();
            self.sequence_header = Some(sequence_header.clone());
        }
        self
    }
}

/// Brings a temporal unit of the low-overhead format (§5.2: files, FLV, MPEG-TS) into the form of the bus. The last OBU may
/// have no size. One that is in that form already comes back as it is: no copy.
///
/// # Errors
/// [`CodecError::Malformed`] with the place of the OBU that does not add up; [`CodecError::LimitExceeded`] beyond
/// [`MAX_OBUS`].
pub fn to_canonical(temporal_unit: Bytes) -> Result<Canonical, CodecError> {
    let survey = Survey::of(obus(&temporal_unit))?;
    let payload = if survey.is_canonical {
        temporal_unit.clone()
    } else {
        rebuild(obus(&temporal_unit).flatten(), survey.payload_bytes)
    };
    Ok(survey.finish(payload))
}

/// Brings a temporal unit of the length-delimited format (Annex B) into the form of the bus. `temporal_unit` is what
/// follows `temporal_unit_size`.
///
/// # Errors
/// As [`to_canonical`].
pub fn annex_b_to_canonical(temporal_unit: &[u8]) -> Result<Canonical, CodecError> {
    let survey = Survey::of(annex_b_obus(temporal_unit))?;
    let payload = rebuild(annex_b_obus(temporal_unit).flatten(), survey.payload_bytes);
    Ok(survey.finish(payload))
}

/// What the first pass sees.
struct Survey {
    payload_bytes: usize,
    is_canonical: bool,
    has_sequence_header: bool,
    is_key: bool,
}

impl Survey {
    fn of<'a>(obus: impl Iterator<Item = Result<Obu<'a>, CodecError>>) -> Result<Self, CodecError> {
        let mut survey = Self { payload_bytes: 0, is_canonical: true, has_sequence_header: false, is_key: false };
        let (mut count, mut reduced, mut has_frame) = (0, false, false);
        for obu in obus {
            let obu = obu?;
            count += 1;
            if count > MAX_OBUS {
                return Err(CodecError::LimitExceeded { limit: "OBUs of a temporal unit", max: MAX_OBUS, seen: count });
            }
            survey.is_canonical &= obu.has_size && is_kept(&obu);
            survey.payload_bytes += if is_kept(&obu) { canonical_bytes(&obu) } else { 0 };
            if obu.kind == OBU_SEQUENCE_HEADER {
                survey.has_sequence_header = true;
                reduced = is_reduced(&obu);
            }
            if is_frame(&obu) && !has_frame {
                has_frame = true;
                survey.is_key = is_shown_key(&obu, reduced);
            }
        }
        Ok(survey)
    }

    fn finish(self, payload: Bytes) -> Canonical {
        let first = obus(&payload).flatten().find(|obu| self.has_sequence_header && obu.kind == OBU_SEQUENCE_HEADER);
        // A copy: a slice would keep the temporal unit alive for as long as the configuration.
        let sequence_header = first.map(|obu| Bytes::copy_from_slice(obu.bytes));
        Canonical { payload, sequence_header, is_key: self.is_key }
    }
}

fn is_kept(obu: &Obu<'_>) -> bool {
    !matches!(obu.kind, OBU_TEMPORAL_DELIMITER | OBU_TILE_LIST | OBU_PADDING)
}

fn canonical_bytes(obu: &Obu<'_>) -> usize {
    1 + usize::from(obu.has_extension) + leb128_bytes(obu.payload.len()) + obu.payload.len()
}

fn rebuild<'a>(obus: impl Iterator<Item = Obu<'a>>, payload_bytes: usize) -> Bytes {
    let mut payload = BytesMut::with_capacity(payload_bytes);
    obus.filter(is_kept).for_each(|obu| put_obu(&mut payload, &obu));
    payload.freeze()
}

/// Writes an OBU with its size.
pub(super) fn put_obu(into: &mut BytesMut, obu: &Obu<'_>) {
    const HAS_SIZE: u8 = 0b10;
    let header = obu.bytes.get(..1 + usize::from(obu.has_extension)).unwrap_or_default();
    if let Some((first, extension)) = header.split_first() {
        into.put_u8(first | HAS_SIZE);
        into.put_slice(extension);
    }
    put_leb128(into, obu.payload.len());
    into.put_slice(obu.payload);
}
