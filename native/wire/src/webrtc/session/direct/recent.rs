//! What was sent last: what a viewer can ask for again.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use crate::webrtc::session::OutgoingPacket;

/// For so many bytes that are sent others may be repeated: 30 % of all. Above it the path is full, and repeating makes that worse.
const REPEATED_PER_SENT: (u64, u64) = (3, 7);

/// Not sooner a packet is repeated again: the first repetition is on its way.
const REPEAT_INTERVAL_MS: u32 = 10;

/// For so long a packet is kept: a few round trips of a long path. By number alone the window would be one of time only at one rate: a key
/// frame of HD leaves at once in hundreds of packets, before the first of them can be asked for.
const AGE_MS: u32 = 1000;

/// So many are kept however old they are: where a picture comes each second, that the last one was lost is seen by the next.
const ALWAYS: usize = 64;

/// A packet as it was sent. Its bytes are all viewers'. Times are in milliseconds, modulo 2³²: that makes it 32 bytes.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    sent_ms: u32,
    repeated_ms: u32,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: Arc<[u8]>,
}

/// The newest packets of a source.
#[derive(Debug)]
pub(super) struct Recent {
    packets: VecDeque<Sent>,
    max: usize,
    /// Where its times begin.
    begun: Option<Instant>,
    kept_bytes: u64,
    /// What may be repeated: a share of what was sent, never more than what is kept. Who asks for nothing for an hour has saved up nothing.
    allowed_bytes: u64,
}

impl Recent {
    /// `max`: at a rate at which more would be young enough.
    pub(super) fn new(max: usize) -> Self {
        Self { packets: VecDeque::new(), max, begun: None, kept_bytes: 0, allowed_bytes: 0 }
    }

    /// Keeps a packet that is sent now.
    pub(super) fn push(&mut self, timestamp: u32, packet: OutgoingPacket, now: Instant) {
        let sent_ms = self.millis(now);
        self.forget(sent_ms);
        self.fit();
        let bytes = packet.payload.len() as u64;
        self.kept_bytes += bytes;
        let (repeated, sent) = REPEATED_PER_SENT;
        self.allowed_bytes = (self.allowed_bytes + bytes * repeated / sent).min(self.kept_bytes);
        let OutgoingPacket { marker, payload, .. } = packet;
        let repeated_ms = sent_ms.wrapping_sub(REPEAT_INTERVAL_MS);
        self.packets.push_back(Sent { sent_ms, repeated_ms, timestamp, marker, payload });
    }

    /// The packet of that number, when it is there and may be sent again; `next` is the number behind the newest.
    pub(super) fn again(&mut self, sequence: u16, next: u64, now: Instant) -> Option<(u64, Sent)> {
        let now_ms = self.millis(now);
        let age = usize::from((next as u16).wrapping_sub(sequence));
        let index = self.packets.len().checked_sub(age).filter(|_| age > 0)?;
        let packet = self.packets.get_mut(index)?;
        if now_ms.wrapping_sub(packet.repeated_ms) < REPEAT_INTERVAL_MS {
            return None;
        }
        self.allowed_bytes = self.allowed_bytes.checked_sub(packet.payload.len() as u64)?;
        packet.repeated_ms = now_ms;
        Some((next - age as u64, packet.clone()))
    }

    fn millis(&mut self, now: Instant) -> u32 {
        now.saturating_duration_since(*self.begun.get_or_insert(now)).as_millis() as u32
    }

    /// Forgets what is too old, and makes room for one.
    fn forget(&mut self, now_ms: u32) {
        while let Some(oldest) = self.packets.front() {
            let is_old = now_ms.wrapping_sub(oldest.sent_ms) > AGE_MS && self.packets.len() >= ALWAYS;
            if !is_old && self.packets.len() < self.max {
                break;
            }
            self.kept_bytes -= oldest.payload.len() as u64;
            self.packets.pop_front();
        }
    }

    /// Takes a quarter more memory where there is no room, and gives back what only a burst, as at a join, has needed: each viewer has such a
    /// queue, and doubled it would be half empty.
    fn fit(&mut self) {
        let (count, room) = (self.packets.len(), self.packets.capacity());
        if count == room {
            self.packets.reserve_exact((count / 4).max(16));
        } else if room > 2 * count + ALWAYS {
            self.packets.shrink_to(count + count / 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::webrtc::session::Lane;

    const REPEAT_INTERVAL: Duration = Duration::from_millis(REPEAT_INTERVAL_MS as u64);

    fn packet(number: u32, bytes: usize, now: Instant) -> OutgoingPacket {
        OutgoingPacket { timestamp: number, marker: false, payload: vec![7; bytes].into(), wall: now }
    }

    fn recent(packets: u32, now: Instant) -> Recent {
        let mut recent = Recent::new(8);
        for number in 0..packets {
            recent.push(number, packet(number, 100, now), now);
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
            recent.push(0, packet(0, 70, now), now);
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

    /// Found by reading: a window of 256 packets was shorter than a round trip where a key frame of HD left in one burst.
    #[test]
    fn the_first_packets_of_a_large_key_frame_are_there_when_they_are_asked_for() {
        let (start, mut recent) = (Instant::now(), Recent::new(Lane::Video.kept_packets()));
        for number in 0..400 {
            let now = start + Duration::from_micros(75) * number;
            recent.push(number, packet(number, 1180, now), now);
        }
        let again = recent.again(10, 400, start + Duration::from_millis(60));
        assert_eq!(again.map(|(number, sent)| (number, sent.timestamp)), Some((10, 10)));
    }

    #[test]
    fn what_is_old_is_forgotten_but_for_the_last_few_and_a_burst_leaves_no_room_behind() {
        let (start, mut recent) = (Instant::now(), Recent::new(4096));
        let mut number = 0;
        let mut push = |recent: &mut Recent, ms| {
            let now = start + Duration::from_millis(ms);
            recent.push(number, packet(number, 100, now), now);
            number += 1;
        };
        (0..5000).for_each(|_| push(&mut recent, 0));
        assert_eq!((recent.packets.len(), recent.kept_bytes), (4096, 409_600));
        (0..500).for_each(|step| push(&mut recent, 4 * step));
        assert_eq!((recent.packets.len(), recent.kept_bytes), (251, 25_100), "a second");
        assert!(recent.packets.capacity() <= 2 * 251 + ALWAYS, "{}", recent.packets.capacity());
        push(&mut recent, 60_000);
        assert_eq!(recent.packets.len(), ALWAYS);
        // Behind 49 days, when the milliseconds begin anew.
        (0..10).for_each(|step| push(&mut recent, (1 << 32) - 5 + step));
        assert_eq!(recent.packets.len(), ALWAYS);
        (0..100).for_each(|step| push(&mut recent, (1 << 32) + 10 + step));
        assert_eq!(recent.packets.len(), 110);
    }

    #[test]
    fn a_packet_that_is_kept_takes_32_bytes() {
        assert_eq!(size_of::<Sent>(), 32);
    }
}
