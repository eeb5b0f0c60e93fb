//! What was sent last: what a viewer can ask for again.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::webrtc::session::OutgoingPacket;

/// The part of what is sent that may be repetition, in percent; above it the path is full, and repeating makes that worse.
const SHARE_MAX_PERCENT: u64 = 30;

/// After so long half of what was sent counts no more.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// A packet as it was sent. Its bytes are all viewers'.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: Arc<[u8]>,
}

/// The newest packets of a source.
#[derive(Debug)]
pub(super) struct Recent {
    packets: VecDeque<Sent>,
    max: usize,
    sent_bytes: u64,
    repeated_bytes: u64,
    halved: Option<Instant>,
}

impl Recent {
    pub(super) fn new(max: usize) -> Self {
        Self { packets: VecDeque::new(), max, sent_bytes: 0, repeated_bytes: 0, halved: None }
    }

    pub(super) fn push(&mut self, timestamp: u32, packet: OutgoingPacket) {
        if self.packets.len() >= self.max {
            self.packets.pop_front();
        }
        self.sent_bytes += packet.payload.len() as u64;
        self.packets.push_back(Sent { timestamp, marker: packet.marker, payload: packet.payload });
    }

    /// The packet of that number, when it is there and may be sent again; `next` is the number behind the newest.
    pub(super) fn again(&mut self, sequence: u16, next: u64, now: Instant) -> Option<(u64, Sent)> {
        self.halve(now);
        let age = usize::from((next as u16).wrapping_sub(sequence));
        let index = self.packets.len().checked_sub(age).filter(|_| age > 0)?;
        let packet = self.packets.get(index)?;
        let repeated = self.repeated_bytes + packet.payload.len() as u64;
        if repeated * 100 > (self.sent_bytes + repeated) * SHARE_MAX_PERCENT {
            return None;
        }
        self.repeated_bytes = repeated;
        Some((next - age as u64, packet.clone()))
    }

    fn halve(&mut self, now: Instant) {
        let halved = *self.halved.get_or_insert(now);
        if now.saturating_duration_since(halved) >= HALF_LIFE {
            (self.halved, self.sent_bytes, self.repeated_bytes) =
                (Some(now), self.sent_bytes / 2, self.repeated_bytes / 2);
        }
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
        let now = Instant::now();
        let mut recent = recent(100, now);
        let times = (0..1000).filter(|_| recent.again(99, 100, now).is_some()).count();
        assert_eq!(times, 42, "30 % of 142");
        assert!(recent.again(99, 100, now + Duration::from_secs(1)).is_none(), "the same part of a half");
    }
}
