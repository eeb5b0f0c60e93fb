//! What containers say of Dolby Vision beside the configuration of the codec that carries it.
//!
//! The records are laid down in "Dolby Vision Streams Within the ISO Base Media File Format" and "Dolby Vision Streams Within the
//! MPEG-2 Transport Stream Format"; names of codecs and brands as MP4RA registers them.

#[cfg(test)]
mod tests;

use crate::{Codec, CodecError, Colour, DynamicRange, bits::BitReader};

/// Bytes of a `DOVIDecoderConfigurationRecord`, most of which are reserved.
pub const RECORD_BYTES: usize = 24;

/// A stream of Dolby Vision: which profile it has, and what of it other decoders can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DolbyVision {
    /// `dv_version_major` and `dv_version_minor`.
    pub version: (u8, u8),
    /// `dv_profile`, of 7 bits: 5 and 8 are H.265 in one layer, 9 is H.264, 10 is AV1.
    pub profile: u8,
    /// `dv_level`, of 6 bits.
    pub level: u8,
    /// `rpu_present_flag`: metadata are in the stream.
    pub has_metadata: bool,
    /// `el_present_flag`: there is an enhancement layer.
    pub has_enhancement: bool,
    /// `bl_present_flag`: there is a base layer, the pictures themselves.
    pub has_base: bool,
    /// `dv_bl_signal_compatibility_id`, of 4 bits: what a decoder that knows nothing of it shows.
    pub compatibility: u8,
    /// `dv_md_compression`, of 2 bits.
    pub metadata_compression: u8,
}

impl DolbyVision {
    /// Reads a `DOVIDecoderConfigurationRecord`, or the beginning of one: old writers leave out what is reserved, and what
    /// they could not know of.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is cut off.
    pub fn parse(record: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(record);
        Ok(Self::read(&mut bits)?.with_compatibility(&mut bits))
    }

    /// Reads the body of a `DOVI_video_stream_descriptor`.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is cut off.
    pub fn parse_descriptor(body: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(body);
        let found = Self::read(&mut bits)?;
        if !found.has_base {
            bits.skip(13 + 3, "dependency_pid")?;
        }
        Ok(found.with_compatibility(&mut bits))
    }

    /// What both have in common.
    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            version: (bits.u8(8, "dv_version_major")?, bits.u8(8, "dv_version_minor")?),
            profile: bits.u8(7, "dv_profile")?,
            level: bits.u8(6, "dv_level")?,
            has_metadata: bits.flag("rpu_present_flag")?,
            has_enhancement: bits.flag("el_present_flag")?,
            has_base: bits.flag("bl_present_flag")?,
            compatibility: 0,
            metadata_compression: 0,
        })
    }

    /// What the first version of the specification did not have.
    fn with_compatibility(self, bits: &mut BitReader<'_>) -> Self {
        let compatibility = bits.u8(4, "dv_bl_signal_compatibility_id").unwrap_or(0);
        Self { compatibility, metadata_compression: bits.u8(2, "dv_md_compression").unwrap_or(0), ..self }
    }

    /// The record, for the box [`Self::box_kind`].
    pub fn record(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record.iter_mut().zip(self.descriptor()).for_each(|(to, from)| *to = from);
        record
    }

    /// The body of the descriptor of a stream that has its base layer, which therefore names no other one.
    pub fn descriptor(&self) -> [u8; 5] {
        let flags = u8::from(self.has_metadata) << 2 | u8::from(self.has_enhancement) << 1 | u8::from(self.has_base);
        let (profile, level) = (self.profile & 0x7F, self.level & 0x3F);
        [
            self.version.0,
            self.version.1,
            profile << 1 | level >> 5,
            level << 3 | flags,
            self.compatibility << 4 | (self.metadata_compression & 0b11) << 2,
        ]
    }

    /// The box that the record is in: `dvcC` up to profile 7, `dvvC` for 8 to 10, `dvwC` above.
    pub fn box_kind(&self) -> &'static [u8; 4] {
        match self.profile {
            0..=7 => b"dvcC",
            8..=10 => b"dvvC",
            _ => b"dvwC",
        }
    }

    /// Whether only a decoder of Dolby Vision shows the right colours, so that the stream goes by its name alone.
    pub fn is_alone(&self) -> bool {
        self.compatibility == 0
    }

    /// The sample entry of such a stream of `codec`, which also begins its name: `dvh1`. `None` where Dolby Vision has none.
    pub fn entry_kind(codec: Codec) -> Option<&'static [u8; 4]> {
        match codec {
            Codec::H264 => Some(b"dva1"),
            Codec::H265 => Some(b"dvh1"),
            Codec::Av1 => Some(b"dav1"),
            _ => None,
        }
    }

    /// The `codecs` parameter of RFC 6381, where the pictures are of `codec`: `dvh1.08.07`.
    pub fn rfc6381(&self, codec: Codec) -> Option<String> {
        let entry = std::str::from_utf8(Self::entry_kind(codec)?).ok()?;
        Some(format!("{entry}.{:02}.{:02}", self.profile, self.level))
    }

    /// How bright its pictures are meant, which the parameter sets of a stream that stands alone do not say; `None` where they
    /// decide.
    pub fn dynamic_range(&self) -> Option<DynamicRange> {
        match self.compatibility {
            0 | 1 | 6 => Some(DynamicRange::Pq),
            2 => Some(DynamicRange::Sdr),
            4 => Some(DynamicRange::Hlg),
            _ => None,
        }
    }

    /// The brand that says what others see of it (MP4RA): `db1p` HDR10, `db2g` SDR, `db4h` HLG, or `db4g` where the parameter
    /// sets call HLG BT.2020 for receivers that do not know it (ETSI TS 101 154). `None` for what has no brand.
    pub fn brand(&self, colour: Colour) -> Option<&'static str> {
        match self.compatibility {
            1 => Some("db1p"),
            2 => Some("db2g"),
            4 if colour.transfer == Colour::TRANSFER_BT2020 => Some("db4g"),
            4 => Some("db4h"),
            _ => None,
        }
    }
}
