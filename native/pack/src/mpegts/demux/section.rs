//! Sections out of packets (§2.4.4): several in a packet, or one over many.

use super::packet::{Continuity, Packet, Step};

/// `table_id` of what fills the rest of a packet.
const STUFFING: u8 = 0xFF;
/// `table_id` and `section_length`.
const HEADER_BYTES: usize = 3;

/// Puts the sections of one PID together. Holds one section, 4 098 bytes at most, and a packet.
#[derive(Debug, Default)]
pub(super) struct Sections {
    continuity: Continuity,
    bytes: Vec<u8>,
    /// Whether `bytes` begins with a section.
    is_open: bool,
}

impl Sections {
    /// Takes the next packet of the PID and hands out the sections that it completes, their CRC not judged.
    pub(super) fn push(&mut self, packet: &Packet<'_>, mut take: impl FnMut(&[u8])) {
        let Some(payload) = packet.payload else { return };
        match self.continuity.step(packet.counter, packet.discontinuity) {
            Step::Next => {}
            Step::Same => return,
            Step::Gap => self.is_open = false,
        }
        let Some((pointer, rest)) = payload.split_first().filter(|_| packet.unit_start) else {
            return self.append(payload, &mut take);
        };
        let Some((tail, begin)) = rest.split_at_checked(usize::from(*pointer)) else {
            self.is_open = false;
            return;
        };
        self.append(tail, &mut take);
        self.bytes.clear();
        self.is_open = true;
        self.append(begin, &mut take);
    }

    fn append(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8])) {
        if !self.is_open {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let mut rest = &self.bytes[..];
        while let Some(&[table_id, high, low]) = rest.first_chunk::<HEADER_BYTES>() {
            let bytes = HEADER_BYTES + usize::from(u16::from_be_bytes([high & 0x0F, low]));
            if table_id == STUFFING {
                (self.is_open, rest) = (false, &[]);
            }
            let Some((section, behind)) = rest.split_at_checked(bytes) else { break };
            take(section);
            rest = behind;
        }
        let used = self.bytes.len() - rest.len();
        self.bytes.drain(..used);
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what has begun.
    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        self.is_open = false;
    }
}
