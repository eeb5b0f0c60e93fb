//! The sequence parameter set (H.264 §7.3.2.1.1).

use super::{
    nal::{NAL_SPS, nal_type},
    vui::Vui,
};
use crate::{
    Chroma, CodecError, VideoInfo,
    bits::{BitReader, rbsp, rbsp_bytes},
    nal::picture::{cropped, side, window},
};

/// Bytes of a slice that hold its header up to `field_pic_flag`: 1, and at most 35 + 7 + 17 + 2 + 16 + 1 bits.
const SLICE_HEAD_BYTES: usize = 11;

/// Facts of one sequence parameter set (H.264 §7.3.2.1.1 and Annex E).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpsInfo {
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    /// `constraint_set0_flag` … `constraint_set5_flag` and the two reserved bits, as one byte.
    pub constraint_flags: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// `frame_mbs_only_flag`: whether there are no fields.
    pub frame_mbs_only: bool,
    /// `separate_colour_plane_flag`.
    separate_colour_planes: bool,
    /// Bits of `frame_num` in a slice header.
    frame_num_bits: u8,
    /// What the VUI says besides what is in `video`.
    pub vui: Vui,
    /// Size, rate, colour.
    pub video: VideoInfo,
}

impl SpsInfo {
    /// Reads a sequence parameter set: a NAL unit with its header, without length or start code.
    ///
    /// # Errors
    /// [`CodecError`]; the offset does not count emulation prevention bytes.
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if nal_type(nal) != NAL_SPS {
            return Err(CodecError::Malformed { what: "sequence parameter set NAL unit header", offset: 0 });
        }
        let rbsp = rbsp(nal)?;
        let mut bits = BitReader::new(&rbsp);
        bits.skip(8, "nal_unit_header")?;
        let mut info = Self::default();
        info.video.profile = bits.u8(8, "profile_idc")?;
        info.constraint_flags = bits.u8(8, "constraint_set_flags")?;
        info.video.level = bits.u8(8, "level_idc")?;
        info.id = bits.ue8_max(31, "seq_parameter_set_id")?;
        info.read_sample_format(&mut bits)?;
        info.frame_num_bits = 4 + bits.ue8_max(12, "log2_max_frame_num_minus4")?;
        let order = skip_order(&mut bits)?;
        info.read_picture_size(&mut bits)?;
        if bits.flag("vui_parameters_present_flag")? {
            info.vui = Vui::read(&mut bits, &mut info.video);
        }
        info.video.max_reorder_frames = info.vui.max_reorder_frames.or(order);
        Ok(info)
    }

    /// Whether a slice is of a field, and not of a frame (`field_pic_flag`, §7.3.3).
    pub fn is_field(&self, slice: &[u8]) -> bool {
        !self.frame_mbs_only && self.field_pic_flag(slice).unwrap_or(false)
    }

    fn field_pic_flag(&self, slice: &[u8]) -> Result<bool, CodecError> {
        let head: Vec<u8> = rbsp_bytes(slice).take(SLICE_HEAD_BYTES).collect();
        let mut bits = BitReader::new(&head);
        bits.skip(8, "nal_unit_header")?;
        bits.ue("first_mb_in_slice")?;
        bits.ue("slice_type")?;
        bits.ue("pic_parameter_set_id")?;
        bits.skip(if self.separate_colour_planes { 2 } else { 0 }, "colour_plane_id")?;
        bits.skip(usize::from(self.frame_num_bits), "frame_num")?;
        bits.flag("field_pic_flag")
    }

    /// `chroma_format_idc` and what stands beside it; what is inferred (§7.4.2.1.1) for the profiles that do not write it.
    fn read_sample_format(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        (self.video.chroma, self.video.bit_depth, self.bit_depth_chroma) = (Chroma::Yuv420, 8, 8);
        if !has_sample_format(self.video.profile) {
            return Ok(());
        }
        self.video.chroma = Chroma::from_idc(bits.ue8_max(3, "chroma_format_idc")?);
        if self.video.chroma == Chroma::Yuv444 {
            self.separate_colour_planes = bits.flag("separate_colour_plane_flag")?;
        }
        self.video.bit_depth = 8 + bits.ue8_max(6, "bit_depth_luma_minus8")?;
        self.bit_depth_chroma = 8 + bits.ue8_max(6, "bit_depth_chroma_minus8")?;
        bits.skip(1, "qpprime_y_zero_transform_bypass_flag")?;
        if bits.flag("seq_scaling_matrix_present_flag")? {
            skip_scaling_matrix(bits, self.video.chroma)?;
        }
        Ok(())
    }

    /// From `pic_width_in_mbs_minus1` to the cropping offsets.
    fn read_picture_size(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        let width_mbs = u64::from(bits.ue("pic_width_in_mbs_minus1")?) + 1;
        let height_map_units = u64::from(bits.ue("pic_height_in_map_units_minus1")?) + 1;
        self.frame_mbs_only = bits.flag("frame_mbs_only_flag")?;
        if !self.frame_mbs_only {
            bits.skip(1, "mb_adaptive_frame_field_flag")?;
        }
        bits.skip(1, "direct_8x8_inference_flag")?;
        // A map unit of a stream with fields is a pair of macroblocks (§7.4.2.1.1).
        let fields = if self.frame_mbs_only { 1 } else { 2 };
        let (unit_x, unit_y) = self.video.chroma.crop_unit();
        let (crop_x, crop_y) = window(bits, "frame cropping")?;
        let width = cropped(side(width_mbs * 16)?, crop_x, unit_x);
        self.video.width = width.ok_or_else(|| bits.malformed("frame cropping"))?;
        let height = cropped(side(height_map_units * 16 * u64::from(fields))?, crop_y, unit_y * fields);
        self.video.height = height.ok_or_else(|| bits.malformed("frame cropping"))?;
        Ok(())
    }
}

/// The profiles whose parameter sets say `chroma_format_idc` (§7.3.2.1.1).
fn has_sample_format(profile_idc: u8) -> bool {
    matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// `seq_scaling_list_present_flag` and its lists: six of 4×4, then two (4:4:4: six) of 8×8.
fn skip_scaling_matrix(bits: &mut BitReader<'_>, chroma: Chroma) -> Result<(), CodecError> {
    let lists = if chroma == Chroma::Yuv444 { 12 } else { 8 };
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

/// From `pic_order_cnt_type` to `gaps_in_frame_num_value_allowed_flag`. `Some(0)` when pictures come in the order in
/// which they are shown (`pic_order_cnt_type` 2, §8.2.1.3).
fn skip_order(bits: &mut BitReader<'_>) -> Result<Option<u8>, CodecError> {
    let order_type = bits.ue_max(2, "pic_order_cnt_type")?;
    match order_type {
        0 => {
            bits.ue_max(12, "log2_max_pic_order_cnt_lsb_minus4")?;
        }
        1 => skip_order_cycle(bits)?,
        _ => {}
    }
    bits.ue("max_num_ref_frames")?;
    bits.skip(1, "gaps_in_frame_num_value_allowed_flag")?;
    Ok((order_type == 2).then_some(0))
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
