//! Fields off the front of a tag's body, with the offset for error messages.

use bytes::{Buf, Bytes};

use super::error::FlvError;

/// A reading position in a body. What is taken shares the body's memory.
#[derive(Debug)]
pub(super) struct Fields {
    rest: Bytes,
    offset: usize,
}

impl Fields {
    pub fn new(body: Bytes) -> Self {
        Self { rest: body, offset: 0 }
    }

    /// Where in the body this is.
    pub fn offset(&self) -> usize {
        self.offset
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte, which stays.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, FlvError> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FlvError> {
        let array = *self.rest.first_chunk().ok_or_else(|| self.cut_off(what))?;
        self.rest.advance(N);
        self.offset = self.offset.saturating_add(N);
        Ok(array)
    }

    pub fn take(&mut self, bytes: usize, what: &'static str) -> Result<Bytes, FlvError> {
        self.split(bytes, what).map(|mut part| part.take_rest())
    }

    /// The next `bytes` bytes, to be read on their own.
    pub fn split(&mut self, bytes: usize, what: &'static str) -> Result<Self, FlvError> {
        if self.rest.len() < bytes {
            return Err(self.cut_off(what));
        }
        let part = Self { rest: self.rest.split_to(bytes), offset: self.offset };
        self.offset = self.offset.saturating_add(bytes);
        Ok(part)
    }

    /// All that is left, to be read on its own.
    pub fn rest(&mut self) -> Self {
        Self { offset: self.offset, rest: std::mem::take(&mut self.rest) }
    }

    /// The bytes that are left.
    pub fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    fn cut_off(&self, what: &'static str) -> FlvError {
        FlvError::Malformed { what, offset: self.offset.saturating_add(self.rest.len()) }
    }
}
