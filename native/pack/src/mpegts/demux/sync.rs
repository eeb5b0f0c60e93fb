//! Where packets begin (§2.4.3.3: `sync_byte`), in a stream that may begin anywhere and hold anything.

use super::super::PACKET_BYTES;

/// First byte of every packet.
const SYNC_BYTE: u8 = 0x47;

/// Bytes from one packet to the next: plain; with the 4-byte time stamp of Blu-ray and of cameras (`.m2ts`) in front;
/// with 16 bytes of Reed-Solomon parity behind (ETSI EN 300 429).
const STRIDES: [usize; 3] = [PACKET_BYTES, 192, 204];

/// Sync bytes in a row, one stride apart, that make a stream: a false one is one in 2^32 at each place.
const SYNC_RUN: usize = 4;

/// Bytes that must be there to judge whether a packet begins at the first of them.
const LOOKAHEAD_BYTES: usize = (SYNC_RUN - 1) * 204 + 1;

/// Cuts a stream into packets, whatever the pieces in which it comes.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// Bytes that have come and that are not judged yet: fewer than [`LOOKAHEAD_BYTES`].
    carry: Vec<u8>,
    /// Bytes from one packet to the next; `None` while no packets are found.
    stride: Option<usize>,
    /// Bytes between the packet before and the next one that have not come yet.
    gap_bytes: usize,
    skipped_bytes: u64,
    /// Whether there ever was a packet.
    has_found: bool,
}

