//! The sequence parameter set (§7.3.2.2.1).

use super::{
    nal::{NAL_HEADER_BYTES, NAL_SPS, layer_id, nal_type},
    ptl::ProfileTierLevel,
    reference_sets::skip_short_term_sets,
    vui::Vui,
};
use crate::{
    Chroma, CodecError, VideoInfo,
    bits::{BitReader, rbsp},
    nal::picture::{cropped, side, window},
};

/// Facts of one sequence parameter set (§7.3.2.2.1 and Annex E).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpsInfo {
    /// `sps_video_parameter_set_id`, 0 to 15.
    pub vps_id: u8,
    /// `sps_seq_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// Temporal sub-layers, 1 to 7.
    pub sub_layers: u8,
    /// `sps_temporal_id_nesting_flag`: whether one can switch to a higher sub-layer at each picture.
    pub temporal_id_nesting: bool,
    /// Profile, tier and level.
    pub ptl: ProfileTierLevel,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// `field_seq_flag`: whether each picture is a field.
    pub field_seq: bool,
    /// `min_spatial_segmentation_idc` (§E.3.1), 0 to 4095: 0 says nothing.
    pub min_spatial_segmentation_idc: u16,
    /// Size, rate, colour. The height is that of a picture, even when that is a field.
    pub video: VideoInfo,
}

impl SpsInfo {
    /// Reads a sequence parameter set of the base layer: a NAL unit with its header, without length or start code.
    ///
    /// # Errors
    /// [`CodecError`]; the offset does not count emulation prevention bytes.
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if nal_type(nal) != NAL_SPS {
            return Err(CodecError::Malformed { what: "sequence parameter set NAL unit header", offset: 0 });
        }
        if layer_id(nal) != 0 {
            return Err(CodecError::Unsupported { what: "sequence parameter set of a higher layer" });
        }
        let rbsp = rbsp(nal)?;
        let mut bits = BitReader::new(&rbsp);
        bits.skip(8 * NAL_HEADER_BYTES, "nal_unit_header")?;
        let mut info = Self::default();
        info.read_head(&mut bits)?;
        info.read_picture(&mut bits)?;
        let poc_lsb_bits = 4 + bits.ue8_max(12, "log2_max_pic_order_cnt_lsb_minus4")?;
        info.read_sub_layer_ordering(&mut bits)?;
        skip_coding_tools(&mut bits)?;
        skip_short_term_sets(&mut bits)?;
        skip_long_term_pictures(&mut bits, poc_lsb_bits)?;
        bits.skip(2, "sps_temporal_mvp_enabled_flag and strong_intra_smoothing_enabled_flag")?;
        if bits.flag("vui_parameters_present_flag")? {
            let vui = Vui::read(&mut bits, info.sub_layers - 1, &mut info.video);
            (info.field_seq, info.min_spatial_segmentation_idc) = (vui.field_seq, vui.min_spatial_segmentation_idc);
        }
        Ok(info)
    }

    /// Up to `sps_seq_parameter_set_id`.
    fn read_head(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        self.vps_id = bits.u8(4, "sps_video_parameter_set_id")?;
        let max_sub_layers_minus1 = bits.u8(3, "sps_max_sub_layers_minus1")?;
        if max_sub_layers_minus1 > 6 {
            return Err(bits.malformed("sps_max_sub_layers_minus1"));
        }
        self.sub_layers = max_sub_layers_minus1 + 1;
        self.temporal_id_nesting = bits.flag("sps_temporal_id_nesting_flag")?;
        self.ptl = ProfileTierLevel::read(bits, max_sub_layers_minus1)?;
        self.video.profile = self.ptl.profile_idc;
        self.video.level = self.ptl.level_idc;
        self.video.high_tier = self.ptl.high_tier;
        self.id = bits.ue8_max(15, "sps_seq_parameter_set_id")?;
        Ok(())
    }

    /// From `chroma_format_idc` to `bit_depth_chroma_minus8`.
    fn read_picture(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        self.video.chroma = Chroma::from_idc(bits.ue8_max(3, "chroma_format_idc")?);
        if self.video.chroma == Chroma::Yuv444 {
            bits.skip(1, "separate_colour_plane_flag")?;
        }
        let width = side(u64::from(bits.ue("pic_width_in_luma_samples")?))?;
        let height = side(u64::from(bits.ue("pic_height_in_luma_samples")?))?;
        let (crop_x, crop_y) = window(bits, "conformance_window")?;
        let (unit_x, unit_y) = self.video.chroma.crop_unit();
        self.video.width = cropped(width, crop_x, unit_x).ok_or_else(|| bits.malformed("conformance_window"))?;
        self.video.height = cropped(height, crop_y, unit_y).ok_or_else(|| bits.malformed("conformance_window"))?;
        self.video.bit_depth = 8 + bits.ue8_max(8, "bit_depth_luma_minus8")?;
        self.bit_depth_chroma = 8 + bits.ue8_max(8, "bit_depth_chroma_minus8")?;
        Ok(())
    }

    /// `sps_max_num_reorder_pics` and what stands beside it; that of the highest sub-layer is that of the stream.
    fn read_sub_layer_ordering(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        let all = bits.flag("sps_sub_layer_ordering_info_present_flag")?;
        for _ in 0..if all { self.sub_layers } else { 1 } {
            bits.ue_max(15, "sps_max_dec_pic_buffering_minus1")?;
            self.video.max_reorder_frames = Some(bits.ue8_max(15, "sps_max_num_reorder_pics")?);
            bits.ue("sps_max_latency_increase_plus1")?;
        }
        Ok(())
    }
}

