//! The sequence parameter set (H.264 §7.3.2.1.1) with as much of the VUI (Annex E.1.1) as leads to the timing.

use super::nal::{NAL_SPS, nal_type};
use crate::{
    CodecError,
    bits::{BitReader, rbsp},
};

/// Largest width and height in luma samples: about what level 6.2, the highest, allows (§A.3.1: √(8 × 139 264) = 1 055
/// macroblocks). What asks for more wants to make a reader of ours allocate.
pub const MAX_DIMENSION: u32 = 16_384;

/// Facts of one sequence parameter set (H.264 §7.3.2.1.1 and Annex E).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpsInfo {
    /// `profile_idc`.
    pub profile_idc: u8,
    /// `constraint_set0_flag` … `constraint_set5_flag` and the two reserved bits, as one byte.
    pub constraint_flags: u8,
    /// `level_idc`.
    pub level_idc: u8,
    /// Width in luma samples after cropping.
    pub width: u32,
    /// Height in luma samples after cropping.
    pub height: u32,
    /// Bits per luma sample.
    pub bit_depth: u8,
    /// Frames per second as numerator and denominator in lowest terms, when the VUI gives timing; never with a zero in it.
    pub frame_rate: Option<(u32, u32)>,
}

impl SpsInfo {
    /// Reads a sequence parameter set: a NAL unit with its header, without length or start code.
    ///
    /// # Errors
    /// [`CodecError`]; the offset does not count emulation prevention bytes.
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        Sps::parse(nal).map(|sps| sps.info)
    }
}

/// A sequence parameter set, with what an avcC record repeats of it.
pub(super) struct Sps {
    pub info: SpsInfo,
    pub format: SampleFormat,
}

/// `chroma_format_idc` and what stands beside it, which only the high profiles write.
pub(super) struct SampleFormat {
    pub chroma_format_idc: u8,
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
}

impl Sps {
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if nal_type(nal) != NAL_SPS {
            return Err(CodecError::Malformed { what: "sequence parameter set NAL unit header", offset: 0 });
        }
        let rbsp = rbsp(nal)?;
        let mut bits = BitReader::new(&rbsp);
        bits.skip(8, "nal_unit_header")?;
        let profile_idc = bits.u8(8, "profile_idc")?;
        let constraint_flags = bits.u8(8, "constraint_set_flags")?;
        let level_idc = bits.u8(8, "level_idc")?;
        bits.ue_max(31, "seq_parameter_set_id")?;
        let format =
            if has_sample_format(profile_idc) { SampleFormat::read(&mut bits)? } else { SampleFormat::YUV420_8 };
        skip_numbering(&mut bits)?;
        let (width, height) = picture_size(&mut bits, &format)?;
        let frame_rate = if bits.flag("vui_parameters_present_flag")? { vui_frame_rate(&mut bits)? } else { None };
        let bit_depth = format.bit_depth_luma;
        let info = SpsInfo { profile_idc, constraint_flags, level_idc, width, height, bit_depth, frame_rate };
        Ok(Self { info, format })
    }
}

/// The profiles whose parameter sets say `chroma_format_idc` (§7.3.2.1.1).
fn has_sample_format(profile_idc: u8) -> bool {
    matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

impl SampleFormat {
    /// What is inferred when nothing is said (§7.4.2.1.1).
    const YUV420_8: Self = Self { chroma_format_idc: 1, bit_depth_luma: 8, bit_depth_chroma: 8 };

    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let chroma_format_idc = small_ue(bits, 3, "chroma_format_idc")?;
        if chroma_format_idc == 3 {
            bits.skip(1, "separate_colour_plane_flag")?;
        }
        let bit_depth_luma = 8 + small_ue(bits, 6, "bit_depth_luma_minus8")?;
        let bit_depth_chroma = 8 + small_ue(bits, 6, "bit_depth_chroma_minus8")?;
        bits.skip(1, "qpprime_y_zero_transform_bypass_flag")?;
        if bits.flag("seq_scaling_matrix_present_flag")? {
            skip_scaling_matrix(bits, chroma_format_idc)?;
        }
        Ok(Self { chroma_format_idc, bit_depth_luma, bit_depth_chroma })
    }

    /// Luma samples of one unit of horizontal and vertical cropping in a frame (equations 7-19 to 7-22, Table 6-1).
    fn crop_unit(&self) -> (u32, u32) {
        match self.chroma_format_idc {
            1 => (2, 2),
            2 => (2, 1),
            // Monochrome, and 4:4:4 with or without separate colour planes.
            _ => (1, 1),
        }
    }
}

