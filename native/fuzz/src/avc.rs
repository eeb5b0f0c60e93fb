//! avcC records: some of real encoders, and edits that leave a record readable up to what they broke.

use crate::{bit_edits::edit_bits, random::Random};

/// libx264 over the profiles; `ffmpeg -f lavfi -i testsrc2 -c:v libx264 -profile:v PROFILE -f flv`, the body of the first
/// video tag without its five bytes.
pub const RECORDS: [&str; 6] = [
    // Baseline.
    "0142c00cffe100166742c00cda0507ec0440000003004000000783c50aa801000468ce0fc8",
    // High 4:2:2 of ten bits, both sides cropped.
    "017a001effe1001a677a001eb6cd940a02fea2f01100000303e90000bb800f162d9601000468ef8fcbfefafa00",
    // High 4:4:4, odd sides.
    "01f4001fffe1001a67f4001f919b281405fc915808800000030080000032078c18cb01000668ef8f192190fff8f800",
    // Fields.
    "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000468fe8fcbfdf8f800",
    // Scaling matrices.
    "0164000dffe100196764000dacd94141fb011000000300100000030320f142996001000568ef8fcc03fdf8f800",
    // A VUI with everything in front of the timing.
    "0164001effe100286764001eacd940b4126c12d414141500000300010000030032604000f424001e84a4c30078b16cb001000468ef8fcbfdf8f800",
];

/// The bytes of a vector written in hexadecimal.
pub fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

/// Changes the length of lengths, or the first parameter set, whose length then fits.
pub fn edit_record(random: &mut Random, record: &mut Vec<u8>) {
    if random.below(4) == 0 {
        if let Some(length_size) = record.get_mut(4) {
            *length_size = 0xfc | random.below(4) as u8;
        }
        return;
    }
    let Some((head, sps, rest)) = split_at_sps(record) else { return edit_bits(random, record) };
    let mut sps = sps.to_vec();
    edit_bits(random, &mut sps);
    let length = u16::try_from(sps.len()).unwrap_or(u16::MAX).to_be_bytes();
    *record = [head, &length, &sps, rest].concat();
}

/// What is in front of the first SPS' length, the set itself, and what is behind it.
fn split_at_sps(record: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = record.split_at_checked(6)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sps, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((head, sps, rest))
}

#[cfg(test)]
mod tests {
    use arcly_codec::h264::AvcConfig;

    use super::*;

    #[test]
    fn records_are_valid_and_many_stay_so_when_edited() {
        let mut valid = 0;
        for number in 0..600 {
            let mut record = unhex(RECORDS[number as usize % RECORDS.len()]);
            assert!(AvcConfig::parse(record.clone().into()).is_ok());
            edit_record(&mut Random::new(1, number), &mut record);
            valid += usize::from(AvcConfig::parse(record.into()).is_ok());
        }
        assert!((200..600).contains(&valid), "{valid} of 600");
    }
}
