//! A bit reader over borrowed bytes, most significant bit first, and the payload of a NAL unit that it reads.
//!
//! Descriptors are named as in the standards: `u(n)`, `ue(v)`, `se(v)` (H.264 §7.2, §9.1); `u(n)` is also
//! `uimsbf` and `bslbf` of ISO/IEC 14496-3.

use crate::CodecError;

/// Reads bits of a byte slice in order. Each read names its syntax element, so that the error does too.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    position_bits: usize,
}

impl<'a> BitReader<'a> {
    /// A reader that stands at the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position_bits: 0 }
    }

    /// Bits read so far.
    pub fn position_bits(&self) -> usize {
        self.position_bits
    }

    /// Bits not yet read.
    pub fn remaining_bits(&self) -> usize {
        self.bytes.len().saturating_mul(8).saturating_sub(self.position_bits)
    }

    /// Byte in which the next bit lies.
    pub fn offset(&self) -> usize {
        self.position_bits / 8
    }

    /// The error that says that `what`, which was just about to be used, cannot be.
    pub fn malformed(&self, what: &'static str) -> CodecError {
        CodecError::Malformed { what, offset: self.offset() }
    }

    /// `u(count)`: an unsigned integer of up to 32 bits.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when fewer bits are left, or for a `count` above 32.
    pub fn u(&mut self, count: u8, what: &'static str) -> Result<u32, CodecError> {
        let (first, start) = (self.offset(), self.position_bits % 8);
        if count > 32 {
            return Err(self.malformed(what));
        }
        self.skip(usize::from(count), what)?;
        let end = start + usize::from(count);
        let window = self.bytes.get(first..first + end.div_ceil(8)).unwrap_or_default();
        // At most 7 + 32 bits: five bytes.
        let value = window.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let value = value >> (window.len() * 8 - end) & ((1 << count) - 1);
        u32::try_from(value).map_err(|_| self.malformed(what))
    }

    /// `u(count)` of up to 8 bits.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when fewer bits are left, or for a `count` above 8.
    pub fn u8(&mut self, count: u8, what: &'static str) -> Result<u8, CodecError> {
        let value = self.u(count, what)?;
        u8::try_from(value).map_err(|_| self.malformed(what))
    }

    /// `u(1)`.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] at the end.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        Ok(self.u(1, what)? == 1)
    }

    /// `ue(v)` (H.264 §9.1): at most 2^32 − 2, which is what 31 leading zero bits can say. More zeros are an error
    /// and end the search, so that a run of zero bytes costs no more than a number.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when the code is too long or cut off.
    pub fn ue(&mut self, what: &'static str) -> Result<u32, CodecError> {
        let start = self.clone();
        let mut leading_zeros = 0_u8;
        while !self.flag(what).map_err(|_| start.malformed(what))? {
            leading_zeros += 1;
            if leading_zeros > 31 {
                return Err(start.malformed(what));
            }
        }
        let suffix = self.u(leading_zeros, what).map_err(|_| start.malformed(what))?;
        Ok((1_u32 << leading_zeros) - 1 + suffix)
    }

    /// `ue(v)` that the standard bounds.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] as [`Self::ue`], or for a value above `max`.
    pub fn ue_max(&mut self, max: u32, what: &'static str) -> Result<u32, CodecError> {
        let start = self.clone();
        let value = self.ue(what)?;
        if value > max { Err(start.malformed(what)) } else { Ok(value) }
    }

    /// `ue(v)` that the standard bounds by a number of one byte.
    ///
    /// # Errors
    /// As [`Self::ue_max`].
    pub fn ue8_max(&mut self, max: u8, what: &'static str) -> Result<u8, CodecError> {
        let start = self.clone();
        u8::try_from(self.ue_max(u32::from(max), what)?).map_err(|_| start.malformed(what))
    }

    /// `se(v)` (H.264 §9.1.1).
    ///
    /// # Errors
    /// As [`Self::ue`].
    pub fn se(&mut self, what: &'static str) -> Result<i32, CodecError> {
        let code = i64::from(self.ue(what)?);
        let value = if code % 2 == 0 { -(code / 2) } else { (code + 1) / 2 };
        i32::try_from(value).map_err(|_| self.malformed(what))
    }

    /// Steps over bits.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when fewer are left.
    pub fn skip(&mut self, count_bits: usize, what: &'static str) -> Result<(), CodecError> {
        if count_bits > self.remaining_bits() {
            return Err(self.malformed(what));
        }
        self.position_bits += count_bits;
        Ok(())
    }

    /// Steps to the next byte boundary; stays at one.
    pub fn align(&mut self) {
        // The last byte is whole, so this never passes the end.
        self.position_bits = self.position_bits.next_multiple_of(8);
    }
}

