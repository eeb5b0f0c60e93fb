//! What the VUI writes in the same way in H.264 (Annex E.1.1) and H.265 (Annex E.2.1), and the numbers that H.266 (H.274) shares.

use crate::{CodecError, VideoInfo, bits::BitReader};

/// The beginning of `vui_parameters()`, from `aspect_ratio_info_present_flag` to `chroma_sample_loc_type_bottom_field`: into
/// `video` field by field, for a server can do without what is behind an error.
pub(crate) fn read_display(bits: &mut BitReader<'_>, video: &mut VideoInfo) -> Result<(), CodecError> {
    if bits.flag("aspect_ratio_info_present_flag")? {
        video.sample_aspect_ratio = sample_aspect_ratio(bits)?;
    }
    if bits.flag("overscan_info_present_flag")? {
        bits.skip(1, "overscan_appropriate_flag")?;
    }
    if bits.flag("video_signal_type_present_flag")? {
        bits.skip(3, "video_format")?;
        video.colour.full_range = bits.flag("video_full_range_flag")?;
        if bits.flag("colour_description_present_flag")? {
            video.colour.primaries = bits.u8(8, "colour_primaries")?;
            video.colour.transfer = bits.u8(8, "transfer_characteristics")?;
            video.colour.matrix = bits.u8(8, "matrix_coefficients")?;
        }
    }
    if bits.flag("chroma_loc_info_present_flag")? {
        bits.ue_max(5, "chroma_sample_loc_type_top_field")?;
        bits.ue_max(5, "chroma_sample_loc_type_bottom_field")?;
    }
    Ok(())
}

/// `aspect_ratio_idc` and, for `EXTENDED_SAR`, `sar_width` and `sar_height`.
pub(crate) fn sample_aspect_ratio(bits: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, CodecError> {
    const EXTENDED_SAR: u8 = 255;
    let idc = bits.u8(8, "aspect_ratio_idc")?;
    if idc != EXTENDED_SAR {
        return Ok(SAMPLE_ASPECT_RATIOS.get(usize::from(idc)).copied().flatten());
    }
    let width = bits.u(16, "sar_width")?;
    let height = bits.u(16, "sar_height")?;
    Ok(reduced(u64::from(width), u64::from(height)))
}

/// H.273 Table 4 (H.264 Table E-1): 0 is "unspecified".
const SAMPLE_ASPECT_RATIOS: [Option<(u32, u32)>; 17] = [
    None,
    Some((1, 1)),
    Some((12, 11)),
    Some((10, 11)),
    Some((16, 11)),
    Some((40, 33)),
    Some((24, 11)),
    Some((20, 11)),
    Some((32, 11)),
    Some((80, 33)),
    Some((18, 11)),
    Some((15, 11)),
    Some((64, 33)),
    Some((160, 99)),
    Some((4, 3)),
    Some((3, 2)),
    Some((2, 1)),
];

/// A ratio in lowest terms; `None` when it has a zero in it or does not fit.
pub(crate) fn reduced(num: u64, den: u64) -> Option<(u32, u32)> {
    let divisor = greatest_common_divisor(num, den);
    let num = u32::try_from(num.checked_div(divisor)?).ok()?;
    let den = u32::try_from(den.checked_div(divisor)?).ok()?;
    (num > 0 && den > 0).then_some((num, den))
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while let Some(remainder) = a.checked_rem(b) {
        (a, b) = (b, remainder);
    }
    a
}
