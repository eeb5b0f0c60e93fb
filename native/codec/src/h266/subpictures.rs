//! The subpictures of a sequence parameter set (§7.3.2.4), stepped over: the bit depth stands behind them.

use crate::{CodecError, bits::BitReader};

/// Subpictures of a picture of level 6.3 and below (Table A.2: MaxSlicesPerAu).
const MAX_SUBPICTURES: u32 = 1000;

/// From `sps_subpic_info_present_flag` to `sps_subpic_id`.
pub(super) fn skip_subpictures(
    bits: &mut BitReader<'_>,
    width: u32,
    height: u32,
    ctu_bits: u8,
) -> Result<(), CodecError> {
    if !bits.flag("sps_subpic_info_present_flag")? {
        return Ok(());
    }
    let last = bits.ue_max(MAX_SUBPICTURES - 1, "sps_num_subpics_minus1")?;
    if last > 0 {
        let column_bits = position_bits(width, ctu_bits);
        let row_bits = position_bits(height, ctu_bits);
        skip_places(bits, last, column_bits + row_bits)?;
    }
    let id_bits = bits.ue8_max(15, "sps_subpic_id_len_minus1")? + 1;
    let is_explicit = bits.flag("sps_subpic_id_mapping_explicitly_signalled_flag")?;
    if is_explicit && bits.flag("sps_subpic_id_mapping_present_flag")? {
        bits.skip((last as usize + 1) * usize::from(id_bits), "sps_subpic_id")?;
    }
    Ok(())
}

/// Bits of a column or of a row of coding tree units: none when there is only one, else ⌈log2⌉ of their number (§7.4.3.4).
fn position_bits(side: u32, ctu_bits: u8) -> usize {
    let units = side.div_ceil(1 << ctu_bits);
    units.next_power_of_two().trailing_zeros() as usize
}

/// Where each subpicture is and how large. The first is at the origin, the last goes to the end.
fn skip_places(bits: &mut BitReader<'_>, last: u32, place_bits: usize) -> Result<(), CodecError> {
    let is_independent = bits.flag("sps_independent_subpics_flag")?;
    let is_same_size = bits.flag("sps_subpic_same_size_flag")?;
    for index in 0..=last {
        if !is_same_size || index == 0 {
            let has_position = index > 0;
            let has_size = index < last;
            let fields = usize::from(has_position) + usize::from(has_size);
            bits.skip(fields * place_bits, "sps_subpic_ctu_top_left_x to sps_subpic_height_minus1")?;
        }
        if !is_independent {
            bits.skip(2, "sps_subpic_treated_as_pic_flag and sps_loop_filter_across_subpic_enabled_flag")?;
        }
    }
    Ok(())
}
