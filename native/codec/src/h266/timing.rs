//! `dpb_parameters()` (§7.3.4) and the timing and HRD parameters (§7.3.5) of a sequence parameter set.

use crate::{CodecError, bits::BitReader, nal::vui::reduced};

/// Reads `dpb_parameters( sps_max_sublayers_minus1, … )` and the flag in front: `dpb_max_num_reorder_pics` of the highest
/// sub-layer, which is that of the stream.
pub(super) fn read_reorder(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<u8, CodecError> {
    let all = sub_layers > 1 && bits.flag("sps_sublayer_dpb_params_flag")?;
    let mut reorder = 0;
    for _ in 0..if all { sub_layers } else { 1 } {
        bits.ue_max(15, "dpb_max_dec_pic_buffering_minus1")?;
        reorder = bits.ue8_max(15, "dpb_max_num_reorder_pics")?;
        bits.ue("dpb_max_latency_increase_plus1")?;
    }
    Ok(reorder)
}

/// What `general_timing_hrd_parameters()` says that the sub-layers are written after.
struct Hrd {
    /// NAL and VCL parameters: how many there are of each sub-layer.
    kinds: u8,
    /// `general_du_hrd_params_present_flag`.
    decoding_units: bool,
    /// `hrd_cpb_cnt_minus1 + 1`.
    cpb_count: u32,
}

/// Pictures per second, from `general_timing_hrd_parameters()` to the end of `ols_timing_hrd_parameters()`.
pub(super) fn read_picture_rate(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<Option<(u32, u32)>, CodecError> {
    let num_units_in_tick = bits.u(32, "num_units_in_tick")?;
    let time_scale = bits.u(32, "time_scale")?;
    let hrd = Hrd::read(bits)?;
    let all = sub_layers > 1 && bits.flag("sps_sublayer_cpb_params_present_flag")?;
    let mut ticks_per_picture = 1;
    for _ in 0..if all { sub_layers } else { 1 } {
        ticks_per_picture = hrd.read_sub_layer(bits)?;
    }
    Ok(reduced(u64::from(time_scale), u64::from(num_units_in_tick) * u64::from(ticks_per_picture)))
}

impl Hrd {
    /// From `general_nal_hrd_params_present_flag` on.
    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let nal = bits.flag("general_nal_hrd_params_present_flag")?;
        let vcl = bits.flag("general_vcl_hrd_params_present_flag")?;
        let mut hrd = Self { kinds: u8::from(nal) + u8::from(vcl), decoding_units: false, cpb_count: 1 };
        if hrd.kinds > 0 {
            bits.skip(1, "general_same_pic_timing_in_all_ols_flag")?;
            hrd.decoding_units = bits.flag("general_du_hrd_params_present_flag")?;
            if hrd.decoding_units {
                bits.skip(8, "tick_divisor_minus2")?;
            }
            bits.skip(8, "bit_rate_scale and cpb_size_scale")?;
            if hrd.decoding_units {
                bits.skip(4, "cpb_size_du_scale")?;
            }
            hrd.cpb_count = bits.ue_max(31, "hrd_cpb_cnt_minus1")? + 1;
        }
        Ok(hrd)
    }

    /// One sub-layer of `ols_timing_hrd_parameters()`: ticks between pictures, 1 when they are not fixed.
    fn read_sub_layer(&self, bits: &mut BitReader<'_>) -> Result<u32, CodecError> {
        let mut ticks = 1;
        // A rate that is fixed in general is fixed within the sequence (§7.4.6.2).
        if bits.flag("fixed_pic_rate_general_flag")? || bits.flag("fixed_pic_rate_within_cvs_flag")? {
            ticks = bits.ue_max(2047, "elemental_duration_in_tc_minus1")? + 1;
        } else if self.kinds > 0 && self.cpb_count == 1 {
            bits.skip(1, "low_delay_hrd_flag")?;
        }
        for _ in 0..u32::from(self.kinds) * self.cpb_count {
            for _ in 0..if self.decoding_units { 4 } else { 2 } {
                bits.ue("bit_rate_value_minus1 to bit_rate_du_value_minus1")?;
            }
            bits.skip(1, "cbr_flag")?;
        }
        Ok(ticks)
    }
}
