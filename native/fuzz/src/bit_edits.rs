//! Edits of packed bits: in a parameter set or an AudioSpecificConfig a field begins where the one before it ends, so that
//! edits of bytes hit nearly nothing but the first ones.

use crate::{mutate::edge, random::Random};

/// Only the beginning is edited: fields that are interpreted come first.
const EDITED_BYTES: usize = 128;

/// Inserts, removes, flips or replaces some bits. What is behind them moves.
pub fn edit_bits(random: &mut Random, bytes: &mut Vec<u8>) {
    let rest = bytes.split_off(bytes.len().min(EDITED_BYTES));
    let mut bits = unpack(bytes);
    let at = random.below(bits.len());
    let end = at.saturating_add(1 + random.below(8)).min(bits.len());
    match random.below(4) {
        0 => bits.insert(at, random.below(2) == 1),
        1 => drop(bits.drain(at..end)),
        2 => drop(bits.splice(at..end, exp_golomb(edge(random) as u32))),
        _ => bits.iter_mut().skip(at).take(1).for_each(|bit| *bit = !*bit),
    }
    *bytes = pack(&bits);
    bytes.extend(rest);
}

fn unpack(bytes: &[u8]) -> Vec<bool> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
}

/// The last byte is filled up with zeros.
fn pack(bits: &[bool]) -> Vec<u8> {
    let byte =
        |bits: &[bool]| bits.iter().zip((0..8).rev()).fold(0, |byte, (bit, place)| byte | u8::from(*bit) << place);
    bits.chunks(8).map(byte).collect()
}

/// `ue(v)` (H.264 §9.1).
fn exp_golomb(value: u32) -> Vec<bool> {
    let code = u64::from(value) + 1;
    (0..2 * code.ilog2() + 1).rev().map(|bit| code.checked_shr(bit).unwrap_or(0) & 1 == 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_bytes_are_the_bytes() {
        assert_eq!(pack(&unpack(&[0x12, 0xfe, 0x80])), [0x12, 0xfe, 0x80]);
        assert_eq!(pack(&[true, false, true]), [0xa0]);
    }

    /// H.264 Table 9-2.
    #[test]
    fn exp_golomb_codes_of_the_standard() {
        let codes = [0, 1, 2, 3, 7].map(|value| pack(&exp_golomb(value)));
        assert_eq!(codes, [[0b1000_0000], [0b0100_0000], [0b0110_0000], [0b0010_0000], [0b0001_0000]]);
        assert_eq!(exp_golomb(u32::MAX).len(), 65);
    }

    #[test]
    fn edits_end_with_any_input() {
        for number in 0..10_000 {
            let mut random = Random::new(1, number);
            let mut bytes = vec![0x67; random.below(200)];
            edit_bits(&mut random, &mut bytes);
            assert!(bytes.len() < 210);
        }
    }
}
