//! `vui_payload()` (§7.3.2.4), which is `vui_parameters()` of ITU-T H.274 §7.2.

use crate::{CodecError, VideoInfo, bits::BitReader, nal::vui::sample_aspect_ratio};

/// From `sps_vui_payload_size_minus1` to the colour.
pub(super) fn read_vui(bits: &mut BitReader<'_>, video: &mut VideoInfo) -> Result<(), CodecError> {
    bits.ue("sps_vui_payload_size_minus1")?;
    bits.align();
    bits.skip(4, "vui_progressive_source_flag to vui_non_projected_constraint_flag")?;
    if bits.flag("vui_aspect_ratio_info_present_flag")? {
        bits.skip(1, "vui_aspect_ratio_constant_flag")?;
        video.sample_aspect_ratio = sample_aspect_ratio(bits)?;
    }
    if bits.flag("vui_overscan_info_present_flag")? {
        bits.skip(1, "vui_overscan_appropriate_flag")?;
    }
    if bits.flag("vui_colour_description_present_flag")? {
        video.colour.primaries = bits.u8(8, "vui_colour_primaries")?;
        video.colour.transfer = bits.u8(8, "vui_transfer_characteristics")?;
        video.colour.matrix = bits.u8(8, "vui_matrix_coeffs")?;
        video.colour.full_range = bits.flag("vui_full_range_flag")?;
    }
    Ok(())
}
