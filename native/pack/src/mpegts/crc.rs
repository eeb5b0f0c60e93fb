//! The CRC_32 of sections (ISO/IEC 13818-1 Annex A).

/// CRC_32 of `bytes`; 0 for a section with its CRC behind it.
pub(super) fn crc_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        let [high, ..] = crc.to_be_bytes();
        crc << 8 ^ TABLE.get(usize::from(high ^ byte)).copied().unwrap_or_default()
    })
}

/// What each value of the highest byte does to the rest.
const TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ ((crc >> 31) * 0x04C1_1DB7);
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_32_of_the_check_string_is_that_of_crc_32_mpeg_2() {
        assert_eq!(crc_32(b"123456789"), 0x0376_E6E7);
        let section = [&b"123456789"[..], &0x0376_E6E7_u32.to_be_bytes()].concat();
        assert_eq!(crc_32(&section), 0);
    }
}
