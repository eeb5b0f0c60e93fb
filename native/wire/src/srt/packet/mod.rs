//! Packets: what stands in one datagram (SRT §3).

mod control;
mod data;
pub(super) mod loss;
pub(super) use data::MESSAGE_MASK;

pub use control::{Ack, AckReport, Control, KeyMaterialKind};
pub use data::{DataHeader, KeyFlag, Position};
pub use loss::LossReport;

use super::SrtError;

/// Bytes of every header (SRT §3).
pub const HEADER_BYTES: usize = 16;

/// One packet, its contents still in the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Media, perhaps encrypted.
    Data(DataHeader, &'a [u8]),
    /// Everything else.
    Control(ControlHeader, Control<'a>),
}

/// What all control packets have (SRT §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlHeader {
    /// Microseconds since the sender's start, modulo 2^32.
    pub timestamp: u32,
    /// The socket that it is for; 0 for a new connection.
    pub destination: u32,
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`SrtError::Malformed`]: it is shorter than its kind must be.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, SrtError> {
        let Some((header, body)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return Err(SrtError::malformed("packet header", datagram.len()));
        };
        let [word0, word1, timestamp, destination] = words(header);
        if word0 >> 31 == 0 {
            return Ok(Self::Data(DataHeader::from_words(word0, word1, timestamp, destination), body));
        }
        let control = Control::parse((word0 >> 16) as u16 & 0x7fff, word0 as u16, word1, body)?;
        Ok(Self::Control(ControlHeader { timestamp, destination }, control))
    }

    /// The socket that a datagram is for, without a look at the rest of it; none where there is no header.
    pub fn destination(datagram: &[u8]) -> Option<u32> {
        datagram.get(12..16).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
    }

    /// Whether it tells keys on a connection (SRT §3.2.2), without a look at the rest of it.
    pub fn is_key_material(datagram: &[u8]) -> bool {
        datagram.starts_with(&[0xff, 0xff, 0, 3])
    }
}

fn words(header: &[u8; HEADER_BYTES]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(header.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    words
}

/// The big-endian word at `offset`.
pub(super) fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    bytes.get(offset..end).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
}
