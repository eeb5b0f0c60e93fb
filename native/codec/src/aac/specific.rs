//! What the core coders say of themselves: GASpecificConfig (ISO/IEC 14496-3 §4.4.1) and ELDSpecificConfig (§4.6.20).

use super::config::ER_AAC_ELD;
use crate::{CodecError, bit_packer::BitPacker, bits::BitReader};

/// `audioObjectType` of AAC-LD.
const ER_AAC_LD: u8 = 23;

/// What is of use of it here.
pub(super) struct Specific {
    pub samples_per_frame: u32,
    /// Channels that a program_config_element counts.
    pub channels: Option<u8>,
    /// AAC-ELD with the SBR of its own.
    pub sbr: bool,
    /// That one doubles the sampling rate.
    pub is_dual_rate: bool,
}

impl Specific {
    /// Reads the configuration of the core coder, and `epConfig` behind it.
    pub(super) fn read(
        bits: &mut BitReader<'_>,
        object_type: u8,
        channel_configuration: u8,
    ) -> Result<Self, CodecError> {
        let (specific, is_error_resilient) = match object_type {
            1..=4 => (Self::general_audio(bits, object_type, channel_configuration)?, false),
            17 | 19 | ER_AAC_LD => (Self::general_audio(bits, object_type, channel_configuration)?, true),
            ER_AAC_ELD => (Self::enhanced_low_delay(bits, channel_configuration)?, true),
            _ => {
                return Err(CodecError::Unsupported {
                    what: "audio object type: not AAC Main, LC, SSR, LTP, LD or ELD",
                });
            }
        };
        if is_error_resilient && bits.u(2, "epConfig")? > 1 {
            return Err(CodecError::Unsupported { what: "AAC error protection (epConfig 2 or 3)" });
        }
        Ok(specific)
    }

    /// `GASpecificConfig()` (§4.4.1).
    fn general_audio(bits: &mut BitReader<'_>, object_type: u8, channel_configuration: u8) -> Result<Self, CodecError> {
        let (is_short, extension_flag) = general_audio_flags(bits)?;
        let channels = if channel_configuration == 0 { Some(program_config_element(bits)?) } else { None };
        if extension_flag {
            let resilience_flags = if object_type > 4 { 3 } else { 0 };
            bits.skip(resilience_flags + 1, "extensionFlag3")?;
        }
        let samples_per_frame = match (object_type, is_short) {
            (ER_AAC_LD, false) => 512,
            (ER_AAC_LD, true) => 480,
            (_, false) => 1_024,
            (_, true) => 960,
        };
        Ok(Self { samples_per_frame, channels, sbr: false, is_dual_rate: false })
    }

    /// `ELDSpecificConfig()` (§4.6.20.2).
    fn enhanced_low_delay(bits: &mut BitReader<'_>, channel_configuration: u8) -> Result<Self, CodecError> {
        // There is no room for a program_config_element.
        if channel_configuration == 0 {
            return Err(CodecError::Unsupported { what: "AAC-ELD without a channel configuration" });
        }
        let samples_per_frame = if bits.flag("frameLengthFlag")? { 480 } else { 512 };
        bits.skip(3, "resilience flags")?;
        let sbr = bits.flag("ldSbrPresentFlag")?;
        let mut is_dual_rate = false;
        if sbr {
            is_dual_rate = bits.flag("ldSbrSamplingRate")?;
            bits.skip(1, "ldSbrCrcFlag")?;
            (0..sbr_headers(channel_configuration)).try_for_each(|_| skip_sbr_header(bits))?;
        }
        while bits.u(4, "eldExtType")? != 0 {
            skip_eld_extension(bits)?;
        }
        Ok(Self { samples_per_frame, channels: None, sbr, is_dual_rate })
    }
}

/// `frameLengthFlag` and `extensionFlag`, behind which a program_config_element may be.
pub(super) fn general_audio_flags(bits: &mut BitReader<'_>) -> Result<(bool, bool), CodecError> {
    let is_short = bits.flag("frameLengthFlag")?;
    if bits.flag("dependsOnCoreCoder")? {
        bits.skip(14, "coreCoderDelay")?;
    }
    Ok((is_short, bits.flag("extensionFlag")?))
}