fn small_ue(bits: &mut BitReader<'_>, max: u8, what: &'static str) -> Result<u8, CodecError> {
    let start = bits.clone();
    u8::try_from(bits.ue_max(u32::from(max), what)?).map_err(|_| start.malformed(what))
}

/// `seq_scaling_list_present_flag` and its lists: six of 4×4, then two (4:4:4: six) of 8×8.
fn skip_scaling_matrix(bits: &mut BitReader<'_>, chroma_format_idc: u8) -> Result<(), CodecError> {
    let lists = if chroma_format_idc == 3 { 12 } else { 8 };
    for list in 0..lists {
        if bits.flag("seq_scaling_list_present_flag")? {
            skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
        }
    }
    Ok(())
}

/// `scaling_list()` (§7.3.2.1.1.1): the list ends, before its size, where a delta leads to a scale of 0.
fn skip_scaling_list(bits: &mut BitReader<'_>, size: u8) -> Result<(), CodecError> {
    let mut scale = 8_i32;
    for _ in 0..size {
        let start = bits.clone();
        let delta = bits.se("delta_scale")?;
        if !(-128..=127).contains(&delta) {
            return Err(start.malformed("delta_scale"));
        }
        scale = (scale + delta) & 0xff;
        if scale == 0 {
            break;
        }
    }
    Ok(())
}

/// From `log2_max_frame_num_minus4` to `gaps_in_frame_num_value_allowed_flag`.
fn skip_numbering(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    bits.ue_max(12, "log2_max_frame_num_minus4")?;
    match bits.ue_max(2, "pic_order_cnt_type")? {
        0 => {
            bits.ue_max(12, "log2_max_pic_order_cnt_lsb_minus4")?;
        }
        1 => skip_order_cycle(bits)?,
        _ => {}
    }
    bits.ue("max_num_ref_frames")?;
    bits.skip(1, "gaps_in_frame_num_value_allowed_flag")
}

/// What `pic_order_cnt_type` 1 adds.
fn skip_order_cycle(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    bits.skip(1, "delta_pic_order_always_zero_flag")?;
    bits.se("offset_for_non_ref_pic")?;
    bits.se("offset_for_top_to_bottom_field")?;
    for _ in 0..bits.ue_max(255, "num_ref_frames_in_pic_order_cnt_cycle")? {
        bits.se("offset_for_ref_frame")?;
    }
    Ok(())
}

/// Width and height in luma samples after cropping: from `pic_width_in_mbs_minus1` to the cropping offsets.
fn picture_size(bits: &mut BitReader<'_>, format: &SampleFormat) -> Result<(u32, u32), CodecError> {
    let width_mbs = bits.ue("pic_width_in_mbs_minus1")?;
    let height_map_units = bits.ue("pic_height_in_map_units_minus1")?;
    let frame_mbs_only = bits.flag("frame_mbs_only_flag")?;
    if !frame_mbs_only {
        bits.skip(1, "mb_adaptive_frame_field_flag")?;
    }
    bits.skip(1, "direct_8x8_inference_flag")?;
    // A map unit of a stream with fields is a pair of macroblocks (§7.4.2.1.1).
    let fields = if frame_mbs_only { 1 } else { 2 };
    let (unit_x, unit_y) = format.crop_unit();
    let (crop_x, crop_y) = cropping(bits)?;
    let width = cropped(samples(width_mbs, 16)?, crop_x, unit_x).ok_or_else(|| bits.malformed("frame cropping"))?;
    let height = samples(height_map_units, 16 * fields)?;
    let height = cropped(height, crop_y, unit_y * fields).ok_or_else(|| bits.malformed("frame cropping"))?;
    Ok((width, height))
}