impl Sync {
    /// Takes the next bytes and hands out the packets that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], take: &mut impl FnMut(&[u8; PACKET_BYTES])) {
        while !self.carry.is_empty() && !bytes.is_empty() {
            let mut carry = std::mem::take(&mut self.carry);
            let held = carry.len();
            // Enough that all which was held is judged, if there is so much.
            let (head, _) = bytes.split_at_checked(2 * LOOKAHEAD_BYTES).unwrap_or((bytes, &[]));
            carry.extend_from_slice(head);
            let used = self.read(&carry, false, take);
            match used.checked_sub(held) {
                Some(of_bytes) => bytes = bytes.get(of_bytes..).unwrap_or_default(),
                None => {
                    carry.drain(..used);
                    bytes = bytes.get(head.len()..).unwrap_or_default();
                    self.carry = carry;
                }
            }
        }
        let used = self.read(bytes, false, take);
        self.carry.extend_from_slice(bytes.get(used..).unwrap_or_default());
    }

    /// Nothing more comes: what is left is judged by what there is of it.
    pub(super) fn finish(&mut self, take: &mut impl FnMut(&[u8; PACKET_BYTES])) {
        let carry = std::mem::take(&mut self.carry);
        let used = self.read(&carry, true, take);
        self.skip(carry.len().saturating_sub(used));
    }

    /// Bytes that belong to no packet.
    pub(super) fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Whether there ever was a packet.
    pub(super) fn has_found(&self) -> bool {
        self.has_found
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.carry.len()
    }

    /// Hands out packets until more bytes are needed. Returns how many bytes are done with.
    fn read(&mut self, bytes: &[u8], is_end: bool, take: &mut impl FnMut(&[u8; PACKET_BYTES])) -> usize {
        let mut rest = bytes;
        loop {
            let gap_bytes = self.gap_bytes.min(rest.len());
            rest = rest.get(gap_bytes..).unwrap_or_default();
            self.gap_bytes -= gap_bytes;
            let is_done = match self.stride {
                Some(stride) => self.read_locked(&mut rest, stride, take),
                None => !self.search(&mut rest, is_end),
            };
            if is_done {
                return bytes.len() - rest.len();
            }
        }
    }

    /// Hands out packets of one stride. True when more bytes are needed, false when the stream is lost.
    fn read_locked(&mut self, rest: &mut &[u8], stride: usize, take: &mut impl FnMut(&[u8; PACKET_BYTES])) -> bool {
        while let Some(packet) = rest.first_chunk::<PACKET_BYTES>() {
            if packet.first() != Some(&SYNC_BYTE) {
                self.stride = None;
                return false;
            }
            take(packet);
            match rest.get(stride..) {
                Some(behind) => *rest = behind,
                None => {
                    self.gap_bytes = stride - rest.len();
                    *rest = &[];
                }
            }
        }
        true
    }

    /// Whether packets were found. Passes over what is none.
    fn search(&mut self, rest: &mut &[u8], is_end: bool) -> bool {
        let mut from = 0;
        loop {
            let tail = rest.get(from..).unwrap_or_default();
            let Some(at) = tail.iter().position(|byte| *byte == SYNC_BYTE) else {
                self.skip(rest.len());
                *rest = &[];
                return false;
            };
            from += at;
            let candidate = rest.get(from..).unwrap_or_default();
            let is_judged = candidate.len() >= LOOKAHEAD_BYTES || is_end;
            self.stride = is_judged.then(|| STRIDES.into_iter().find(|stride| is_run(candidate, *stride))).flatten();
            if self.stride.is_some() || !is_judged {
                self.skip(from);
                *rest = candidate;
                self.has_found |= self.stride.is_some();
                return self.stride.is_some();
            }
            from += 1;
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.skipped_bytes = self.skipped_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

/// Whether packets of this stride begin at the first byte, as far as there are bytes: at least a whole packet.
fn is_run(bytes: &[u8], stride: usize) -> bool {
    bytes.len() >= PACKET_BYTES && bytes.iter().step_by(stride).take(SYNC_RUN).all(|byte| *byte == SYNC_BYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(stride: usize, count: u8) -> Vec<u8> {
        let packet = |number: u8| {
            let mut packet = vec![number; PACKET_BYTES];
            packet[0] = SYNC_BYTE;
            match stride {
                192 => [vec![0; 4], packet].concat(),
                204 => [packet, vec![0xAA; 16]].concat(),
                _ => packet,
            }
        };
        (0..count).flat_map(packet).collect()
    }

    fn numbers(stream: &[u8], piece: usize) -> (Vec<u8>, u64) {
        let (mut sync, mut numbers) = (Sync::default(), Vec::new());
        let mut take = |packet: &[u8; PACKET_BYTES]| numbers.push(packet[1]);
        stream.chunks(piece).for_each(|piece| sync.push(piece, &mut take));
        sync.finish(&mut take);
        assert_eq!(sync.buffered_bytes(), 0);
        (numbers, sync.skipped_bytes())
    }

    #[test]
    fn packets_of_every_stride_are_found_in_pieces_of_every_size() {
        for stride in STRIDES {
            let stream = packets(stride, 20);
            for piece in (1..=stream.len()).step_by(7) {
                assert_eq!(numbers(&stream, piece).0, (0..20).collect::<Vec<u8>>(), "{stride} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn garbage_in_front_between_and_behind_is_passed_over() {
        for stride in STRIDES {
            let garbage = [vec![7; 91], vec![SYNC_BYTE; 2], vec![9; 300]].concat();
            let stream = [&garbage[..], &packets(stride, 9), &garbage, &packets(stride, 9), &[1, 2, 3]].concat();
            let whole = numbers(&stream, stream.len());
            // The gap of the stride hides as much of the garbage; the packets are all there.
            assert_eq!(whole.0, [(0..9).collect::<Vec<u8>>(), (0..9).collect()].concat(), "{stride}");
            (1..400).for_each(|piece| assert_eq!(numbers(&stream, piece), whole, "{stride} in pieces of {piece}"));
        }
    }

    #[test]
    fn a_packet_whose_sync_byte_is_broken_is_passed_over_alone() {
        let mut stream = packets(188, 12);
        stream[188 * 5] = 0;
        assert_eq!(numbers(&stream, 4096), ([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11].to_vec(), 188));
    }

    #[test]
    fn a_single_packet_is_found_at_the_end() {
        assert_eq!(numbers(&packets(188, 1), 188), (vec![0], 0));
        assert_eq!(numbers(&[7; 1000], 10), (vec![], 1000));
    }
}
