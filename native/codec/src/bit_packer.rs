//! Packs bits into bytes, most significant bit first: the other direction of [`crate::bits::BitReader`].

use bytes::Bytes;

use crate::{CodecError, bits::BitReader};

/// Collects bits into bytes.
#[derive(Debug, Default)]
pub(crate) struct BitPacker {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken, 0 to 7; 0 when it is whole.
    taken_bits: u8,
}

impl BitPacker {
    /// A writer without bits.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A writer that has room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), taken_bits: 0 }
    }

    /// `u(count)`: the low `count` bits of `value`, up to 32.
    pub(crate) fn u(&mut self, count: u8, value: u32) {
        for place in (0..count.min(32)).rev() {
            self.flag(value >> place & 1 == 1);
        }
    }

    /// One bit.
    pub(crate) fn flag(&mut self, bit: bool) {
        if self.taken_bits == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.taken_bits);
        }
        self.taken_bits = (self.taken_bits + 1) % 8;
    }

    /// Fills the last byte up with zeros.
    pub(crate) fn align(&mut self) {
        self.taken_bits = 0;
    }

    /// Whole bytes, from wherever the writer stands.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.taken_bits == 0 {
            self.bytes.extend_from_slice(bytes);
        } else {
            bytes.iter().for_each(|&byte| self.u(8, u32::from(byte)));
        }
    }

    /// The next `count` bits of `from`.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it has fewer.
    pub(crate) fn copy(
        &mut self,
        from: &mut BitReader<'_>,
        count: usize,
        what: &'static str,
    ) -> Result<(), CodecError> {
        if count > from.remaining_bits() {
            return Err(from.malformed(what));
        }
        for _ in 0..count / 8 {
            self.u(8, from.u(8, what)?);
        }
        for _ in 0..count % 8 {
            self.flag(from.flag(what)?);
        }
        Ok(())
    }

    /// The bytes, the last one filled up with zeros.
    pub(crate) fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let fields = [(1, 1), (5, 17), (8, 0xa5), (32, 0xdead_beef), (3, 2), (24, 0x123_456), (0, 0), (7, 127)];
        let mut writer = BitPacker::new();
        fields.iter().for_each(|&(count, value)| writer.u(count, value));
        writer.put(&[1, 2, 3]);
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for (count, value) in fields {
            assert_eq!(reader.u(count, "field").unwrap(), value);
        }
        assert_eq!(reader.u(24, "bytes").unwrap(), 0x01_02_03);
        assert!(reader.remaining_bits() < 8);
    }

    #[test]
    fn copied_bits_are_the_bits() {
        let source = [0x12, 0x34, 0x56, 0x78];
        let mut reader = BitReader::new(&source);
        reader.skip(3, "skip").unwrap();
        let mut writer = BitPacker::new();
        writer.copy(&mut reader, 21, "bits").unwrap();
        assert_eq!(writer.finish().as_ref(), [0x91, 0xa2, 0xb0]);
        assert!(BitPacker::new().copy(&mut reader, 9, "bits").is_err());
    }
}
