//! The coding tools of a sequence parameter set (§7.3.2.4), stepped over: timing and VUI stand behind them.

use super::reference_lists::{ReferenceListForm, skip_reference_lists};
use crate::{Chroma, CodecError, bits::BitReader};

/// What the syntax of the tools depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToolsForm {
    pub chroma: Chroma,
    /// `CtbLog2SizeY`.
    pub ctu_bits: u8,
    /// `sps_log2_max_pic_order_cnt_lsb_minus4 + 4`.
    pub poc_lsb_bits: u8,
    /// Whether `sps_video_parameter_set_id` is above 0: there may be layers.
    pub has_vps: bool,
}

impl ToolsForm {
    fn has_chroma(self) -> bool {
        self.chroma != Chroma::Monochrome
    }

    /// From `sps_log2_min_luma_coding_block_size_minus2` to `sps_virtual_boundary_pos_y_minus1`.
    pub(super) fn skip_tools(self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        self.skip_partitions(bits)?;
        let transform = self.skip_transforms(bits)?;
        self.skip_chroma_qp_tables(bits)?;
        let lists = self.skip_filters(bits)?;
        skip_reference_lists(bits, lists)?;
        let amvr = skip_motion(bits)?;
        skip_merge(bits, amvr)?;
        let palette = self.skip_intra(bits)?;
        let act = self.skip_screen_content(bits, transform, palette)?;
        skip_scaling_and_boundaries(bits, transform.lfnst, act)
    }

    fn skip_partitions(self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        bits.ue("sps_log2_min_luma_coding_block_size_minus2")?;
        bits.skip(1, "sps_partition_constraints_override_enabled_flag")?;
        // Luma in intra slices, chroma in intra slices, inter slices.
        skip_partition(bits)?;
        if self.has_chroma() && bits.flag("sps_qtbtt_dual_tree_intra_flag")? {
            skip_partition(bits)?;
        }
        skip_partition(bits)
    }

    fn skip_transforms(self, bits: &mut BitReader<'_>) -> Result<Transforms, CodecError> {
        let mut transforms = Transforms::default();
        if self.ctu_bits > 5 {
            transforms.size_64 = bits.flag("sps_max_luma_transform_size_64_flag")?;
        }
        transforms.skip = bits.flag("sps_transform_skip_enabled_flag")?;
        if transforms.skip {
            bits.ue("sps_log2_transform_skip_max_size_minus2")?;
            bits.skip(1, "sps_bdpcm_enabled_flag")?;
        }
        if bits.flag("sps_mts_enabled_flag")? {
            bits.skip(2, "sps_explicit_mts_intra_enabled_flag and sps_explicit_mts_inter_enabled_flag")?;
        }
        transforms.lfnst = bits.flag("sps_lfnst_enabled_flag")?;
        Ok(transforms)
    }

    fn skip_chroma_qp_tables(self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        if !self.has_chroma() {
            return Ok(());
        }
        let joint = bits.flag("sps_joint_cbcr_enabled_flag")?;
        let same = bits.flag("sps_same_qp_table_for_chroma_flag")?;
        let tables = match (same, joint) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 2,
        };
        for _ in 0..tables {
            bits.se("sps_qp_table_start_minus26")?;
            // §7.4.3.4: 0 to 36 − start.
            for _ in 0..=bits.ue_max(88, "sps_num_points_in_qp_table_minus1")? {
                bits.ue("sps_delta_qp_in_val_minus1")?;
                bits.ue("sps_delta_qp_diff_val")?;
            }
        }
        Ok(())
    }

    /// From `sps_sao_enabled_flag` to `sps_rpl1_same_as_rpl0_flag`.
    fn skip_filters(self, bits: &mut BitReader<'_>) -> Result<ReferenceListForm, CodecError> {
        bits.skip(1, "sps_sao_enabled_flag")?;
        if bits.flag("sps_alf_enabled_flag")? && self.has_chroma() {
            bits.skip(1, "sps_ccalf_enabled_flag")?;
        }
        bits.skip(1, "sps_lmcs_enabled_flag")?;
        let weighted = bits.flag("sps_weighted_pred_flag")?;
        let weighted = bits.flag("sps_weighted_bipred_flag")? || weighted;
        let long_term = bits.flag("sps_long_term_ref_pics_flag")?;
        let inter_layer = self.has_vps && bits.flag("sps_inter_layer_prediction_enabled_flag")?;
        bits.skip(1, "sps_idr_rpl_present_flag")?;
        let lists = if bits.flag("sps_rpl1_same_as_rpl0_flag")? { 1 } else { 2 };
        Ok(ReferenceListForm { lists, weighted, long_term, inter_layer, poc_lsb_bits: self.poc_lsb_bits })
    }

    /// From `sps_isp_enabled_flag` to `sps_palette_enabled_flag`, which is returned.
    fn skip_intra(self, bits: &mut BitReader<'_>) -> Result<bool, CodecError> {
        bits.skip(3, "sps_isp_enabled_flag to sps_mip_enabled_flag")?;
        if self.has_chroma() {
            bits.skip(1, "sps_cclm_enabled_flag")?;
        }
        if self.chroma == Chroma::Yuv420 {
            bits.skip(2, "sps_chroma_horizontal_collocated_flag and sps_chroma_vertical_collocated_flag")?;
        }
        bits.flag("sps_palette_enabled_flag")
    }

    /// From `sps_act_enabled_flag`, which is returned, to the LADF offsets.
    fn skip_screen_content(
        self,
        bits: &mut BitReader<'_>,
        transforms: Transforms,
        palette: bool,
    ) -> Result<bool, CodecError> {
        let act = self.chroma == Chroma::Yuv444 && !transforms.size_64 && bits.flag("sps_act_enabled_flag")?;
        if transforms.skip || palette {
            bits.ue("sps_min_qp_prime_ts")?;
        }
        if bits.flag("sps_ibc_enabled_flag")? {
            bits.ue("sps_six_minus_max_num_ibc_merge_cand")?;
        }
        if bits.flag("sps_ladf_enabled_flag")? {
            let intervals = bits.u(2, "sps_num_ladf_intervals_minus2")? + 1;
            bits.se("sps_ladf_lowest_interval_qp_offset")?;
            for _ in 0..intervals {
                bits.se("sps_ladf_qp_offset")?;
                bits.ue("sps_ladf_delta_threshold_minus1")?;
            }
        }
        Ok(act)
    }
}

