//! Where packets are written to.

use std::ops::Deref;

use super::super::PACKET_BYTES;

/// Packets one behind the other, in memory that is cleared when it is taken and not again when it is [used again](Self::clear).
///
/// A `Vec` is told of every piece that is appended, or else its room is cleared first: to packets, which come in pieces of 4 and of 184
/// bytes, either costs as much as half of their copies.
#[derive(Debug, Clone, Default)]
pub struct PacketBuffer {
    /// What was written, and what may be written over.
    memory: Vec<[u8; PACKET_BYTES]>,
    /// Packets that were written.
    len: usize,
}

impl PacketBuffer {
    /// An empty one, with memory for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { memory: vec![[0; PACKET_BYTES]; bytes / PACKET_BYTES], len: 0 }
    }

    /// Forgets what was written; its memory is used again.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// What was written, in packets.
    pub fn packets(&self) -> &[[u8; PACKET_BYTES]] {
        self.memory.get(..self.len).unwrap_or_default()
    }

    /// What was written.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.memory.truncate(self.len);
        self.memory.into_flattened()
    }

    /// Appends so many packets, for the caller to write: there is something else in them yet.
    #[inline(always)]
    pub(super) fn extend(&mut self, packets: usize) -> &mut [[u8; PACKET_BYTES]] {
        let start = self.len;
        self.len += packets;
        if self.memory.len() < self.len {
            self.grow();
        }
        self.memory.get_mut(start..).and_then(|free| free.get_mut(..packets)).unwrap_or_default()
    }

    /// Appends a packet; where it lies now.
    pub(super) fn push(&mut self, packet: &[u8; PACKET_BYTES]) -> &mut [u8] {
        let pushed = self.extend(1).as_flattened_mut();
        pushed.copy_from_slice(packet);
        pushed
    }

    #[cold]
    fn grow(&mut self) {
        self.memory.resize(self.len, [0; PACKET_BYTES]);
    }
}

/// What was written, in bytes.
impl Deref for PacketBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.packets().as_flattened()
    }
}