/// From `log2_min_luma_coding_block_size_minus3` to `pcm_loop_filter_disabled_flag`.
fn skip_coding_tools(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    for what in [
        "log2_min_luma_coding_block_size_minus3",
        "log2_diff_max_min_luma_coding_block_size",
        "log2_min_luma_transform_block_size_minus2",
        "log2_diff_max_min_luma_transform_block_size",
        "max_transform_hierarchy_depth_inter",
        "max_transform_hierarchy_depth_intra",
    ] {
        bits.ue_max(6, what)?;
    }
    if bits.flag("scaling_list_enabled_flag")? && bits.flag("sps_scaling_list_data_present_flag")? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2, "amp_enabled_flag and sample_adaptive_offset_enabled_flag")?;
    if bits.flag("pcm_enabled_flag")? {
        bits.skip(8, "pcm_sample_bit_depth_luma_minus1 and pcm_sample_bit_depth_chroma_minus1")?;
        bits.ue_max(2, "log2_min_pcm_luma_coding_block_size_minus3")?;
        bits.ue_max(2, "log2_diff_max_min_pcm_luma_coding_block_size")?;
        bits.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    Ok(())
}

/// `scaling_list_data()` (§7.3.4): six lists of 4×4, 8×8 and 16×16, two of 32×32.
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    for size_id in 0..4_u8 {
        let lists = if size_id == 3 { 2 } else { 6 };
        for _ in 0..lists {
            if bits.flag("scaling_list_pred_mode_flag")? {
                skip_scaling_list(bits, size_id)?;
            } else {
                bits.ue_max(5, "scaling_list_pred_matrix_id_delta")?;
            }
        }
    }
    Ok(())
}

fn skip_scaling_list(bits: &mut BitReader<'_>, size_id: u8) -> Result<(), CodecError> {
    if size_id > 1 {
        bits.se("scaling_list_dc_coef_minus8")?;
    }
    for _ in 0..if size_id == 0 { 16 } else { 64 } {
        bits.se("scaling_list_delta_coef")?;
    }
    Ok(())
}

/// `long_term_ref_pics_present_flag` and the pictures.
fn skip_long_term_pictures(bits: &mut BitReader<'_>, poc_lsb_bits: u8) -> Result<(), CodecError> {
    if bits.flag("long_term_ref_pics_present_flag")? {
        let count = bits.ue_max(32, "num_long_term_ref_pics_sps")? as usize;
        bits.skip(count * (usize::from(poc_lsb_bits) + 1), "lt_ref_pic_poc_lsb_sps and used_by_curr_pic_lt_sps_flag")?;
    }
    Ok(())
}
