//! RTP around transport packets (RFC 2250 §2): headers taken off, order restored; and put in front.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use arcly_pack::mpegts::PACKET_BYTES;
use arcly_wire::rtp::{HEADER_BYTES, Header, Packet};
use bytes::Bytes;

/// `MP2T` (RFC 3551 §6).
const PAYLOAD_TYPE: u8 = 33;

/// Packets that wait for one that is missing, and how long they do: senders and networks here are near.
const WAITING_MAX: usize = 128;
const WAITING_TIME_MAX: Duration = Duration::from_millis(100);
/// A packet that is further ahead, or behind, than this is of a sender that has begun anew (RFC 3550 §A.1, `MAX_DROPOUT`).
const JUMP: i64 = 3_000;

/// Reads a packet whose payload is a transport stream; `None` for anything else. RTP of version 2 begins with 0x80 to 0xBF, a
/// transport packet with 0x47.
fn packet(datagram: &[u8]) -> Option<Packet> {
    let is_ours = datagram.first()? >> 6 == 2 && datagram.get(1)? & 0x7F == PAYLOAD_TYPE;
    is_ours.then(|| Packet::parse(Bytes::copy_from_slice(datagram)).ok()).flatten()
}

/// Takes headers off and restores the order, as far as that can be done in time.
#[derive(Debug, Default)]
pub(super) struct Unwrapper {
    /// The next sequence number, unrolled; none before the first packet.
    next: Option<i64>,
    ssrc: u32,
    waiting: BTreeMap<i64, Bytes>,
    /// Since when the packets that wait do so.
    since: Option<Instant>,
}

impl Unwrapper {
    /// Gives the transport packets of a datagram to `take`, and those that it was missing.
    pub(super) fn push(&mut self, now: Instant, datagram: &[u8], mut take: impl FnMut(&[u8])) {
        let Some(packet) = packet(datagram) else {
            // RTP of another kind and RTCP are no transport packets; of the rest the demuxer finds out.
            let is_rtp = datagram.first().is_some_and(|first| first >> 6 == 2);
            if !is_rtp || datagram.len().is_multiple_of(PACKET_BYTES) {
                take(datagram);
            }
            return;
        };
        let next = self.next_of(&packet, &mut take);
        let ahead = i64::from(packet.header.sequence.wrapping_sub(next as u16) as i16);
        match ahead {
            0 => {
                take(&packet.payload);
                self.next = Some(next + 1);
                self.release(&mut take);
            }
            1.. => {
                self.waiting.entry(next + ahead).or_insert(packet.payload);
                self.since.get_or_insert(now);
            }
            // It comes twice, or too late.
            _ => {}
        }
        self.give_up(now, take);
    }

    /// Goes on without what has been missing for too long.
    pub(super) fn give_up(&mut self, now: Instant, mut take: impl FnMut(&[u8])) {
        let is_late = self.since.is_some_and(|since| now.saturating_duration_since(since) >= WAITING_TIME_MAX);
        if (is_late || self.waiting.len() > WAITING_MAX)
            && let Some((&first, _)) = self.waiting.first_key_value()
        {
            self.next = Some(first);
            self.release(&mut take);
            self.since = (!self.waiting.is_empty()).then_some(now);
        }
    }

    /// The sequence number that is due, or that of this packet where a sender begins.
    fn next_of(&mut self, packet: &Packet, take: &mut impl FnMut(&[u8])) -> i64 {
        if let Some(next) = self.next.filter(|_| self.ssrc == packet.header.ssrc) {
            let ahead = i64::from(packet.header.sequence.wrapping_sub(next as u16) as i16);
            if ahead.abs() < JUMP {
                return next;
            }
        }
        std::mem::take(&mut self.waiting).values().for_each(|payload| take(payload));
        (self.ssrc, self.since) = (packet.header.ssrc, None);
        let next = i64::from(packet.header.sequence);
        self.next = Some(next);
        next
    }

    fn release(&mut self, take: &mut impl FnMut(&[u8])) {
        let Some(mut next) = self.next else { return };
        while let Some(payload) = self.waiting.remove(&next) {
            take(&payload);
            next += 1;
        }
        self.next = Some(next);
        if self.waiting.is_empty() {
            self.since = None;
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
        let mut take = |payload: &[u8]| out.push(u16::from_be_bytes([payload[1], payload[2]]));
        for sequence in sequences {
            unwrapper.push(now, &datagram(sequence, 7), &mut take);
        }
        unwrapper.give_up(now + WAITING_TIME_MAX, &mut take);
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
        (0..10_000).step_by(2).for_each(|sequence| unwrapper.push(now, &datagram(sequence, 7), |_| {}));
        assert!(unwrapper.waiting.len() <= WAITING_MAX + 1);
    }

    #[test]
    fn a_sender_that_begins_anew_is_followed_at_once() {
        assert_eq!(unwrapped([1, 2, 40_000, 40_001, 9, 10]), [1, 2, 40_000, 40_001, 9, 10]);
        let (mut unwrapper, mut out, now) = (Unwrapper::default(), Vec::new(), Instant::now());
        for (sequence, ssrc) in [(10, 1), (12, 1), (5, 2), (6, 2)] {
            unwrapper.push(now, &datagram(sequence, ssrc), |payload| out.push(payload[2]));
        }
        assert_eq!(out, [10, 12, 5, 6]);
    }

    #[test]
    fn bare_packets_pass_and_rtp_of_other_kinds_does_not() {
        let (mut unwrapper, mut out, now) = (Unwrapper::default(), Vec::new(), Instant::now());
        for bytes in [&[SYNC_BYTE; 188][..], b"hello", &[0x80; 12], &[0x80; 192]] {
            unwrapper.push(now, bytes, |packets| out.push(packets.len()));
        }
        assert_eq!(out, [188, 5]);
    }
}
