//! The header of a data packet (SRT §3.1).

use super::HEADER_BYTES;

/// Where in its message a packet stands: the PP field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// In the middle.
    Middle,
    /// The last one.
    Last,
    /// The first one.
    First,
    /// The only one.
    Solo,
}

impl Position {
    /// Whether a message begins here.
    pub fn is_first(self) -> bool {
        matches!(self, Self::First | Self::Solo)
    }

    /// Whether a message ends here.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Last | Self::Solo)
    }
}

/// With which key the payload is encrypted: the KK field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFlag {
    /// Not at all.
    Clear,
    /// The even one.
    Even,
    /// The odd one.
    Odd,
    /// Of control packets only: never valid here.
    Both,
}

/// What stands in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataHeader {
    /// 31 bits.
    pub sequence: u32,
    /// PP.
    pub position: Position,
    /// O: the message is to be delivered in its order.
    pub is_ordered: bool,
    /// KK.
    pub key: KeyFlag,
    /// R.
    pub is_retransmitted: bool,
    /// 26 bits.
    pub message: u32,
    /// Microseconds since the sender's start at which the payload was given to it, modulo 2^32; the same in each retransmission.
    pub timestamp: u32,
    /// The socket that it is for.
    pub destination: u32,
}

/// Bits of a message number.
pub(crate) const MESSAGE_MASK: u32 = 0x03ff_ffff;

impl DataHeader {
    pub(super) fn from_words(word0: u32, word1: u32, timestamp: u32, destination: u32) -> Self {
        let position = match word1 >> 30 {
            0 => Position::Middle,
            1 => Position::Last,
            2 => Position::First,
            _ => Position::Solo,
        };
        let key = match word1 >> 27 & 3 {
            0 => KeyFlag::Clear,
            1 => KeyFlag::Even,
            2 => KeyFlag::Odd,
            _ => KeyFlag::Both,
        };
        Self {
            sequence: word0,
            position,
            is_ordered: word1 >> 29 & 1 == 1,
            key,
            is_retransmitted: word1 >> 26 & 1 == 1,
            message: word1 & MESSAGE_MASK,
            timestamp,
            destination,
        }
    }

    /// As it stands in the datagram.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let position = match self.position {
            Position::Middle => 0,
            Position::Last => 1,
            Position::First => 2,
            Position::Solo => 3_u32,
        };
        let key = match self.key {
            KeyFlag::Clear => 0,
            KeyFlag::Even => 1,
            KeyFlag::Odd => 2,
            KeyFlag::Both => 3_u32,
        };
        let flags = position << 30 | u32::from(self.is_ordered) << 29 | key << 27;
        let word1 = flags | u32::from(self.is_retransmitted) << 26 | self.message & MESSAGE_MASK;
        let mut bytes = [0; HEADER_BYTES];
        let words = [self.sequence & 0x7fff_ffff, word1, self.timestamp, self.destination];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}
