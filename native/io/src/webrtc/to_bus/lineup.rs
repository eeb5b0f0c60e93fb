//! Packets in their order: one that is missing is waited for, since it is being asked for again (RFC 4585 NACK).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use arcly_wire::webrtc::ArrivedPacket;

/// How long a missing packet is waited for: two round trips over a continent.
const PATIENCE: Duration = Duration::from_millis(250);

/// Packets that wait at most: a second of 8 Mbit/s.
const WAITING_MAX: usize = 1024;

/// A step by more than this is another beginning (RFC 3550 §A.1), not a hole.
const JUMP_MAX: u64 = 3000;

/// Packets of one encoding.
#[derive(Default)]
pub(super) struct Lineup {
    next: Option<u64>,
    waiting: BTreeMap<u64, ArrivedPacket>,
    /// Since when the first that waits waits.
    since: Option<Instant>,
}

impl Lineup {
    pub(super) fn push(&mut self, packet: ArrivedPacket, now: Instant) {
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence.abs_diff(next) > JUMP_MAX {
            self.next = Some(packet.sequence);
            self.waiting.clear();
        } else if packet.sequence < next {
            // Given up, or a copy.
            return;
        }
        self.waiting.insert(packet.sequence, packet);
        self.since.get_or_insert(now);
    }

    /// The next packet, and whether some in front of it were given up.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(ArrivedPacket, bool)> {
        let next = self.next?;
        let first = *self.waiting.first_key_value()?.0;
        let is_hole = first != next;
        if is_hole && !self.is_patience_over(now) && self.waiting.len() <= WAITING_MAX {
            return None;
        }
        let packet = self.waiting.remove(&first)?;
        self.next = Some(first + 1);
        let follows = self.waiting.contains_key(&(first + 1));
        if self.waiting.is_empty() {
            self.since = None;
        } else if is_hole || !follows {
            // Those behind the next hole are waited for anew.
            self.since = Some(now);
        }
        Some((packet, is_hole))
    }

    /// When a hole is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    fn is_patience_over(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }
}
