//! NAL units behind lengths (ISO/IEC 14496-15 §4.3.2).

use crate::CodecError;

/// The NAL units of an access unit, each behind a big-endian length of `length_size` bytes (1, 2 or 4).
///
/// Units of no bytes are passed over: some encoders pad with them. Behind an error there is nothing more.
#[inline]
pub fn nal_units(payload: &[u8], length_size: u8) -> NalUnits<'_> {
    NalUnits { rest: payload, length_size, offset: 0 }
}

/// See [`nal_units`].
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_size: u8,
    offset: usize,
}

impl<'a> NalUnits<'a> {
    /// One unit, perhaps empty.
    #[inline]
    fn step(&mut self) -> Result<&'a [u8], CodecError> {
        let (length, rest) = self.split_length().ok_or_else(|| self.malformed("NAL unit length"))?;
        let (unit, rest) =
            rest.split_at_checked(length).ok_or_else(|| self.malformed("NAL unit longer than the access unit"))?;
        self.offset += self.rest.len() - rest.len();
        self.rest = rest;
        Ok(unit)
    }

    #[inline]
    fn split_length(&self) -> Option<(usize, &'a [u8])> {
        let (length, rest) = match self.length_size {
            1 => self.rest.split_first_chunk::<1>().map(|(length, rest)| (u32::from(length[0]), rest))?,
            2 => self.rest.split_first_chunk().map(|(length, rest)| (u32::from(u16::from_be_bytes(*length)), rest))?,
            4 => self.rest.split_first_chunk().map(|(length, rest)| (u32::from_be_bytes(*length), rest))?,
            _ => return None,
        };
        Some((usize::try_from(length).ok()?, rest))
    }

    #[cold]
    fn malformed(&self, what: &'static str) -> CodecError {
        CodecError::Malformed { what, offset: self.offset }
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], CodecError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.step() {
                Ok([]) => {}
                Ok(unit) => return Some(Ok(unit)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
