//! What has come and waits for its time, and what has not (SRT §4.5, §4.6, §4.8).

use std::collections::VecDeque;

use super::{
    number::{unroll, wire},
    packet::{Position, loss},
    range_set::RangeSet,
};

/// A packet that waits.
#[derive(Debug)]
struct Slot {
    payload: Vec<u8>,
    position: Position,
    due_us: u64,
    /// It could not be decrypted: it is acknowledged, and not delivered.
    is_void: bool,
}

/// A packet at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// What the peer's application gave to it.
    pub payload: &'a [u8],
    /// Where in its message it stands.
    pub position: Position,
    /// Packets in front of it that are lost for good.
    pub lost_before: u64,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is new. `gap` is what now is missing in front of it.
    New { gap: Option<(u64, u64)>, was_lost: bool },
    /// It is there already, or was delivered.
    Duplicate,
    /// It was given up.
    Belated,
    /// It is too far ahead.
    Stray,
}

/// Packets in a row, all too far ahead, after which the peer is believed: it has dropped what lies between, while the path was down.
const STRAYS_MAX: u32 = 32;

/// The ring of packets from the oldest that was not delivered to the newest.
///
/// Of the numbers from `base` to its end each has a packet in the ring or is in `lost`: where there is a hole, what follows it is found
/// without a search.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    slots: VecDeque<Option<Slot>>,
    /// The sequence number of the first slot.
    base: u64,
    lost: RangeSet,
    /// Below it all was given up that did not come.
    dropped_until: u64,
    /// Payload buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// What was delivered last: the caller looks at it.
    delivered: Vec<u8>,
    bytes: usize,
    packets: usize,
    packets_max: usize,
    lost_before: u64,
    stray: Option<(u64, u32)>,
}

/// Buffers kept for later.
const SPARE_MAX: usize = 64;

