//! What a person or a container asks of a configuration, whatever the codec: size, rate, colour, channels.

/// Facts of a video configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VideoInfo {
    /// Width in luma samples after cropping.
    pub width: u32,
    /// Height in luma samples after cropping.
    pub height: u32,
    /// Frames per second as numerator and denominator in lowest terms, when the stream says it; never with a zero in it.
    pub frame_rate: Option<(u32, u32)>,
    /// Width to height of a sample in lowest terms, when the stream says it; never with a zero in it.
    pub sample_aspect_ratio: Option<(u32, u32)>,
    /// Profile as the codec numbers it: `profile_idc`, `general_profile_idc`, `seq_profile`.
    pub profile: u8,
    /// Level as the codec numbers it: `level_idc`, `general_level_idc`, `seq_level_idx`.
    pub level: u8,
    /// Whether the high tier is used (H.265, H.266, AV1).
    pub high_tier: bool,
    /// Bits per luma sample.
    pub bit_depth: u8,
    /// How chroma is sampled.
    pub chroma: Chroma,
    /// How samples become light.
    pub colour: Colour,
    /// Frames that may come before another in decoding order and after it in output order, when the stream says it: 0 means
    /// that DTS equals PTS.
    pub max_reorder_frames: Option<u8>,
}

/// How chroma is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chroma {
    /// No chroma.
    Monochrome,
    /// Half in both directions.
    #[default]
    Yuv420,
    /// Half horizontally.
    Yuv422,
    /// Full.
    Yuv444,
}

/// Colour description by the code points of ITU-T H.273 (ISO/IEC 23091-2); 2 is "unspecified".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// `ColourPrimaries` (§8.1).
    pub primaries: u8,
    /// `TransferCharacteristics` (§8.2): 16 is PQ, 18 is HLG.
    pub transfer: u8,
    /// `MatrixCoefficients` (§8.3).
    pub matrix: u8,
    /// `VideoFullRangeFlag` (§8.3).
    pub full_range: bool,
}

impl Default for Colour {
    fn default() -> Self {
        Self { primaries: 2, transfer: 2, matrix: 2, full_range: false }
    }
}

impl Colour {
    /// `TransferCharacteristics` of BT.2020 with 10 bits.
    pub const TRANSFER_BT2020: u8 = 14;
    /// `TransferCharacteristics` of SMPTE ST 2084.
    pub const TRANSFER_PQ: u8 = 16;
    /// `TransferCharacteristics` of ARIB STD-B67.
    pub const TRANSFER_HLG: u8 = 18;

    /// How bright pictures of this transfer are meant.
    pub fn dynamic_range(&self) -> DynamicRange {
        match self.transfer {
            Self::TRANSFER_PQ => DynamicRange::Pq,
            Self::TRANSFER_HLG => DynamicRange::Hlg,
            _ => DynamicRange::Sdr,
        }
    }
}

/// How bright pictures are meant (RFC 8216bis §4.4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DynamicRange {
    /// Standard: BT.709, BT.2020 without more.
    #[default]
    Sdr,
    /// Hybrid log-gamma (ARIB STD-B67).
    Hlg,
    /// Perceptual quantizer (SMPTE ST 2084).
    Pq,
}

/// Mastering display and content light level: what HDR10 says about the whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hdr {
    /// Colour volume of the mastering display (SMPTE ST 2086).
    pub mastering: Option<MasteringDisplay>,
    /// Content light level (CTA-861.3).
    pub content_light: Option<ContentLight>,
}

/// Colour volume of the mastering display (SMPTE ST 2086), in the units of H.265 §D.3.28.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MasteringDisplay {
    /// Chromaticity of green, blue and red as x and y, in units of 0.00002: the order of the standard.
    pub primaries: [(u16, u16); 3],
    /// Chromaticity of the white point as x and y, in units of 0.00002.
    pub white_point: (u16, u16),
    /// Most luminance in units of 0.0001 cd/m².
    pub max_luminance: u32,
    /// Least luminance in units of 0.0001 cd/m².
    pub min_luminance: u32,
}

/// Content light level (CTA-861.3), in cd/m².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLight {
    /// `MaxCLL`: the brightest sample.
    pub max_cll: u16,
    /// `MaxFALL`: the brightest frame on average.
    pub max_fall: u16,
}

/// Facts of an audio configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AudioInfo {
    /// Samples per second that come out of the decoder.
    pub sample_rate_hz: u32,
    /// Channels; 0 when only the stream itself says it.
    pub channels: u8,
    /// PCM frames of one access unit in ticks of the track's clock; 0 when they vary.
    pub samples_per_frame: u32,
    /// Bits per sample of lossless codecs; 0 for lossy ones.
    pub bits_per_sample: u8,
}
