//! `ref_pic_list_struct()` of a sequence parameter set (§7.3.10), stepped over.

use crate::{CodecError, bits::BitReader};

/// Lists of each direction (§7.4.3.4).
const MAX_LISTS: u32 = 64;
/// Entries of a list: `MaxDpbSize` + 13 (§7.4.11).
const MAX_ENTRIES: u32 = 29;

/// What the syntax of the lists depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReferenceListForm {
    /// Directions that are written: 1 when the second is as the first.
    pub lists: u8,
    /// `sps_weighted_pred_flag` or `sps_weighted_bipred_flag`: an entry may then repeat the one before it.
    pub weighted: bool,
    /// `sps_long_term_ref_pics_flag`.
    pub long_term: bool,
    /// `sps_inter_layer_prediction_enabled_flag`.
    pub inter_layer: bool,
    /// Bits of `rpls_poc_lsb_lt`.
    pub poc_lsb_bits: u8,
}

/// Steps over `sps_num_ref_pic_lists` and the lists, of each direction.
pub(super) fn skip_reference_lists(bits: &mut BitReader<'_>, form: ReferenceListForm) -> Result<(), CodecError> {
    for _ in 0..form.lists {
        for _ in 0..bits.ue_max(MAX_LISTS, "sps_num_ref_pic_lists")? {
            skip_list(bits, form)?;
        }
    }
    Ok(())
}

fn skip_list(bits: &mut BitReader<'_>, form: ReferenceListForm) -> Result<(), CodecError> {
    let entries = bits.ue_max(MAX_ENTRIES, "num_ref_entries")?;
    let in_header = form.long_term && entries > 0 && bits.flag("ltrp_in_header_flag")?;
    for entry in 0..entries {
        if form.inter_layer && bits.flag("inter_layer_ref_pic_flag")? {
            bits.ue("ilrp_idx")?;
        } else if !form.long_term || bits.flag("st_ref_pic_flag")? {
            let distance = bits.ue_max(0x7fff, "abs_delta_poc_st")?;
            // Without weights, and of the first entry, it is a distance minus 1 (equation 150).
            let may_be_zero = form.weighted && entry > 0;
            if distance > 0 || !may_be_zero {
                bits.skip(1, "strp_entry_sign_flag")?;
            }
        } else if !in_header {
            bits.skip(usize::from(form.poc_lsb_bits), "rpls_poc_lsb_lt")?;
        }
    }
    Ok(())
}
