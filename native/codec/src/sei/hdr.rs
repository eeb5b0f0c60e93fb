//! Mastering display colour volume (H.265 §D.2.28) and content light level information (§D.2.35): the same bytes in the three
//! standards.

use super::{CONTENT_LIGHT, MASTERING_DISPLAY, Message, Sei};
use crate::{CodecError, ContentLight, Hdr, MasteringDisplay, bits::BitReader};

impl MasteringDisplay {
    /// Reads the payload of a message.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is cut off.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(payload);
        let mut point = || Ok((u16(&mut bits, "display_primaries_x")?, u16(&mut bits, "display_primaries_y")?));
        let primaries = [point()?, point()?, point()?];
        let white_point = point()?;
        Ok(Self {
            primaries,
            white_point,
            max_luminance: bits.u(32, "max_display_mastering_luminance")?,
            min_luminance: bits.u(32, "min_display_mastering_luminance")?,
        })
    }
}

impl ContentLight {
    /// Reads the payload of a message.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is cut off.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(payload);
        let max_cll = u16(&mut bits, "max_content_light_level")?;
        Ok(Self { max_cll, max_fall: u16(&mut bits, "max_pic_average_light_level")? })
    }
}

impl Hdr {
    /// Takes over what a message says about it; one that breaks says nothing.
    pub fn note(&mut self, message: Message<'_>) {
        match message.payload_type {
            MASTERING_DISPLAY => self.mastering = MasteringDisplay::parse(message.payload).ok().or(self.mastering),
            CONTENT_LIGHT => self.content_light = ContentLight::parse(message.payload).ok().or(self.content_light),
            _ => {}
        }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.mastering.is_none() && self.content_light.is_none()
    }
}

/// What these SEI NAL units say.
pub(crate) fn hdr<'a>(sei: impl IntoIterator<Item = &'a [u8]>, header_bytes: usize) -> Hdr {
    let mut hdr = Hdr::default();
    for nal in sei {
        let Ok(sei) = Sei::read(nal, header_bytes) else { continue };
        sei.messages().flatten().for_each(|message| hdr.note(message));
    }
    hdr
}

fn u16(bits: &mut BitReader<'_>, what: &'static str) -> Result<u16, CodecError> {
    let start = bits.clone();
    u16::try_from(bits.u(16, what)?).map_err(|_| start.malformed(what))
}
