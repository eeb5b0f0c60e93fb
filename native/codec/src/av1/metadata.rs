//! Metadata OBUs (§5.8): HDR of the whole stream, and ITU-T T.35 messages, among them captions.

use super::obu::{OBU_METADATA, leb128, obus};
use crate::{CodecError, ContentLight, Hdr, MasteringDisplay, bits::BitReader};

/// `METADATA_TYPE_HDR_CLL` (§6.7.1).
const HDR_CLL: usize = 1;
/// `METADATA_TYPE_HDR_MDCV`.
const HDR_MDCV: usize = 2;
/// `METADATA_TYPE_ITUT_T35`.
const ITUT_T35: usize = 4;

/// One metadata OBU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata<'a> {
    /// Content light level (§5.8.3).
    ContentLight(ContentLight),
    /// Mastering display (§5.8.4), brought to the units of [`MasteringDisplay`].
    MasteringDisplay(MasteringDisplay),
    /// A message of ITU-T T.35 (§5.8.2): captions, HDR10+.
    ItuT35(ItuT35<'a>),
    /// Something else, by its `metadata_type`.
    Other(usize),
}

/// A message of ITU-T T.35.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItuT35<'a> {
    /// `itu_t_t35_country_code`: 0xB5 is the United States.
    pub country_code: u8,
    /// What follows the country code, the trailing bits taken off: for captions 00 31 47 41 39 34 03 ("GA94"), `cc_data()`.
    pub payload: &'a [u8],
}

impl<'a> Metadata<'a> {
    /// Reads the payload of a metadata OBU.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is cut off.
    pub fn parse(payload: &'a [u8]) -> Result<Self, CodecError> {
        let (kind, body) = leb128(payload).ok_or(CodecError::Malformed { what: "metadata_type", offset: 0 })?;
        let behind_type = |error: CodecError| error.shifted(payload.len() - body.len());
        match kind {
            HDR_CLL => content_light(body).map(Self::ContentLight).map_err(behind_type),
            HDR_MDCV => mastering_display(body).map(Self::MasteringDisplay).map_err(behind_type),
            ITUT_T35 => itu_t35(body).map(Self::ItuT35).map_err(behind_type),
            other => Ok(Self::Other(other)),
        }
    }
}

/// The metadata of a temporal unit, in order. What is malformed is left out.
pub fn metadata(temporal_unit: &[u8]) -> impl Iterator<Item = Metadata<'_>> {
    let of_metadata = obus(temporal_unit).map_while(Result::ok).filter(|obu| obu.kind == OBU_METADATA);
    of_metadata.filter_map(|obu| Metadata::parse(obu.payload).ok())
}

/// What the metadata of a temporal unit says about HDR.
pub fn hdr(temporal_unit: &[u8]) -> Hdr {
    metadata(temporal_unit).fold(Hdr::default(), |mut hdr, metadata| {
        match metadata {
            Metadata::ContentLight(light) => hdr.content_light = Some(light),
            Metadata::MasteringDisplay(display) => hdr.mastering = Some(display),
            _ => {}
        }
        hdr
    })
}

fn content_light(body: &[u8]) -> Result<ContentLight, CodecError> {
    let mut bits = BitReader::new(body);
    Ok(ContentLight { max_cll: bits.u(16, "max_cll")? as u16, max_fall: bits.u(16, "max_fall")? as u16 })
}

/// Chromaticity is in 0.16 fixed point, luminance in 24.8 and 18.14 (§6.7.4), and the order is red, green, blue.
fn mastering_display(body: &[u8]) -> Result<MasteringDisplay, CodecError> {
    let mut bits = BitReader::new(body);
    let [red, green, blue] = [point(&mut bits)?, point(&mut bits)?, point(&mut bits)?];
    let white_point = point(&mut bits)?;
    Ok(MasteringDisplay {
        primaries: [green, blue, red],
        white_point,
        max_luminance: fixed_point(bits.u(32, "luminance_max")?, 10_000, 8),
        min_luminance: fixed_point(bits.u(32, "luminance_min")?, 10_000, 14),
    })
}

fn point(bits: &mut BitReader<'_>) -> Result<(u16, u16), CodecError> {
    Ok((chromaticity(bits.u(16, "chromaticity")?), chromaticity(bits.u(16, "chromaticity")?)))
}

/// 0.16 fixed point to units of 0.00002.
fn chromaticity(value: u32) -> u16 {
    u16::try_from(fixed_point(value, 50_000, 16)).unwrap_or(u16::MAX)
}

/// A number with `fraction_bits` behind the point, times `scale`, rounded. Saturates.
fn fixed_point(value: u32, scale: u64, fraction_bits: u8) -> u32 {
    let scaled = u64::from(value) * scale;
    u32::try_from((scaled + (1 << (fraction_bits - 1))) >> fraction_bits).unwrap_or(u32::MAX)
}

fn itu_t35(body: &[u8]) -> Result<ItuT35<'_>, CodecError> {
    // The payload ends with the last byte that is not zero: that one is the trailing bit (§6.7.2).
    let trailing = body.iter().rposition(|&byte| byte != 0).and_then(|last| body.get(..last));
    let malformed = |offset| CodecError::Malformed { what: "itu_t_t35_country_code", offset };
    let (&country_code, payload) = trailing.and_then(<[u8]>::split_first).ok_or(malformed(0))?;
    // 0xFF says that the code goes on in the next byte.
    let payload = if country_code == 0xff { payload.get(1..).ok_or(malformed(1))? } else { payload };
    Ok(ItuT35 { country_code, payload })
}