/// Longest NAL unit that [`rbsp`] unwraps. A parameter set has some tens of bytes and can have no more than 65 535
/// (16-bit length in avcC); the bound keeps a peer from making us copy whole slices in search of one.
pub const MAX_RBSP_BYTES: usize = 65_535;

/// The raw byte sequence of a NAL unit, header included, without the emulation prevention bytes (H.264 §7.3.1).
///
/// # Errors
/// [`CodecError::LimitExceeded`] beyond [`MAX_RBSP_BYTES`].
pub fn rbsp(nal: &[u8]) -> Result<Vec<u8>, CodecError> {
    if nal.len() > MAX_RBSP_BYTES {
        return Err(CodecError::LimitExceeded {
            limit: "bytes of a parameter set",
            max: MAX_RBSP_BYTES,
            seen: nal.len(),
        });
    }
    Ok(rbsp_bytes(nal).collect())
}

/// The bytes of [`rbsp`], one by one, for a NAL unit of any size.
pub fn rbsp_bytes(nal: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut zeros = 0_u8;
    nal.iter().copied().filter(move |&byte| {
        let emulation_prevention = zeros >= 2 && byte == 0x03;
        zeros = if byte == 0 { zeros.saturating_add(1) } else { 0 };
        !emulation_prevention
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u_at_every_position_equals_the_shifted_number() {
        let bytes = [0b1010_0101, 0x3c, 0xff, 0x00, 0x81, 0x7e];
        let all = bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        for start in 0..48_usize {
            for count in 0..=32_u8.min(u8::try_from(48 - start).unwrap()) {
                let mut bits = BitReader::new(&bytes);
                bits.skip(start, "start").unwrap();
                let expected = all >> (48 - start - usize::from(count)) & ((1 << count) - 1);
                assert_eq!(u64::from(bits.u(count, "value").unwrap()), expected, "{count} bits from {start}");
                assert_eq!(bits.position_bits(), start + usize::from(count));
            }
        }
    }

    #[test]
    fn reading_past_the_end_names_the_element_and_its_byte() {
        let mut bits = BitReader::new(&[0xff, 0xff]);
        bits.skip(9, "start").unwrap();
        let expected = CodecError::Malformed { what: "level_idc", offset: 1 };
        assert_eq!(bits.u(8, "level_idc"), Err(expected));
        assert_eq!(bits.u(7, "seven").unwrap(), 0x7f, "a refused read consumes nothing");
        assert_eq!(bits.remaining_bits(), 0);
        assert!(bits.u(33, "wide").is_err());
    }

    /// H.264 Table 9-2 and Table 9-3.
    #[test]
    fn exp_golomb_codes_of_the_standard() {
        // 1, 010, 011, 00100, 00101, 00110, 00111, 0001000
        let bytes = [0b1010_0110, 0b0100_0010, 0b1001_1000, 0b1110_0010, 0b0000_0000];
        let mut unsigned = BitReader::new(&bytes);
        let mut signed = BitReader::new(&bytes);
        for (ue, se) in [(0, 0), (1, 1), (2, -1), (3, 2), (4, -2), (5, 3), (6, -3), (7, 4)] {
            assert_eq!(unsigned.ue("ue").unwrap(), ue);
            assert_eq!(signed.se("se").unwrap(), se);
        }
    }

    #[test]
    fn exp_golomb_extremes() {
        let largest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(BitReader::new(&largest).ue("ue").unwrap(), u32::MAX - 1);
        assert_eq!(BitReader::new(&largest).se("se").unwrap(), -i32::MAX);
        assert!(BitReader::new(&[0; 64]).ue("ue").is_err());
        assert!(BitReader::new(&[0, 0, 0, 1, 0xff]).ue("ue").is_err());
        assert!(BitReader::new(&[0x20]).ue_max(2, "ue").is_err());
        assert_eq!(BitReader::new(&[0x60]).ue_max(2, "ue").unwrap(), 2);
    }

    #[test]
    fn emulation_prevention_bytes_go() {
        assert_eq!(rbsp(&[0x67, 0, 0, 3, 1, 0, 0, 3]).unwrap(), [0x67, 0, 0, 1, 0, 0]);
        assert_eq!(rbsp(&[0, 0, 0, 3, 0, 0, 3, 0, 3]).unwrap(), [0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(rbsp(&[0, 3, 0, 3]).unwrap(), [0, 3, 0, 3]);
        assert!(rbsp(&[0; MAX_RBSP_BYTES]).is_ok());
        assert!(matches!(rbsp(&[0; MAX_RBSP_BYTES + 1]), Err(CodecError::LimitExceeded { .. })));
    }
}
