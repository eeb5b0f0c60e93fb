//! The sequence header (§5.5).

use crate::{Chroma, CodecError, Colour, VideoInfo, bits::BitReader};

/// `CP_BT_709`, `TC_SRGB` and `MC_IDENTITY`, which together mean RGB (§6.4.2).
const SRGB: (u8, u8, u8) = (1, 13, 0);

/// What a sequence header says (§5.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceHeader {
    /// `seq_profile`: 0 main, 1 high, 2 professional.
    pub profile: u8,
    /// `still_picture`: there is one frame.
    pub still_picture: bool,
    /// `reduced_still_picture_header`: nearly everything is left out, of frames too.
    pub reduced_still_picture_header: bool,
    /// Frames per second as numerator and denominator in lowest terms, when they are said to be equally far apart.
    pub frame_rate: Option<(u32, u32)>,
    /// `equal_picture_interval`.
    pub equal_picture_interval: bool,
    /// How the decoder's buffer is modelled.
    pub decoder_model: Option<DecoderModel>,
    /// One to 32 ways to decode, the first one being the best.
    pub operating_points: Vec<OperatingPoint>,
    /// `max_frame_width_minus_1` + 1: 1 to 65 536.
    pub width: u32,
    /// `max_frame_height_minus_1` + 1: 1 to 65 536.
    pub height: u32,
    /// Bits of `current_frame_id`; 0 when frames have none.
    pub frame_id_bits: u8,
    /// Bits of `order_hint`; 0 when frames have none.
    pub order_hint_bits: u8,
    /// `seq_force_screen_content_tools`: 0, 1, or 2 when each frame says it.
    pub force_screen_content_tools: u8,
    /// `seq_force_integer_mv`: 0, 1, or 2 when each frame says it.
    pub force_integer_mv: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// No chroma.
    pub monochrome: bool,
    /// `subsampling_x`.
    pub subsampling_x: bool,
    /// `subsampling_y`.
    pub subsampling_y: bool,
    /// `chroma_sample_position`: 0 unknown, 1 vertical, 2 colocated.
    pub chroma_sample_position: u8,
    /// How samples become light.
    pub colour: Colour,
    /// `film_grain_params_present`.
    pub film_grain: bool,
}

/// `decoder_model_info()` (§5.5.4), as far as it says how long other fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderModel {
    /// Bits of `decoder_buffer_delay`.
    pub buffer_delay_bits: u8,
    /// Bits of `buffer_removal_time`.
    pub buffer_removal_time_bits: u8,
    /// Bits of `frame_presentation_time`.
    pub frame_presentation_time_bits: u8,
}

/// One way to decode the stream: which layers, and what that takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperatingPoint {
    /// `operating_point_idc`: a bit for each of 8 temporal layers, above them one for each of 4 spatial layers; 0 is all.
    pub idc: u16,
    /// `seq_level_idx`: 0 is level 2.0, 31 none.
    pub level: u8,
    /// `seq_tier`.
    pub high_tier: bool,
    /// Whether frames say when they leave the decoder's buffer.
    pub decoder_model_present: bool,
    /// `initial_display_delay_minus_1`: frames to be decoded before the first is shown, less one.
    pub initial_display_delay_minus_1: Option<u8>,
}

impl SequenceHeader {
    /// Reads the payload of a sequence header OBU. Trailing bits are not judged.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed, or of a reserved profile.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(payload);
        let profile = bits.u8(3, "seq_profile")?;
        if profile > 2 {
            return Err(CodecError::Unsupported { what: "AV1 profile: not 0 to 2" });
        }
        let still_picture = bits.flag("still_picture")?;
        let reduced = bits.flag("reduced_still_picture_header")?;
        let points = if reduced { Points::reduced(&mut bits)? } else { Points::read(&mut bits)? };
        let (width, height) = frame_size(&mut bits)?;
        let frame_id_bits = if reduced { 0 } else { frame_id_bits(&mut bits)? };
        bits.skip(3, "use_128x128_superblock, enable_filter_intra and enable_intra_edge_filter")?;
        let tools = if reduced { Tools::REDUCED } else { Tools::read(&mut bits)? };
        bits.skip(3, "enable_superres, enable_cdef and enable_restoration")?;
        let colour = ColourConfig::read(&mut bits, profile)?;
        Ok(Self {
            profile,
            still_picture,
            reduced_still_picture_header: reduced,
            frame_rate: points.frame_rate,
            equal_picture_interval: points.equal_picture_interval,
            decoder_model: points.decoder_model,
            operating_points: points.points,
            width,
            height,
            frame_id_bits,
            order_hint_bits: tools.order_hint_bits,
            force_screen_content_tools: tools.force_screen_content_tools,
            force_integer_mv: tools.force_integer_mv,
            bit_depth: colour.bit_depth,
            monochrome: colour.monochrome,
            subsampling_x: colour.subsampling_x,
            subsampling_y: colour.subsampling_y,
            chroma_sample_position: colour.chroma_sample_position,
            colour: colour.colour,
            film_grain: bits.flag("film_grain_params_present")?,
        })
    }

    /// The first operating point: what a decoder chooses that was told nothing.
    pub fn operating_point(&self) -> OperatingPoint {
        self.operating_points.first().copied().unwrap_or_default()
    }

    /// The facts of the pictures.
    pub fn info(&self) -> VideoInfo {
        let OperatingPoint { level, high_tier, .. } = self.operating_point();
        let chroma = match (self.monochrome, self.subsampling_x, self.subsampling_y) {
            (true, ..) => Chroma::Monochrome,
            (_, true, true) => Chroma::Yuv420,
            (_, true, false) => Chroma::Yuv422,
            _ => Chroma::Yuv444,
        };
        VideoInfo {
            width: self.width,
            height: self.height,
            frame_rate: self.frame_rate,
            profile: self.profile,
            level,
            high_tier,
            bit_depth: self.bit_depth,
            chroma,
            colour: self.colour,
            // Temporal units are in the order in which they are shown (§7.5).
            max_reorder_frames: Some(0),
            ..VideoInfo::default()
        }
    }
}