/// `(minus1 + 1) × unit`, within [`MAX_DIMENSION`].
fn samples(minus1: u32, unit: u32) -> Result<u32, CodecError> {
    let samples = (u64::from(minus1) + 1) * u64::from(unit);
    u32::try_from(samples).ok().filter(|&samples| samples <= MAX_DIMENSION).ok_or(CodecError::LimitExceeded {
        limit: "width or height of the picture",
        max: MAX_DIMENSION as usize,
        seen: usize::try_from(samples).unwrap_or(usize::MAX),
    })
}

/// Sums of the horizontal and of the vertical cropping offsets, in crop units.
fn cropping(bits: &mut BitReader<'_>) -> Result<(u64, u64), CodecError> {
    if !bits.flag("frame_cropping_flag")? {
        return Ok((0, 0));
    }
    let mut offset = |what| bits.ue(what).map(u64::from);
    let horizontal = offset("frame_crop_left_offset")? + offset("frame_crop_right_offset")?;
    let vertical = offset("frame_crop_top_offset")? + offset("frame_crop_bottom_offset")?;
    Ok((horizontal, vertical))
}

/// What cropping leaves of a side; `None` when that is nothing.
fn cropped(side: u32, crop: u64, unit: u32) -> Option<u32> {
    let crop = crop.checked_mul(u64::from(unit)).and_then(|crop| u32::try_from(crop).ok())?;
    side.checked_sub(crop).filter(|&left| left > 0)
}

/// Frames per second out of `vui_parameters()` (Annex E.1.1), read up to the timing.
fn vui_frame_rate(bits: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, CodecError> {
    const EXTENDED_SAR: u32 = 255;
    if bits.flag("aspect_ratio_info_present_flag")? && bits.u(8, "aspect_ratio_idc")? == EXTENDED_SAR {
        bits.skip(32, "sar_width and sar_height")?;
    }
    if bits.flag("overscan_info_present_flag")? {
        bits.skip(1, "overscan_appropriate_flag")?;
    }
    if bits.flag("video_signal_type_present_flag")? {
        bits.skip(4, "video_format and video_full_range_flag")?;
        if bits.flag("colour_description_present_flag")? {
            bits.skip(24, "colour_description")?;
        }
    }
    if bits.flag("chroma_loc_info_present_flag")? {
        bits.ue_max(5, "chroma_sample_loc_type_top_field")?;
        bits.ue_max(5, "chroma_sample_loc_type_bottom_field")?;
    }
    if !bits.flag("timing_info_present_flag")? {
        return Ok(None);
    }
    let num_units_in_tick = bits.u(32, "num_units_in_tick")?;
    let time_scale = bits.u(32, "time_scale")?;
    Ok(frame_rate(time_scale, num_units_in_tick))
}

/// A tick is the time of one field (Annex E.2.1): a frame takes two.
fn frame_rate(time_scale: u32, num_units_in_tick: u32) -> Option<(u32, u32)> {
    let (num, den) = (u64::from(time_scale), 2 * u64::from(num_units_in_tick));
    let divisor = greatest_common_divisor(num, den);
    let num = u32::try_from(num.checked_div(divisor)?).ok()?;
    let den = u32::try_from(den.checked_div(divisor)?).ok()?;
    (num > 0 && den > 0).then_some((num, den))
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while let Some(remainder) = a.checked_rem(b) {
        (a, b) = (b, remainder);
    }
    a
}