/// Flags of transforms that later syntax depends on.
#[derive(Debug, Clone, Copy, Default)]
struct Transforms {
    size_64: bool,
    skip: bool,
    lfnst: bool,
}

/// `sps_log2_diff_min_qt_min_cb_…`, `sps_max_mtt_hierarchy_depth_…` and what depends on it.
fn skip_partition(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    bits.ue("sps_log2_diff_min_qt_min_cb")?;
    if bits.ue("sps_max_mtt_hierarchy_depth")? > 0 {
        bits.ue("sps_log2_diff_max_bt_min_qt")?;
        bits.ue("sps_log2_diff_max_tt_min_qt")?;
    }
    Ok(())
}

/// From `sps_ref_wraparound_enabled_flag` to `sps_mmvd_fullpel_only_enabled_flag`; returns `sps_amvr_enabled_flag`.
fn skip_motion(bits: &mut BitReader<'_>) -> Result<bool, CodecError> {
    bits.skip(1, "sps_ref_wraparound_enabled_flag")?;
    if bits.flag("sps_temporal_mvp_enabled_flag")? {
        bits.skip(1, "sps_sbtmvp_enabled_flag")?;
    }
    let amvr = bits.flag("sps_amvr_enabled_flag")?;
    if bits.flag("sps_bdof_enabled_flag")? {
        bits.skip(1, "sps_bdof_control_present_in_ph_flag")?;
    }
    bits.skip(1, "sps_smvd_enabled_flag")?;
    if bits.flag("sps_dmvr_enabled_flag")? {
        bits.skip(1, "sps_dmvr_control_present_in_ph_flag")?;
    }
    if bits.flag("sps_mmvd_enabled_flag")? {
        bits.skip(1, "sps_mmvd_fullpel_only_enabled_flag")?;
    }
    Ok(amvr)
}

/// From `sps_six_minus_max_num_merge_cand` to `sps_log2_parallel_merge_level_minus2`.
fn skip_merge(bits: &mut BitReader<'_>, amvr: bool) -> Result<(), CodecError> {
    let candidates = 6 - bits.ue_max(5, "sps_six_minus_max_num_merge_cand")?;
    bits.skip(1, "sps_sbt_enabled_flag")?;
    if bits.flag("sps_affine_enabled_flag")? {
        skip_affine(bits, amvr)?;
    }
    bits.skip(2, "sps_bcw_enabled_flag and sps_ciip_enabled_flag")?;
    if candidates >= 2 && bits.flag("sps_gpm_enabled_flag")? && candidates >= 3 {
        bits.ue("sps_max_num_merge_cand_minus_max_num_gpm_cand")?;
    }
    bits.ue("sps_log2_parallel_merge_level_minus2").map(drop)
}

fn skip_affine(bits: &mut BitReader<'_>, amvr: bool) -> Result<(), CodecError> {
    bits.ue("sps_five_minus_max_num_subblock_merge_cand")?;
    bits.skip(1, "sps_6param_affine_enabled_flag")?;
    if amvr {
        bits.skip(1, "sps_affine_amvr_enabled_flag")?;
    }
    if bits.flag("sps_affine_prof_enabled_flag")? {
        bits.skip(1, "sps_prof_control_present_in_ph_flag")?;
    }
    Ok(())
}

/// From `sps_explicit_scaling_list_enabled_flag` to the virtual boundaries.
fn skip_scaling_and_boundaries(bits: &mut BitReader<'_>, lfnst: bool, act: bool) -> Result<(), CodecError> {
    let scaling_lists = bits.flag("sps_explicit_scaling_list_enabled_flag")?;
    if lfnst && scaling_lists {
        bits.skip(1, "sps_scaling_matrix_for_lfnst_disabled_flag")?;
    }
    if act && scaling_lists && bits.flag("sps_scaling_matrix_for_alternative_colour_space_disabled_flag")? {
        bits.skip(1, "sps_scaling_matrix_designated_colour_space_flag")?;
    }
    bits.skip(2, "sps_dep_quant_enabled_flag and sps_sign_data_hiding_enabled_flag")?;
    if bits.flag("sps_virtual_boundaries_enabled_flag")? && bits.flag("sps_virtual_boundaries_present_flag")? {
        // Vertical ones, then horizontal ones.
        for _ in 0..2 {
            for _ in 0..bits.ue_max(3, "sps_num_ver_virtual_boundaries")? {
                bits.ue("sps_virtual_boundary_pos_x_minus1")?;
            }
        }
    }
    Ok(())
}