/// Timing and operating points: what a reduced header leaves out.
#[derive(Default)]
struct Points {
    frame_rate: Option<(u32, u32)>,
    equal_picture_interval: bool,
    decoder_model: Option<DecoderModel>,
    points: Vec<OperatingPoint>,
}

impl Points {
    fn reduced(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let level = bits.u8(5, "seq_level_idx")?;
        Ok(Self { points: vec![OperatingPoint { level, ..OperatingPoint::default() }], ..Self::default() })
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let mut points = Self::default();
        if bits.flag("timing_info_present_flag")? {
            points.read_timing(bits)?;
            if bits.flag("decoder_model_info_present_flag")? {
                points.decoder_model = Some(DecoderModel::read(bits)?);
            }
        }
        let has_display_delay = bits.flag("initial_display_delay_present_flag")?;
        for _ in 0..=bits.u(5, "operating_points_cnt_minus_1")? {
            let point = OperatingPoint::read(bits, points.decoder_model, has_display_delay)?;
            points.points.push(point);
        }
        Ok(points)
    }

    /// `timing_info()` (§5.5.3).
    fn read_timing(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        let units_in_display_tick = bits.u(32, "num_units_in_display_tick")?;
        let time_scale = bits.u(32, "time_scale")?;
        self.equal_picture_interval = bits.flag("equal_picture_interval")?;
        if self.equal_picture_interval {
            let ticks = uvlc(bits)?.checked_add(1);
            self.frame_rate = ticks
                .and_then(|ticks| ticks.checked_mul(units_in_display_tick))
                .and_then(|denominator| lowest_terms(time_scale, denominator));
        }
        Ok(())
    }
}

impl DecoderModel {
    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let buffer_delay_bits = bits.u8(5, "buffer_delay_length_minus_1")? + 1;
        bits.skip(32, "num_units_in_decoding_tick")?;
        Ok(Self {
            buffer_delay_bits,
            buffer_removal_time_bits: bits.u8(5, "buffer_removal_time_length_minus_1")? + 1,
            frame_presentation_time_bits: bits.u8(5, "frame_presentation_time_length_minus_1")? + 1,
        })
    }
}

impl OperatingPoint {
    fn read(
        bits: &mut BitReader<'_>,
        model: Option<DecoderModel>,
        has_display_delay: bool,
    ) -> Result<Self, CodecError> {
        let idc = bits.u(12, "operating_point_idc")? as u16;
        let level = bits.u8(5, "seq_level_idx")?;
        // Below level 4.0 there is only one tier.
        let high_tier = level > 7 && bits.flag("seq_tier")?;
        let mut point = Self { idc, level, high_tier, ..Self::default() };
        if let Some(model) = model {
            point.decoder_model_present = bits.flag("decoder_model_present_for_this_op")?;
            if point.decoder_model_present {
                bits.skip(2 * usize::from(model.buffer_delay_bits) + 1, "operating_parameters_info")?;
            }
        }
        if has_display_delay && bits.flag("initial_display_delay_present_for_this_op")? {
            point.initial_display_delay_minus_1 = Some(bits.u8(4, "initial_display_delay_minus_1")?);
        }
        Ok(point)
    }
}

fn frame_size(bits: &mut BitReader<'_>) -> Result<(u32, u32), CodecError> {
    let width_bits = bits.u8(4, "frame_width_bits_minus_1")? + 1;
    let height_bits = bits.u8(4, "frame_height_bits_minus_1")? + 1;
    let width = bits.u(width_bits, "max_frame_width_minus_1")? + 1;
    let height = bits.u(height_bits, "max_frame_height_minus_1")? + 1;
    Ok((width, height))
}

