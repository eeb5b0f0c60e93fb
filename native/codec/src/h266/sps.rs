//! The sequence parameter set (§7.3.2.4).

use super::{
    coding_tools::ToolsForm,
    nal::{NAL_HEADER_BYTES, NAL_SPS, layer_id, nal_type},
    ptl::{MAX_SUB_LAYERS, ProfileTierLevel},
    subpictures::skip_subpictures,
    timing::{read_picture_rate, read_reorder},
    vui::read_vui,
};
use crate::{
    Chroma, CodecError, VideoInfo,
    bits::{BitReader, rbsp},
    nal::picture::{cropped, side, window},
};

/// Facts of one sequence parameter set (§7.3.2.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpsInfo {
    /// `sps_seq_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// `sps_video_parameter_set_id`: 0 when there is no video parameter set.
    pub vps_id: u8,
    /// Temporal sub-layers, 1 to 7.
    pub sub_layers: u8,
    /// Profile, tier and level.
    pub ptl: ProfileTierLevel,
    /// `sps_gdr_enabled_flag`: whether there may be pictures of gradual decoding refresh.
    pub gradual_refresh: bool,
    /// `sps_res_change_in_clvs_allowed_flag`: whether the size may change between key frames.
    pub resolution_changes: bool,
    /// `sps_pic_width_max_in_luma_samples`, before cropping.
    pub coded_width: u32,
    /// `sps_pic_height_max_in_luma_samples`, before cropping.
    pub coded_height: u32,
    /// `sps_field_seq_flag`: whether each picture is a field.
    pub field_seq: bool,
    /// `CtbLog2SizeY`: a coding tree unit has 2 to the power of this luma samples on each side.
    pub(super) ctu_bits: u8,
    /// Size, rate, colour. The height and the rate are those of pictures, even when these are fields.
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
        // What stands behind is read as far as it goes: a server can do without.
        let _ = info.read_rest(&mut bits);
        Ok(info)
    }

    /// Up to `profile_tier_level()`.
    fn read_head(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        self.id = bits.u8(4, "sps_seq_parameter_set_id")?;
        self.vps_id = bits.u8(4, "sps_video_parameter_set_id")?;
        self.sub_layers = 1 + bits.u8(3, "sps_max_sublayers_minus1")?;
        if self.sub_layers > MAX_SUB_LAYERS {
            return Err(bits.malformed("sps_max_sublayers_minus1"));
        }
        self.video.chroma = Chroma::from_idc(bits.u8(2, "sps_chroma_format_idc")?);
        self.ctu_bits = 5 + bits.u8(2, "sps_log2_ctu_size_minus5")?;
        // Only a set of a higher layer may leave them to the video parameter set (§7.4.3.4).
        if !bits.flag("sps_ptl_dpb_hrd_params_present_flag")? {
            return Err(CodecError::Unsupported { what: "sequence parameter set without a profile" });
        }
        self.ptl = ProfileTierLevel::read(bits, self.sub_layers)?;
        self.video.profile = self.ptl.profile_idc;
        self.video.level = self.ptl.level_idc;
        self.video.high_tier = self.ptl.high_tier;
        Ok(())
    }

    /// From `sps_gdr_enabled_flag` to `sps_bitdepth_minus8`.
    fn read_picture(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        self.gradual_refresh = bits.flag("sps_gdr_enabled_flag")?;
        if bits.flag("sps_ref_pic_resampling_enabled_flag")? {
            self.resolution_changes = bits.flag("sps_res_change_in_clvs_allowed_flag")?;
        }
        self.coded_width = side(u64::from(bits.ue("sps_pic_width_max_in_luma_samples")?))?;
        self.coded_height = side(u64::from(bits.ue("sps_pic_height_max_in_luma_samples")?))?;
        let (crop_x, crop_y) = window(bits, "sps_conformance_window")?;
        let (unit_x, unit_y) = self.video.chroma.crop_unit();
        let cropped =
            |side, crop, unit| cropped(side, crop, unit).ok_or_else(|| bits.malformed("sps_conformance_window"));
        self.video.width = cropped(self.coded_width, crop_x, unit_x)?;
        self.video.height = cropped(self.coded_height, crop_y, unit_y)?;
        skip_subpictures(bits, self.coded_width, self.coded_height, self.ctu_bits)?;
        self.video.bit_depth = 8 + bits.ue8_max(8, "sps_bitdepth_minus8")?;
        Ok(())
    }

    /// From `sps_entropy_coding_sync_enabled_flag` to the VUI.
    fn read_rest(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        bits.skip(2, "sps_entropy_coding_sync_enabled_flag and sps_entry_point_offsets_present_flag")?;
        let poc_lsb_bits = 4 + bits.u8(4, "sps_log2_max_pic_order_cnt_lsb_minus4")?;
        if bits.flag("sps_poc_msb_cycle_flag")? {
            bits.ue("sps_poc_msb_cycle_len_minus1")?;
        }
        for what in ["sps_num_extra_ph_bytes", "sps_num_extra_sh_bytes"] {
            let extra_bytes = bits.u(2, what)? as usize;
            bits.skip(8 * extra_bytes, what)?;
        }
        self.video.max_reorder_frames = Some(read_reorder(bits, self.sub_layers)?);
        let (chroma, ctu_bits, has_vps) = (self.video.chroma, self.ctu_bits, self.vps_id > 0);
        ToolsForm { chroma, ctu_bits, poc_lsb_bits, has_vps }.skip_tools(bits)?;
        if bits.flag("sps_timing_hrd_params_present_flag")? {
            self.video.frame_rate = read_picture_rate(bits, self.sub_layers)?;
        }
        self.field_seq = bits.flag("sps_field_seq_flag")?;
        if bits.flag("sps_vui_parameters_present_flag")? {
            // As far as it goes: a server can do without.
            drop(read_vui(bits, &mut self.video));
        }
        Ok(())
    }
}