impl ReceiveBuffer {
    pub(super) fn new(first: u64, packets_max: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            base: first,
            lost: RangeSet::default(),
            dropped_until: first,
            spare: Vec::new(),
            delivered: Vec::new(),
            bytes: 0,
            packets: 0,
            packets_max,
            lost_before: 0,
            stray: None,
        }
    }

    /// The number that a packet means.
    pub(super) fn unroll(&self, sequence: u32) -> u64 {
        unroll(self.base, sequence)
    }

    fn end(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    /// The first that has not come: what an acknowledgement says.
    pub(super) fn next_missing(&self) -> u64 {
        self.lost.first().map_or_else(|| self.end(), |(first, _)| first)
    }

    pub(super) fn free_packets(&self) -> usize {
        self.packets_max.saturating_sub(self.slots.len())
    }

    pub(super) fn packets(&self) -> usize {
        self.packets
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn missing(&self) -> u64 {
        self.lost.len()
    }

    /// Whether something in front of this number is missing.
    pub(super) fn is_missing_before(&self, until: u64) -> bool {
        self.lost.first().is_some_and(|(first, _)| first < until)
    }

    /// The next packet to be delivered, or given up.
    pub(super) fn next(&self) -> u64 {
        self.base
    }

    /// A packet that waits, with the time when it is due.
    pub(super) fn get(&self, sequence: u64) -> Option<(&[u8], Position, u64)> {
        let index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        let slot = self.slots.get(index)?.as_ref()?;
        Some((&slot.payload, slot.position, slot.due_us))
    }

    /// Forgets all in front of this number: it is delivered elsewhere.
    pub(super) fn forget_until(&mut self, until: u64) {
        while self.base < until {
            let Some(slot) = self.slots.pop_front() else {
                self.base = until;
                break;
            };
            let bytes = slot.map_or(0, |slot| {
                self.packets -= 1;
                slot.payload.len()
            });
            (self.base, self.bytes) = (self.base + 1, self.bytes - bytes);
        }
        self.lost.remove_below(self.base);
    }

    /// From the first packet that waits to the last.
    pub(super) fn span_us(&self) -> u64 {
        let due = |slot: &Slot| slot.due_us;
        let first = self.next_slot().and_then(|(_, slot)| slot).map(due);
        let last = self.slots.back().and_then(Option::as_ref).map(due);
        first.zip(last).map_or(0, |(first, last)| last.saturating_sub(first))
    }

    /// What would become of a packet with this number.
    pub(super) fn judge(&mut self, sequence: u64) -> Arrival {
        if sequence < self.base {
            return if sequence < self.dropped_until { Arrival::Belated } else { Arrival::Duplicate };
        }
        let index = sequence - self.base;
        if index >= self.packets_max as u64 {
            return if self.resync(sequence) { self.judge(sequence) } else { Arrival::Stray };
        }
        self.stray = None;
        let end = self.end();
        if sequence >= end {
            let gap = (sequence > end).then(|| (end, sequence - 1));
            return Arrival::New { gap, was_lost: false };
        }
        match usize::try_from(index).ok().and_then(|index| self.slots.get(index)) {
            Some(None) => Arrival::New { gap: None, was_lost: true },
            _ => Arrival::Duplicate,
        }
    }

    /// Keeps a packet that was judged to be new. `fill` makes its payload, and says whether that is good.
    pub(super) fn insert(
        &mut self,
        sequence: u64,
        position: Position,
        due_us: u64,
        fill: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.clear();
        let is_void = !fill(&mut payload);
        (self.bytes, self.packets) = (self.bytes + payload.len(), self.packets + 1);
        let slot = Slot { payload, position, due_us, is_void };
        let end = self.end();
        if sequence >= end {
            self.lost.insert(end, sequence.saturating_sub(1));
            self.slots.extend((end..sequence).map(|_| None));
            self.slots.push_back(Some(slot));
        } else if let Some(place) =
            usize::try_from(sequence - self.base).ok().and_then(|index| self.slots.get_mut(index))
        {
            self.lost.remove(sequence);
            *place = Some(slot);
        }
    }

    /// Whether to go on at `sequence`, far ahead.
    fn resync(&mut self, sequence: u64) -> bool {
        let count = match self.stray {
            Some((last, count)) if sequence > last && sequence - last < u64::from(STRAYS_MAX) => count + 1,
            _ => 1,
        };
        self.stray = Some((sequence, count));
        if count < STRAYS_MAX || self.packets > 0 {
            return false;
        }
        self.lost_before += sequence - self.base;
        self.slots.clear();
        self.lost.remove_below(sequence);
        (self.base, self.dropped_until) = (sequence, sequence);
        true
    }

    /// The next packet that there is, and the holes in front of it.
    fn next_slot(&self) -> Option<(usize, Option<&Slot>)> {
        let holes = match self.lost.first() {
            Some((first, last)) if first == self.base => usize::try_from(last - first + 1).ok()?,
            _ => 0,
        };
        self.slots.get(holes).map(|slot| (holes, slot.as_ref()))
    }

    /// When the next packet is due, with nothing in front of it or, where that may be, with holes.
    pub(super) fn next_due_us(&self, may_drop: bool) -> Option<u64> {
        let (holes, slot) = self.next_slot()?;
        slot.filter(|_| holes == 0 || may_drop).map(|slot| slot.due_us)
    }

    /// What is due: the next packet; where it is missing and `may_drop`, the next that is there (SRT §4.6). The second is how many
    /// packets were given up for it.
    pub(super) fn deliver(&mut self, now_us: u64, may_drop: bool) -> Option<(Delivery<'_>, u64)> {
        let mut given_up = 0;
        loop {
            if self.next_due_us(may_drop)? > now_us {
                return None;
            }
            let (holes, _) = self.next_slot()?;
            given_up += self.skip(holes);
            let slot = self.slots.pop_front()??;
            self.base += 1;
            (self.bytes, self.packets) = (self.bytes - slot.payload.len(), self.packets - 1);
            let last = std::mem::replace(&mut self.delivered, slot.payload);
            if self.spare.len() < SPARE_MAX && self.spare.len() <= self.packets {
                self.spare.push(last);
            }
            if slot.is_void {
                self.lost_before += 1;
                continue;
            }
            let lost_before = std::mem::take(&mut self.lost_before);
            return Some((Delivery { payload: &self.delivered, position: slot.position, lost_before }, given_up));
        }
    }

    /// Gives up the holes at the beginning.
    fn skip(&mut self, holes: usize) -> u64 {
        if holes == 0 {
            return 0;
        }
        self.slots.drain(..holes.min(self.slots.len()));
        self.base += holes as u64;
        self.dropped_until = self.base;
        self.lost_before += holes as u64;
        self.lost.remove_below(self.base)
    }

    /// The sender has given these up (SRT §3.2.9): those that are missing at the beginning are waited for no more. Those further on are
    /// given up when their time comes. How many.
    pub(super) fn drop_until(&mut self, first: u32, last: u32) -> u64 {
        let first = self.unroll(first);
        let last = unroll(first, last);
        if last < first || first > self.base {
            return 0;
        }
        let holes = match self.lost.first() {
            Some((start, end)) if start == self.base => end.min(last).saturating_sub(start).saturating_add(1),
            _ => 0,
        };
        if last < self.base { 0 } else { self.skip(usize::try_from(holes).unwrap_or(0)) }
    }

    /// Writes what is missing in front of `until`, as far as it fits into `bytes_max`, the oldest first.
    pub(super) fn write_missing(&self, until: u64, bytes_max: usize, out: &mut Vec<u8>) {
        for (first, last) in self.lost.iter().map(|(first, last)| (first, last.min(until.saturating_sub(1)))) {
            if first > last || out.len() + 8 > bytes_max {
                break;
            }
            loss::write_run(wire(first), wire(last), out);
        }
    }
}
