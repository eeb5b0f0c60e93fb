//! `st_ref_pic_set()` of a sequence parameter set (§7.3.7): stepped over, which takes to know what each says, because the
//! length of one may depend on the one before it.

use crate::{CodecError, bits::BitReader};

/// Pictures of one set: `sps_max_dec_pic_buffering_minus1` is at most 15, in both directions together (§7.4.8, §A.4.2).
const MAX_PICTURES: usize = 16;
/// `num_short_term_ref_pic_sets` (§7.4.3.2.1).
const MAX_SETS: u32 = 64;

/// Distances in picture order count: those of earlier pictures, the nearest first, then those of later ones.
#[derive(Default)]
struct ReferenceSet {
    earlier: Vec<i32>,
    later: Vec<i32>,
}

/// Steps over `num_short_term_ref_pic_sets` and the sets.
pub(super) fn skip_short_term_sets(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    let count = bits.ue_max(MAX_SETS, "num_short_term_ref_pic_sets")?;
    let mut previous = ReferenceSet::default();
    for index in 0..count {
        let is_predicted = index > 0 && bits.flag("inter_ref_pic_set_prediction_flag")?;
        previous = if is_predicted { predicted(bits, &previous)? } else { explicit(bits)? };
    }
    Ok(())
}

/// A set that lists its distances.
fn explicit(bits: &mut BitReader<'_>) -> Result<ReferenceSet, CodecError> {
    let earlier_count = bits.ue_max(MAX_PICTURES as u32, "num_negative_pics")?;
    let later_count = bits.ue_max(MAX_PICTURES as u32 - earlier_count, "num_positive_pics")?;
    Ok(ReferenceSet { earlier: distances(bits, earlier_count, -1)?, later: distances(bits, later_count, 1)? })
}

fn distances(bits: &mut BitReader<'_>, count: u32, sign: i32) -> Result<Vec<i32>, CodecError> {
    let mut distance = 0;
    let mut read = || {
        // At most 16 × 2^15.
        distance += sign * distance_minus1(bits, "delta_poc_minus1")?;
        bits.skip(1, "used_by_curr_pic_flag")?;
        Ok(distance)
    };
    (0..count).map(|_| read()).collect()
}

/// A number of at most 2^15 − 1 (§7.4.8), and 1.
fn distance_minus1(bits: &mut BitReader<'_>, what: &'static str) -> Result<i32, CodecError> {
    let start = bits.clone();
    let minus1 = bits.ue_max(0x7fff, what)?;
    i32::try_from(minus1 + 1).map_err(|_| start.malformed(what))
}

/// A set made of the one before it: each of its pictures, and the one it was for, moved by a distance (equations 7-61, 7-62).
fn predicted(bits: &mut BitReader<'_>, reference: &ReferenceSet) -> Result<ReferenceSet, CodecError> {
    let is_negative = bits.flag("delta_rps_sign")?;
    let distance = distance_minus1(bits, "abs_delta_rps_minus1")?;
    let moved = if is_negative { -distance } else { distance };
    let mut set = ReferenceSet::default();
    for picture in reference.earlier.iter().chain(&reference.later).copied().chain([0]) {
        let is_used = bits.flag("used_by_curr_pic_flag")?;
        let is_kept = is_used || bits.flag("use_delta_flag")?;
        match picture + moved {
            kept if is_kept && kept < 0 => set.earlier.push(kept),
            kept if is_kept && kept > 0 => set.later.push(kept),
            _ => {}
        }
    }
    if set.earlier.len() + set.later.len() > MAX_PICTURES {
        return Err(bits.malformed("st_ref_pic_set"));
    }
    set.earlier.sort_unstable_by(|a, b| b.cmp(a));
    set.later.sort_unstable();
    Ok(set)
}
