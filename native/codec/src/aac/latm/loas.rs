//! `AudioSyncStream()` (ISO/IEC 14496-3 §1.7.2): an element behind a syncword and its length.

use bytes::{BufMut, Bytes, BytesMut};

use crate::CodecError;

/// Bytes in front of an element: 11 bits of syncword, 13 of length.
pub const LOAS_HEADER_BYTES: usize = 3;
/// Largest element with its header.
pub const MAX_LOAS_BYTES: usize = LOAS_HEADER_BYTES + 0x1fff;

/// Finds the elements in bytes that come in any pieces. Holds no more than two of the largest.
#[derive(Debug, Default)]
pub struct LoasReader {
    buffer: BytesMut,
    /// Whether an element has just ended here. If not, one is only believed when another begins behind it: the syncword is
    /// short, and sound is full of it.
    is_locked: bool,
    skipped_bytes: u64,
}

impl LoasReader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream and hands each whole element (without its header) to `sink`.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(Bytes)) {
        // In pieces, so that a large input is not held a second time.
        while let Some((piece, rest)) = bytes.split_at_checked(bytes.len().min(MAX_LOAS_BYTES)) {
            self.buffer.put_slice(piece);
            while let Some(element) = self.next_element() {
                sink(element);
            }
            if rest.is_empty() {
                return;
            }
            bytes = rest;
        }
    }

    /// Forgets what was begun: the bytes that come next do not follow those that came.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.is_locked = false;
    }

    /// Bytes that were no element.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Bytes that are held.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The header of an element around `element`.
    ///
    /// # Errors
    /// [`CodecError::LimitExceeded`] when the length does not fit into its 13 bits.
    pub fn header(element_bytes: usize) -> Result<[u8; LOAS_HEADER_BYTES], CodecError> {
        let max = MAX_LOAS_BYTES - LOAS_HEADER_BYTES;
        let length = u16::try_from(element_bytes).ok().filter(|&length| usize::from(length) <= max);
        let length =
            length.ok_or(CodecError::LimitExceeded { limit: "bytes of a LOAS element", max, seen: element_bytes })?;
        let [high, low] = length.to_be_bytes();
        Ok([0x56, 0xe0 | high, low])
    }

    fn next_element(&mut self) -> Option<Bytes> {
        loop {
            let end = self.find_element()?;
            let is_believed = self.is_locked || is_sync(self.buffer.get(end..)?)?;
            if is_believed {
                self.is_locked = true;
                let mut element = self.buffer.split_to(end).freeze();
                return Some(element.split_off(LOAS_HEADER_BYTES));
            }
            self.skip(1);
        }
    }

    /// Drops what is no syncword. Where the element ends that begins then, when all of it is there.
    fn find_element(&mut self) -> Option<usize> {
        while !is_sync(&self.buffer)? {
            self.is_locked = false;
            self.skip_to_sync();
        }
        let &[_, high, low] = self.buffer.first_chunk::<LOAS_HEADER_BYTES>()?;
        let end = LOAS_HEADER_BYTES + usize::from(u16::from_be_bytes([high & 0x1f, low]));
        (end <= self.buffer.len()).then_some(end)
    }

    fn skip_to_sync(&mut self) {
        let behind_first = self.buffer.iter().skip(1).position(|&byte| byte == 0x56);
        self.skip(behind_first.map_or(self.buffer.len(), |at| at + 1));
    }

    fn skip(&mut self, bytes: usize) {
        self.skipped_bytes += bytes as u64;
        let _ = self.buffer.split_to(bytes.min(self.buffer.len()));
    }
}

/// Whether a syncword begins here; `None` when that is not yet known.
fn is_sync(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [] | [0x56] => None,
        [0x56, second, ..] => Some(second & 0xe0 == 0xe0),
        _ => Some(false),
    }
}
