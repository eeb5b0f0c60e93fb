//! `vui_parameters()` (H.264 Annex E.1.1).

use crate::{
    CodecError, VideoInfo,
    bits::BitReader,
    nal::vui::{read_display, reduced},
};

/// What the VUI says besides the facts of every codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vui {
    /// `fixed_frame_rate_flag`: whether the distance between frames is always that of the frame rate.
    pub fixed_frame_rate: bool,
    /// How picture timing SEI messages are written, which they do not say themselves.
    pub picture_timing: PictureTiming,
    /// `max_num_reorder_frames`: frames that may precede another in decoding order and follow it in output order.
    pub max_reorder_frames: Option<u8>,
    /// `max_dec_frame_buffering`: frames that a decoder must hold.
    pub max_dec_frame_buffering: Option<u8>,
}

/// How a picture timing SEI message is written (Annex D.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureTiming {
    /// Bits of `cpb_removal_delay` and `dpb_output_delay`; `None` without HRD parameters.
    pub delay_bits: Option<(u8, u8)>,
    /// `time_offset_length`, 24 without HRD parameters (Annex E.2.2).
    pub time_offset_bits: u8,
    /// `pic_struct_present_flag`.
    pub has_pic_struct: bool,
}

impl Vui {
    /// Reads the VUI into what is returned and into `video`, as far as it goes: all of it is optional for a server, and
    /// encoders are known to cut it off, in front of the timing too.
    pub(super) fn read(bits: &mut BitReader<'_>, video: &mut VideoInfo) -> Self {
        let mut vui = Self::default();
        drop(vui.read_on(bits, video));
        vui
    }

    fn read_on(&mut self, bits: &mut BitReader<'_>, video: &mut VideoInfo) -> Result<(), CodecError> {
        read_display(bits, video)?;
        if bits.flag("timing_info_present_flag")? {
            let num_units_in_tick = bits.u(32, "num_units_in_tick")?;
            let time_scale = bits.u(32, "time_scale")?;
            // A tick is the time of one field (Annex E.2.1): a frame takes two.
            video.frame_rate = reduced(u64::from(time_scale), 2 * u64::from(num_units_in_tick));
            self.fixed_frame_rate = bits.flag("fixed_frame_rate_flag")?;
        }
        self.picture_timing = PictureTiming::read(bits)?;
        (self.max_reorder_frames, self.max_dec_frame_buffering) = bitstream_restriction(bits)?.unzip();
        Ok(())
    }
}

impl PictureTiming {
    /// From `nal_hrd_parameters_present_flag` to `pic_struct_present_flag`.
    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let mut timing = Self { time_offset_bits: 24, ..Self::default() };
        for what in ["nal_hrd_parameters_present_flag", "vcl_hrd_parameters_present_flag"] {
            if bits.flag(what)? {
                timing.read_hrd(bits)?;
            }
        }
        if timing.delay_bits.is_some() {
            bits.skip(1, "low_delay_hrd_flag")?;
        }
        timing.has_pic_struct = bits.flag("pic_struct_present_flag")?;
        Ok(timing)
    }

    /// `hrd_parameters()` (Annex E.1.2).
    fn read_hrd(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        let cpb_count = bits.ue_max(31, "cpb_cnt_minus1")? + 1;
        bits.skip(8, "bit_rate_scale and cpb_size_scale")?;
        for _ in 0..cpb_count {
            bits.ue("bit_rate_value_minus1")?;
            bits.ue("cpb_size_value_minus1")?;
            bits.skip(1, "cbr_flag")?;
        }
        bits.skip(5, "initial_cpb_removal_delay_length_minus1")?;
        let removal_bits = bits.u8(5, "cpb_removal_delay_length_minus1")? + 1;
        let output_bits = bits.u8(5, "dpb_output_delay_length_minus1")? + 1;
        self.delay_bits = Some((removal_bits, output_bits));
        self.time_offset_bits = bits.u8(5, "time_offset_length")?;
        Ok(())
    }
}

/// `max_num_reorder_frames` and `max_dec_frame_buffering`, at most the 16 frames of any level (§A.3.1).
fn bitstream_restriction(bits: &mut BitReader<'_>) -> Result<Option<(u8, u8)>, CodecError> {
    if !bits.flag("bitstream_restriction_flag")? {
        return Ok(None);
    }
    bits.skip(1, "motion_vectors_over_pic_boundaries_flag")?;
    for what in ["max_bytes_per_pic_denom", "max_bits_per_mb_denom", "log2_max_mv_length", "log2_max_mv_length"] {
        bits.ue_max(16, what)?;
    }
    let reorder = bits.ue8_max(16, "max_num_reorder_frames")?;
    Ok(Some((reorder, bits.ue8_max(16, "max_dec_frame_buffering")?)))
}