/// `program_config_element()` (§4.4.1.1). Within an AudioSpecificConfig its alignment counts from the beginning of the
/// record, as the reader's does. Returns the number of channels.
fn program_config_element(bits: &mut BitReader<'_>) -> Result<u8, CodecError> {
    let channels = elements(bits)?;
    bits.align();
    let comment_bytes = bits.u8(8, "comment_field_bytes")?;
    bits.skip(8 * usize::from(comment_bytes), "comment_field_data")?;
    Ok(channels)
}

/// Copies a `program_config_element()` to another place, where its alignment may be another.
pub(super) fn copy_program_config_element(bits: &mut BitReader<'_>, into: &mut BitPacker) -> Result<(), CodecError> {
    let mut end = bits.clone();
    elements(&mut end)?;
    into.copy(bits, end.position_bits() - bits.position_bits(), "program_config_element")?;
    bits.align();
    into.align();
    let comment_bytes = bits.u8(8, "comment_field_bytes")?;
    into.u(8, comment_bytes.into());
    into.copy(bits, 8 * usize::from(comment_bytes), "comment_field_data")
}

/// A `program_config_element()` up to its alignment. Returns the number of channels.
fn elements(bits: &mut BitReader<'_>) -> Result<u8, CodecError> {
    let start = bits.clone();
    bits.skip(4 + 2 + 4, "element_instance_tag, object_type and sampling_frequency_index")?;
    let front = bits.u8(4, "num_front_channel_elements")?;
    let side = bits.u8(4, "num_side_channel_elements")?;
    let back = bits.u8(4, "num_back_channel_elements")?;
    let lfe = bits.u8(2, "num_lfe_channel_elements")?;
    let assoc_data = bits.u8(3, "num_assoc_data_elements")?;
    let coupling = bits.u8(4, "num_valid_cc_elements")?;
    for (mixdown_bits, what) in [(4, "mono_mixdown"), (4, "stereo_mixdown"), (3, "matrix_mixdown")] {
        if bits.flag(what)? {
            bits.skip(mixdown_bits, what)?;
        }
    }
    let mut channels = lfe;
    for _ in 0..front + side + back {
        channels += 1 + u8::from(bits.flag("element_is_cpe")?);
        bits.skip(4, "element_tag_select")?;
    }
    // Four bits: a tag. Five bits: cc_element_is_ind_sw, and a tag.
    bits.skip(4 * usize::from(lfe + assoc_data) + 5 * usize::from(coupling), "elements of program_config_element")?;
    if channels == 0 { Err(start.malformed("channels of program_config_element")) } else { Ok(channels) }
}

/// `numSbrHeader` of `ld_sbr_header()`: one for each element of the channel configuration but the low frequency one.
fn sbr_headers(channel_configuration: u8) -> u8 {
    match channel_configuration {
        1 | 2 => 1,
        3 => 2,
        4..=6 => 3,
        7 => 4,
        _ => 0,
    }
}

/// `sbr_header()` (§4.4.2.8).
fn skip_sbr_header(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    bits.skip(1 + 4 + 4 + 3 + 2, "bs_amp_res to bs_reserved")?;
    let has_scale = bits.flag("bs_header_extra_1")?;
    let has_limiter = bits.flag("bs_header_extra_2")?;
    bits.skip(5 * usize::from(has_scale) + 6 * usize::from(has_limiter), "sbr_header")
}

/// `eldExtLen` with its two escapes, and as many bytes.
fn skip_eld_extension(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    let mut bytes = bits.u(4, "eldExtLen")?;
    if bytes == 15 {
        let more = bits.u(8, "eldExtLenAdd")?;
        bytes += more;
        if more == 255 {
            bytes += bits.u(16, "eldExtLenAddAdd")?;
        }
    }
    bits.skip(8 * bytes as usize, "eldExtLen")
}
