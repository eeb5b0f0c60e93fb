//! What was sent last: what a viewer can ask for again.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::webrtc::session::OutgoingPacket;

/// For so many bytes that are sent others may be repeated: 30 % of all. Above it the path is full, and repeating makes that worse.
const REPEATED_PER_SENT: (u64, u64) = (3, 7);

/// Not sooner a packet is repeated again: the first repetition is on its way.
const REPEAT_INTERVAL: Duration = Duration::from_millis(10);

/// A packet as it was sent. Its bytes are all viewers'.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    repeated_at: Option<Instant>,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: Arc<[u8]>,
}

/// The newest packets of a source.
#[derive(Debug)]
pub(super) struct Recent {
    packets: VecDeque<Sent>,
    max: usize,
    kept_bytes: u64,
    /// What may be repeated: a share of what was sent, never more than what is kept. Who asks for nothing for an hour has saved up nothing.
    allowed_bytes: u64,
}

impl Recent {
    pub(super) fn new(max: usize) -> Self {
        Self { packets: VecDeque::new(), max, kept_bytes: 0, allowed_bytes: 0 }
    }

    pub(super) fn push(&mut self, timestamp: u32, packet: OutgoingPacket) {
        if self.packets.len() >= self.max {
            let gone = self.packets.pop_front();
            self.kept_bytes -= gone.map_or(0, |gone| gone.payload.len() as u64);
        }
        let bytes = packet.payload.len() as u64;
        self.kept_bytes += bytes;
        let (repeated, sent) = REPEATED_PER_SENT;
        self.allowed_bytes = (self.allowed_bytes + bytes * repeated / sent).min(self.kept_bytes);
        let OutgoingPacket { marker, payload, .. } = packet;
        self.packets.push_back(Sent { timestamp, marker, payload, repeated_at: None });
    }

    /// The packet of that number, when it is there and may be sent again; `next` is the number behind the newest.
    pub(super) fn again(&mut self, sequence: u16, next: u64, now: Instant) -> Option<(u64, Sent)> {
        let age = usize::from((next as u16).wrapping_sub(sequence));
        let index = self.packets.len().checked_sub(age).filter(|_| age > 0)?;
        let packet = self.packets.get_mut(index)?;
        if packet.repeated_at.is_some_and(|at| now.saturating_duration_since(at) < REPEAT_INTERVAL) {
            return None;
        }
        self.allowed_bytes = self.allowed_bytes.checked_sub(packet.payload.len() as u64)?;
        packet.repeated_at = Some(now);
        Some((next - age as u64, packet.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(packets: u32, now: Instant) -> Recent {
        let mut recent = Recent::new(8);
        for number in 0..packets {
            let packet = OutgoingPacket { timestamp: number, marker: false, payload: vec![7; 100].into(), wall: now };
            recent.push(number, packet);
        }
        recent
    }

    #[test]
    fn the_newest_are_there_and_those_before_and_to_come_are_not() {
        let now = Instant::now();
        let again = |sequence: u16| recent(100, now).again(sequence, 65_600, now);
        assert_eq!(again(63).map(|(number, sent)| (number, sent.timestamp)), Some((65_599, 99)));
        assert_eq!(again(56).map(|(number, sent)| (number, sent.timestamp)), Some((65_592, 92)));
        assert!([55, 64, 65_000, 0].into_iter().all(|gone| again(gone).is_none()));
        assert!(Recent::new(8).again(0, 0, now).is_none());
    }

    #[test]
    fn what_is_repeated_stays_a_part_of_what_is_sent() {
        let (mut now, mut recent, mut times) = (Instant::now(), Recent::new(8), 0);
        for number in 0..1000_u16 {
            recent.push(0, OutgoingPacket { timestamp: 0, marker: false, payload: vec![7; 70].into(), wall: now });
            for back in 0..8 {
                times += usize::from(recent.again(number.wrapping_sub(back), u64::from(number) + 1, now).is_some());
            }
            now += REPEAT_INTERVAL;
        }
        assert_eq!(times, 3000 / 7, "30 % of all");
    }

    /// Found by review: the share was of all that had been sent since anybody asked, hundreds of megabytes after an hour.
    #[test]
    fn who_asks_for_nothing_for_long_has_saved_up_no_more_than_what_is_kept() {
        let mut now = Instant::now();
        let mut recent = recent(100_000, now);
        let mut times = 0;
        for _ in 0..1000 {
            times += (0..8).filter(|age| recent.again(100_000_u32 as u16 - 1 - age, 100_000, now).is_some()).count();
            now += REPEAT_INTERVAL;
        }
        assert_eq!(times, 8);
    }

    #[test]
    fn a_packet_is_not_repeated_while_its_repetition_is_on_its_way() {
        let now = Instant::now();
        let mut recent = recent(8, now);
        let mut again = |after| recent.again(7, 8, now + after).is_some();
        assert_eq!(
            [Duration::ZERO, Duration::ZERO, REPEAT_INTERVAL / 2, REPEAT_INTERVAL].map(&mut again),
            [true, false, false, true]
        );
    }
}
