//! `vui_parameters()` (§E.2.1) and `hrd_parameters()` (§E.2.2).

use crate::{
    CodecError, VideoInfo,
    bits::BitReader,
    nal::{
        picture::window,
        vui::{read_display, reduced},
    },
};

/// What the VUI says besides the facts of every codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Vui {
    /// `field_seq_flag`: each picture is a field.
    pub field_seq: bool,
    /// `min_spatial_segmentation_idc`: how finely a picture is cut into parts, for the hvcC record.
    pub min_spatial_segmentation_idc: u16,
}

impl Vui {
    /// Reads the VUI into what is returned and into `video`, as far as it goes: a server can do without.
    pub(super) fn read(bits: &mut BitReader<'_>, max_sub_layers_minus1: u8, video: &mut VideoInfo) -> Self {
        let mut vui = Self::default();
        drop(vui.read_on(bits, max_sub_layers_minus1, video));
        vui
    }

    fn read_on(
        &mut self,
        bits: &mut BitReader<'_>,
        max_sub_layers_minus1: u8,
        video: &mut VideoInfo,
    ) -> Result<(), CodecError> {
        read_display(bits, video)?;
        bits.skip(1, "neutral_chroma_indication_flag")?;
        self.field_seq = bits.flag("field_seq_flag")?;
        bits.skip(1, "frame_field_info_present_flag")?;
        skip_default_display_window(bits)?;
        let has_timing = bits.flag("vui_timing_info_present_flag")?;
        if has_timing {
            video.frame_rate = picture_rate(bits)?;
        }
        self.min_spatial_segmentation_idc = min_spatial_segmentation(bits, has_timing, max_sub_layers_minus1)?;
        Ok(())
    }
}

/// The window is a proposal to displays, not a size. Some encoders leave its flag out: then this looks like a flag in front
/// of absurd offsets, but is the next one, of the timing, in front of `num_units_in_tick`.
fn skip_default_display_window(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    const FLAG_AND_TWENTY_ZEROS: u32 = 1 << 20;
    if bits.clone().u(21, "default_display_window_flag") == Ok(FLAG_AND_TWENTY_ZEROS) {
        return Ok(());
    }
    window(bits, "default_display_window").map(drop)
}

/// Pictures per second, from `num_units_in_tick` on: the same in the VUI and in the video parameter set.
pub(super) fn picture_rate(bits: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, CodecError> {
    let num_units_in_tick = bits.u(32, "num_units_in_tick")?;
    let time_scale = bits.u(32, "time_scale")?;
    if bits.flag("poc_proportional_to_timing_flag")? {
        bits.ue("num_ticks_poc_diff_one_minus1")?;
    }
    Ok(reduced(u64::from(time_scale), u64::from(num_units_in_tick)))
}

/// From `vui_hrd_parameters_present_flag` to `min_spatial_segmentation_idc`.
fn min_spatial_segmentation(
    bits: &mut BitReader<'_>,
    has_timing: bool,
    max_sub_layers_minus1: u8,
) -> Result<u16, CodecError> {
    if has_timing && bits.flag("vui_hrd_parameters_present_flag")? {
        skip_hrd(bits, max_sub_layers_minus1)?;
    }
    if !bits.flag("bitstream_restriction_flag")? {
        return Ok(0);
    }
    bits.skip(3, "tiles_fixed_structure_flag to restricted_ref_pic_lists_flag")?;
    let start = bits.clone();
    let idc = bits.ue_max(4095, "min_spatial_segmentation_idc")?;
    u16::try_from(idc).map_err(|_| start.malformed("min_spatial_segmentation_idc"))
}

/// `hrd_parameters(1, max_sub_layers_minus1)`.
fn skip_hrd(bits: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Result<(), CodecError> {
    let nal_hrd = bits.flag("nal_hrd_parameters_present_flag")?;
    let vcl_hrd = bits.flag("vcl_hrd_parameters_present_flag")?;
    let mut sub_pictures = false;
    if nal_hrd || vcl_hrd {
        sub_pictures = bits.flag("sub_pic_hrd_params_present_flag")?;
        if sub_pictures {
            bits.skip(19, "tick_divisor_minus2 to dpb_output_delay_du_length_minus1")?;
        }
        bits.skip(8, "bit_rate_scale and cpb_size_scale")?;
        if sub_pictures {
            bits.skip(4, "cpb_size_du_scale")?;
        }
        bits.skip(15, "initial_cpb_removal_delay_length_minus1 to dpb_output_delay_length_minus1")?;
    }
    for _ in 0..=max_sub_layers_minus1 {
        let cpb_count = sub_layer_cpb_count(bits)?;
        for _ in 0..u8::from(nal_hrd) + u8::from(vcl_hrd) {
            skip_sub_layer_hrd(bits, cpb_count, sub_pictures)?;
        }
    }
    Ok(())
}

/// From `fixed_pic_rate_general_flag` to `cpb_cnt_minus1`, and 1.
fn sub_layer_cpb_count(bits: &mut BitReader<'_>) -> Result<u32, CodecError> {
    // A rate that is fixed in general is fixed within the sequence (§E.3.2).
    let is_fixed = bits.flag("fixed_pic_rate_general_flag")? || bits.flag("fixed_pic_rate_within_cvs_flag")?;
    let mut low_delay = false;
    if is_fixed {
        bits.ue_max(2047, "elemental_duration_in_tc_minus1")?;
    } else {
        low_delay = bits.flag("low_delay_hrd_flag")?;
    }
    if low_delay { Ok(1) } else { Ok(bits.ue_max(31, "cpb_cnt_minus1")? + 1) }
}

/// `sub_layer_hrd_parameters()` (§E.2.3).
fn skip_sub_layer_hrd(bits: &mut BitReader<'_>, cpb_count: u32, sub_pictures: bool) -> Result<(), CodecError> {
    for _ in 0..cpb_count {
        for _ in 0..if sub_pictures { 4 } else { 2 } {
            bits.ue("bit_rate_value_minus1 to bit_rate_du_value_minus1")?;
        }
        bits.skip(1, "cbr_flag")?;
    }
    Ok(())
}