fn frame_id_bits(bits: &mut BitReader<'_>) -> Result<u8, CodecError> {
    if !bits.flag("frame_id_numbers_present_flag")? {
        return Ok(0);
    }
    let start = bits.clone();
    let delta_bits = bits.u8(4, "delta_frame_id_length_minus_2")? + 2;
    let id_bits = bits.u8(3, "additional_frame_id_length_minus_1")? + delta_bits + 1;
    // §6.8.2: more than 16 are not allowed.
    if id_bits > 16 { Err(start.malformed("additional_frame_id_length_minus_1")) } else { Ok(id_bits) }
}

/// Coding tools, as far as they say what frame headers look like.
struct Tools {
    order_hint_bits: u8,
    force_screen_content_tools: u8,
    force_integer_mv: u8,
}

impl Tools {
    /// `SELECT_SCREEN_CONTENT_TOOLS` and `SELECT_INTEGER_MV`.
    const SELECT: u8 = 2;
    const REDUCED: Self =
        Self { order_hint_bits: 0, force_screen_content_tools: Self::SELECT, force_integer_mv: Self::SELECT };

    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        bits.skip(4, "enable_interintra_compound to enable_dual_filter")?;
        let has_order_hint = bits.flag("enable_order_hint")?;
        if has_order_hint {
            bits.skip(2, "enable_jnt_comp and enable_ref_frame_mvs")?;
        }
        let force_screen_content_tools = select(bits, "seq_choose_screen_content_tools")?;
        let force_integer_mv =
            if force_screen_content_tools > 0 { select(bits, "seq_choose_integer_mv")? } else { Self::SELECT };
        let order_hint_bits = if has_order_hint { bits.u8(3, "order_hint_bits_minus_1")? + 1 } else { 0 };
        Ok(Self { order_hint_bits, force_screen_content_tools, force_integer_mv })
    }
}

/// A flag that leaves the choice to each frame, or else one that makes it.
fn select(bits: &mut BitReader<'_>, what: &'static str) -> Result<u8, CodecError> {
    if bits.flag(what)? { Ok(Tools::SELECT) } else { bits.u8(1, what) }
}

/// `color_config()` (§5.5.2).
struct ColourConfig {
    bit_depth: u8,
    monochrome: bool,
    subsampling_x: bool,
    subsampling_y: bool,
    chroma_sample_position: u8,
    colour: Colour,
}

impl ColourConfig {
    fn read(bits: &mut BitReader<'_>, profile: u8) -> Result<Self, CodecError> {
        let high_bit_depth = bits.flag("high_bitdepth")?;
        let twelve_bit = profile == 2 && high_bit_depth && bits.flag("twelve_bit")?;
        let bit_depth = if twelve_bit { 12 } else { 8 + 2 * u8::from(high_bit_depth) };
        let monochrome = profile != 1 && bits.flag("mono_chrome")?;
        let mut colour = Colour::default();
        if bits.flag("color_description_present_flag")? {
            colour.primaries = bits.u8(8, "color_primaries")?;
            colour.transfer = bits.u8(8, "transfer_characteristics")?;
            colour.matrix = bits.u8(8, "matrix_coefficients")?;
        }
        let mut config =
            Self { bit_depth, monochrome, subsampling_x: true, subsampling_y: true, chroma_sample_position: 0, colour };
        if monochrome {
            config.colour.full_range = bits.flag("color_range")?;
            return Ok(config);
        }
        config.read_chroma(bits, profile)?;
        bits.skip(1, "separate_uv_delta_q")?;
        Ok(config)
    }

    fn read_chroma(&mut self, bits: &mut BitReader<'_>, profile: u8) -> Result<(), CodecError> {
        if (self.colour.primaries, self.colour.transfer, self.colour.matrix) == SRGB {
            self.colour.full_range = true;
            (self.subsampling_x, self.subsampling_y) = (false, false);
            return Ok(());
        }
        self.colour.full_range = bits.flag("color_range")?;
        (self.subsampling_x, self.subsampling_y) = match (profile, self.bit_depth) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, 12) => {
                let x = bits.flag("subsampling_x")?;
                (x, x && bits.flag("subsampling_y")?)
            }
            _ => (true, false),
        };
        if self.subsampling_x && self.subsampling_y {
            self.chroma_sample_position = bits.u8(2, "chroma_sample_position")?;
        }
        Ok(())
    }
}

/// `uvlc()` (§4.10.3). 32 zeros and more mean the largest number.
fn uvlc(bits: &mut BitReader<'_>) -> Result<u32, CodecError> {
    let mut leading_zeros = 0_u8;
    while !bits.flag("num_ticks_per_picture_minus_1")? {
        leading_zeros = leading_zeros.saturating_add(1);
    }
    if leading_zeros >= 32 {
        return Ok(u32::MAX);
    }
    Ok((1 << leading_zeros) - 1 + bits.u(leading_zeros, "num_ticks_per_picture_minus_1")?)
}

/// `None` when one of them is 0.
fn lowest_terms(numerator: u32, denominator: u32) -> Option<(u32, u32)> {
    let (mut divisor, mut rest) = (numerator, denominator);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    Some((numerator.checked_div(divisor)?, denominator.checked_div(divisor)?)).filter(|&(n, d)| n > 0 && d > 0)
}
