//! RTP around transport packets (RFC 2250 §2): headers taken off, order restored; and put in front.

use std::time::{Duration, Instant};

use arcly_pack::mpegts::PACKET_BYTES;
use arcly_wire::rtp::{HEADER_BYTES, Header, Limits, Packet, Reorder};
use bytes::Bytes;

/// `MP2T` (RFC 3551 §6).
const PAYLOAD_TYPE: u8 = 33;

/// Packets that wait for one that is missing, and how long they do: senders and networks here are near.
const LIMITS: Limits = Limits { reorder_packets: 128, reorder_time: Duration::from_millis(100), access_unit_bytes: 0 };

/// Reads a packet whose payload is a transport stream; `None` for anything else. RTP of version 2 begins with 0x80 to 0xBF, a
/// transport packet with 0x47.
fn packet(datagram: &[u8]) -> Option<Packet> {
    let is_ours = datagram.first()? >> 6 == 2 && datagram.get(1)? & 0x7F == PAYLOAD_TYPE;
    is_ours.then(|| Packet::parse(Bytes::copy_from_slice(datagram)).ok()).flatten()
}

/// Takes headers off and restores the order, as far as that can be done in time.
#[derive(Debug)]
pub(super) struct Unwrapper {
    ssrc: u32,
    reorder: Reorder,
}

impl Default for Unwrapper {
    fn default() -> Self {
        Self { ssrc: 0, reorder: Reorder::new(&LIMITS) }
    }
}

impl Unwrapper {
    /// Gives the transport packets of a datagram to `take`, and those that it was missing; each with the number of datagrams in front
    /// of it that will not come.
    pub(super) fn push(&mut self, now: Instant, datagram: &[u8], mut take: impl FnMut(u32, &[u8])) {
        let Some(packet) = packet(datagram) else {
            // RTP of another kind and RTCP are no transport packets; of the rest the demuxer finds out.
            let is_rtp = datagram.first().is_some_and(|first| first >> 6 == 2);
            if !is_rtp || datagram.len().is_multiple_of(PACKET_BYTES) {
                take(0, datagram);
            }
            return;
        };
        if packet.header.ssrc != self.ssrc {
            self.reorder.flush();
            self.release(&mut take);
            *self = Self { ssrc: packet.header.ssrc, ..Self::default() };
        }
        self.reorder.push(now, packet);
        self.give_up(now, take);
    }

    /// Goes on without what has been missing for too long.
    pub(super) fn give_up(&mut self, now: Instant, mut take: impl FnMut(u32, &[u8])) {
        self.reorder.handle_timeout(now);
        self.release(&mut take);
    }

    fn release(&mut self, take: &mut impl FnMut(u32, &[u8])) {
        while let Some(ordered) = self.reorder.poll() {
            take(ordered.lost, &ordered.packet.payload);
        }
    }
}

/// Writes headers.
#[derive(Debug)]
pub(super) struct Wrapper {
    sequence: u16,
    ssrc: u32,
    /// Of the timestamp: at random, as RFC 3550 §5.1 has it.
    offset: u32,
}

impl Wrapper {
    /// `seed`: any number; each sender should have another.
    pub(super) fn new(seed: u64) -> Self {
        Self { sequence: seed as u16, ssrc: (seed >> 32) as u32, offset: (seed >> 16) as u32 }
    }

    /// The header of the next packet, which leaves so long after the first one (RFC 2250 §2: when its first byte is transmitted).
    pub(super) fn header(&mut self, elapsed: Duration) -> [u8; HEADER_BYTES] {
        // Modulo 2^32 on purpose.
        let ticks = (elapsed.as_micros() * 9 / 100) as u32;
        let header = Header {
            marker: false,
            payload_type: PAYLOAD_TYPE,
            sequence: self.sequence,
            timestamp: self.offset.wrapping_add(ticks),
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        header.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC_BYTE: u8 = 0x47;

    fn datagram(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut wrapper = Wrapper { sequence, ssrc, offset: 0 };
        let mut bytes = wrapper.header(Duration::ZERO).to_vec();
        bytes.extend([SYNC_BYTE, (sequence >> 8) as u8, sequence as u8]);
        bytes
    }

    /// What comes out, as sequence numbers.
    fn unwrapped(sequences: impl IntoIterator<Item = u16>) -> Vec<u16> {
        let (mut unwrapper, mut out, now) = (Unwrapper::default(), Vec::new(), Instant::now());
        let mut take = |_, payload: &[u8]| out.push(u16::from_be_bytes([payload[1], payload[2]]));
        for sequence in sequences {
            unwrapper.push(now, &datagram(sequence, 7), &mut take);
        }
        unwrapper.give_up(now + LIMITS.reorder_time, &mut take);
        out
    }

    #[test]
    fn packets_come_out_in_their_order_and_once() {
        assert_eq!(unwrapped([1, 3, 2, 2, 4, 1, 6, 5]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(unwrapped([65_534, 0, 65_535, 1]), [65_534, 65_535, 0, 1]);
        assert_eq!(unwrapped([65_530..=65_535, 0..=9].into_iter().flatten()).len(), 16);
    }

    #[test]
    fn what_is_missing_is_waited_for_no_longer_than_the_bounds() {
        assert_eq!(unwrapped([1, 3, 4]), [1, 3, 4]);
        let lossy = unwrapped((1..400).filter(|sequence| *sequence != 2));
        assert_eq!(lossy, (1..400).filter(|sequence| *sequence != 2).collect::<Vec<_>>());
        let (mut unwrapper, now) = (Unwrapper::default(), Instant::now());
        (0..10_000).step_by(2).for_each(|sequence| unwrapper.push(now, &datagram(sequence, 7), |_, _| {}));
        assert!(unwrapper.reorder.waiting() <= LIMITS.reorder_packets);
    }

    #[test]
    fn a_sender_that_begins_anew_is_followed_at_once() {
        assert_eq!(unwrapped([1, 2, 40_000, 40_001, 9, 10]), [1, 2, 40_000, 40_001, 9, 10]);
        let (mut unwrapper, mut out, now) = (Unwrapper::default(), Vec::new(), Instant::now());
        for (sequence, ssrc) in [(10, 1), (12, 1), (5, 2), (6, 2)] {
            unwrapper.push(now, &datagram(sequence, ssrc), |_, payload| out.push(payload[2]));
        }
        assert_eq!(out, [10, 12, 5, 6]);
    }

    #[test]
    fn bare_packets_pass_and_rtp_of_other_kinds_does_not() {
        let (mut unwrapper, mut out, now) = (Unwrapper::default(), Vec::new(), Instant::now());
        for bytes in [&[SYNC_BYTE; 188][..], b"hello", &[0x80; 12], &[0x80; 192]] {
            unwrapper.push(now, bytes, |_, packets| out.push(packets.len()));
        }
        assert_eq!(out, [188, 5]);
    }
}
