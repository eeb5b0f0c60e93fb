//! The video parameter set (§7.3.2.1), read as far as the timing.

use super::{
    nal::{NAL_HEADER_BYTES, NAL_VPS, nal_type},
    ptl::ProfileTierLevel,
    vui::picture_rate,
};
use crate::{
    CodecError,
    bits::{BitReader, rbsp},
};

/// Pictures per second, when the set says it. Some encoders say it here and not in the VUI.
pub(super) fn vps_picture_rate(nal: &[u8]) -> Result<Option<(u32, u32)>, CodecError> {
    if nal_type(nal) != NAL_VPS {
        return Err(CodecError::Malformed { what: "video parameter set NAL unit header", offset: 0 });
    }
    let rbsp = rbsp(nal)?;
    let mut bits = BitReader::new(&rbsp);
    bits.skip(8 * NAL_HEADER_BYTES, "nal_unit_header")?;
    bits.skip(12, "vps_video_parameter_set_id to vps_max_layers_minus1")?;
    let max_sub_layers_minus1 = bits.u8(3, "vps_max_sub_layers_minus1")?;
    bits.skip(17, "vps_temporal_id_nesting_flag and vps_reserved_0xffff_16bits")?;
    ProfileTierLevel::read(&mut bits, max_sub_layers_minus1)?;
    let all = bits.flag("vps_sub_layer_ordering_info_present_flag")?;
    for _ in 0..if all { max_sub_layers_minus1 + 1 } else { 1 } {
        for _ in 0..3 {
            bits.ue("vps_max_dec_pic_buffering_minus1 to vps_max_latency_increase_plus1")?;
        }
    }
    skip_layer_sets(&mut bits)?;
    if bits.flag("vps_timing_info_present_flag")? { picture_rate(&mut bits) } else { Ok(None) }
}

fn skip_layer_sets(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    let layers = bits.u(6, "vps_max_layer_id")? as usize + 1;
    let sets_minus1 = bits.ue_max(1023, "vps_num_layer_sets_minus1")? as usize;
    bits.skip(layers * sets_minus1, "layer_id_included_flag")
}
