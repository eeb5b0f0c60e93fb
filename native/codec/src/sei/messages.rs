//! The messages of an SEI NAL unit (H.264 §7.3.2.3.1, H.265 §7.3.5, H.266 §7.3.6).

use crate::{
    CodecError,
    bits::{rbsp, rbsp_bytes},
};

/// An SEI NAL unit without its emulation prevention bytes.
#[derive(Debug, Clone)]
pub struct Sei {
    rbsp: Vec<u8>,
    header_bytes: usize,
}

impl Sei {
    /// Unwraps a NAL unit; `header_bytes` is the `NAL_HEADER_BYTES` of its codec.
    ///
    /// # Errors
    /// [`CodecError::LimitExceeded`] beyond [`MAX_RBSP_BYTES`](crate::bits::MAX_RBSP_BYTES).
    pub fn read(nal: &[u8], header_bytes: usize) -> Result<Self, CodecError> {
        Ok(Self { rbsp: rbsp(nal)?, header_bytes })
    }

    /// Its messages.
    pub fn messages(&self) -> Messages<'_> {
        Messages { rbsp: &self.rbsp, offset: self.header_bytes }
    }
}

/// A message of an SEI NAL unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `payloadType`.
    pub payload_type: u32,
    /// `sei_payload()`.
    pub payload: &'a [u8],
}

/// See [`Sei::messages`]. Behind an error there is nothing more.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rbsp: &'a [u8],
    offset: usize,
}

impl<'a> Messages<'a> {
    fn rest(&self) -> &'a [u8] {
        self.rbsp.get(self.offset..).unwrap_or_default()
    }

    fn step(&mut self) -> Option<Message<'a>> {
        let mut bytes = self.rest().iter().copied();
        let payload_type = number(&mut bytes)?;
        let payload_bytes = usize::try_from(number(&mut bytes)?).ok()?;
        let head_bytes = self.rest().len() - bytes.len();
        let payload = self.rest().get(head_bytes..)?.get(..payload_bytes)?;
        self.offset += head_bytes + payload_bytes;
        Some(Message { payload_type, payload })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        // rbsp_trailing_bits(): a set bit and zeros. Some encoders leave them out.
        let is_end = self.rest().first().is_none_or(|&first| first == 0x80) && self.rest().len() <= 1;
        if is_end {
            return None;
        }
        let offset = self.offset;
        let message = self.step().ok_or(CodecError::Malformed { what: "SEI message", offset });
        if message.is_err() {
            self.offset = self.rbsp.len();
        }
        Some(message)
    }
}

/// Whether an SEI NAL unit, of any size, has a message of this `payloadType` with bytes in it. Behind what breaks there is
/// nothing more.
pub fn has_message(nal: &[u8], header_bytes: usize, payload_type: u32) -> bool {
    let mut bytes = rbsp_bytes(nal).skip(header_bytes);
    while let (Some(seen), Some(payload_bytes)) = (number(&mut bytes), number(&mut bytes)) {
        if seen == payload_type {
            return payload_bytes > 0;
        }
        let last_byte = (payload_bytes as usize).checked_sub(1);
        if last_byte.is_some_and(|last| bytes.nth(last).is_none()) {
            return false;
        }
    }
    false
}

/// `payloadType` and `payloadSize`: a sum of bytes 255 and one that is less.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut sum = 0_u32;
    loop {
        let byte = bytes.next()?;
        sum = sum.checked_add(u32::from(byte))?;
        if byte != 0xff {
            return Some(sum);
        }
    }
}
