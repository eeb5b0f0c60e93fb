//! Edits of hvcC and vvcC records that leave a record readable up to what they broke.

use crate::{bit_edits::edit_bits, random::Random};

/// Changes the parameter set that begins with these bytes, whose 16-bit length then fits.
pub fn edit_set(random: &mut Random, record: &mut Vec<u8>, header: [u8; 2]) {
    let Some((head, set, rest)) = split_at_set(record, header) else { return edit_bits(random, record) };
    let mut set = set.to_vec();
    edit_bits(random, &mut set);
    let length = u16::try_from(set.len()).unwrap_or(u16::MAX).to_be_bytes();
    *record = [head, &length, &set, rest].concat();
}

/// What is in front of the set's length, the set itself, and what is behind it.
fn split_at_set(record: &[u8], header: [u8; 2]) -> Option<(&[u8], &[u8], &[u8])> {
    let at = record.windows(4).position(|window| window.ends_with(&header))?;
    let (head, rest) = record.split_at_checked(at)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (set, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((head, set, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_edited_set_fits() {
        for number in 0..1000 {
            let mut record = vec![1, 0xa1, 0, 1, 0, 6, 0x42, 1, 1, 2, 3, 4, 0xee];
            edit_set(&mut Random::new(1, number), &mut record, [0x42, 1]);
            let length = usize::from(u16::from_be_bytes([record[4], record[5]]));
            assert_eq!((record.len(), record.last()), (7 + length, Some(&0xee)), "{record:x?}");
        }
    }
}
