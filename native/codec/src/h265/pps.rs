//! The picture parameter set (§7.3.2.3.1), read as far as what the hvcC record repeats of it.

use super::nal::{NAL_HEADER_BYTES, NAL_PPS, nal_type};
use crate::{
    CodecError,
    bits::{BitReader, rbsp},
};

/// `parallelismType` of the hvcC record (ISO/IEC 14496-15 §8.3.3.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parallelism {
    /// Not known, or not the same in all pictures.
    Mixed = 0,
    Slices = 1,
    Tiles = 2,
    Wavefronts = 3,
}

/// How the pictures of a set can be decoded in parallel.
pub(super) fn parallelism(nal: &[u8]) -> Result<Parallelism, CodecError> {
    if nal_type(nal) != NAL_PPS {
        return Err(CodecError::Malformed { what: "picture parameter set NAL unit header", offset: 0 });
    }
    let rbsp = rbsp(nal)?;
    let mut bits = BitReader::new(&rbsp);
    bits.skip(8 * NAL_HEADER_BYTES, "nal_unit_header")?;
    bits.ue_max(63, "pps_pic_parameter_set_id")?;
    bits.ue_max(15, "pps_seq_parameter_set_id")?;
    bits.skip(7, "dependent_slice_segments_enabled_flag to cabac_init_present_flag")?;
    bits.ue_max(14, "num_ref_idx_l0_default_active_minus1")?;
    bits.ue_max(14, "num_ref_idx_l1_default_active_minus1")?;
    bits.se("init_qp_minus26")?;
    bits.skip(2, "constrained_intra_pred_flag and transform_skip_enabled_flag")?;
    if bits.flag("cu_qp_delta_enabled_flag")? {
        bits.ue("diff_cu_qp_delta_depth")?;
    }
    bits.se("pps_cb_qp_offset")?;
    bits.se("pps_cr_qp_offset")?;
    bits.skip(4, "pps_slice_chroma_qp_offsets_present_flag to transquant_bypass_enabled_flag")?;
    let tiles = bits.flag("tiles_enabled_flag")?;
    let wavefronts = bits.flag("entropy_coding_sync_enabled_flag")?;
    Ok(match (tiles, wavefronts) {
        (true, true) => Parallelism::Mixed,
        (true, false) => Parallelism::Tiles,
        (false, true) => Parallelism::Wavefronts,
        (false, false) => Parallelism::Slices,
    })
}
