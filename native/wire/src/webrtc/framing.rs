//! Datagrams on a TCP connection: each behind its length in two bytes (RFC 4571 §2, RFC 6544 §3).

use bytes::{Buf, BytesMut};

use super::WebRtcError;

/// Puts datagrams together from what a connection brings.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    max: usize,
}

impl Frames {
    /// For datagrams of up to `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), max }
    }

    /// Takes what was read. Holds at most that and one datagram.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole datagram; `None` until more was read.
    ///
    /// # Errors
    /// [`WebRtcError::LimitExceeded`] when a longer one is announced: the connection cannot go on.
    pub fn poll(&mut self) -> Result<Option<BytesMut>, WebRtcError> {
        let Some(head) = self.buffer.first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*head));
        if length > self.max {
            return Err(WebRtcError::LimitExceeded { limit: "datagram_bytes", max: self.max });
        }
        if self.buffer.len() < 2 + length {
            return Ok(None);
        }
        self.buffer.advance(2);
        Ok(Some(self.buffer.split_to(length)))
    }
}

/// Writes `datagram` behind its length.
pub fn frame(datagram: &[u8], into: &mut Vec<u8>) {
    let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(datagram.get(..usize::from(length)).unwrap_or_default());
}
