//! What was sent and may be asked for again, and what still has to be sent (SRT §4.6, §4.8).

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    number::{unroll, wire},
    packet::{DataHeader, KeyFlag, LossReport, Position},
    range_set::RangeSet,
};

/// A packet of ours.
#[derive(Debug)]
struct Kept {
    payload: Bytes,
    position: Position,
    key: KeyFlag,
    message: u32,
    /// When the application gave it to us.
    origin_us: u64,
    /// When it last left; none when it has not.
    sent_us: Option<u64>,
}

/// A packet that leaves now.
pub(super) struct Leaving {
    pub(super) header: DataHeader,
    pub(super) payload: Bytes,
}

/// The ring of packets from the oldest that is not acknowledged to the newest that was given to us.
#[derive(Debug)]
pub(super) struct SendBuffer {
    kept: VecDeque<Kept>,
    /// The sequence number of the first of them.
    base: u64,
    /// The first that has never left.
    next: u64,
    lost: RangeSet,
    bytes: usize,
}

/// What a loss report asks for that we do not have.
pub(super) type Missing = Option<(u64, u64)>;

impl SendBuffer {
    pub(super) fn new(first: u64) -> Self {
        Self { kept: VecDeque::new(), base: first, next: first, lost: RangeSet::default(), bytes: 0 }
    }

    /// Takes a packet; its sequence number is the next one.
    pub(super) fn push(&mut self, now_us: u64, payload: Bytes, position: Position, key: KeyFlag, message: u32) {
        self.bytes += payload.len();
        self.kept.push_back(Kept { payload, position, key, message, origin_us: now_us, sent_us: None });
    }

    pub(super) fn end(&self) -> u64 {
        self.base + self.kept.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Packets that have left and are not acknowledged.
    pub(super) fn in_flight(&self) -> u64 {
        self.next - self.base
    }

    /// From the oldest to the newest.
    pub(super) fn span_us(&self) -> u64 {
        let ends = self.kept.front().zip(self.kept.back());
        ends.map_or(0, |(first, last)| last.origin_us.saturating_sub(first.origin_us))
    }

    /// When the oldest was given to us.
    pub(super) fn oldest_us(&self) -> Option<u64> {
        self.kept.front().map(|kept| kept.origin_us)
    }

    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.next < self.end()
    }

    /// All in front of this number, as it looks on the wire, has arrived; whether that is new. What was never sent cannot have arrived.
    pub(super) fn acknowledge(&mut self, next_sequence: u32) -> bool {
        let until = unroll(self.base, next_sequence);
        let is_new = until > self.base && until <= self.next;
        if is_new {
            self.forget_until(until);
        }
        is_new
    }

    fn forget_until(&mut self, until: u64) {
        let count = usize::try_from(until - self.base).unwrap_or(usize::MAX).min(self.kept.len());
        self.bytes -= self.kept.drain(..count).map(|kept| kept.payload.len()).sum::<usize>();
        self.base = until;
        self.next = self.next.max(until);
        self.lost.remove_below(until);
    }

    /// Forgets what was given to us at `until_us` or before: it would be too late (SRT §4.6). How many packets and bytes that were.
    pub(super) fn drop_until(&mut self, until_us: u64) -> (u64, usize) {
        let (count, bytes) = (self.kept.iter().take_while(|kept| kept.origin_us <= until_us).count(), self.bytes);
        if count > 0 {
            self.forget_until(self.base + count as u64);
        }
        (count as u64, bytes - self.bytes)
    }

    /// Takes a loss report, of which only what was sent and is still here counts. How many packets that are, and what is not here any
    /// more. It costs by the length of the report, whatever it claims.
    pub(super) fn report(&mut self, report: LossReport<'_>) -> (u64, Missing) {
        let (mut count, mut missing) = (0, None);
        for (first, last) in report.runs() {
            let first = unroll(self.base, first);
            // The end is near its beginning; before it, it is none.
            let last = unroll(first, last);
            if last < first || first >= self.next {
                continue;
            }
            if first < self.base {
                missing = Some((first, last.min(self.base - 1)));
            }
            let (first, last) = (first.max(self.base), last.min(self.next - 1));
            if first <= last {
                count += last - first + 1;
                self.lost.insert(first, last);
            }
        }
        (count, missing)
    }

    /// Sends the newest packet once more: if all behind the last acknowledgement was lost, nobody would miss it.
    pub(super) fn probe(&mut self) {
        if self.next > self.base {
            self.lost.insert(self.next - 1, self.next - 1);
        }
    }

    /// The oldest lost packet that may leave again: not when it has left less than `repeat_us` ago for the second time.
    pub(super) fn retransmit(
        &mut self,
        now_us: u64,
        repeat_us: u64,
        start_us: u64,
        destination: u32,
    ) -> Option<Leaving> {
        while let Some((sequence, _)) = self.lost.first() {
            self.lost.remove(sequence);
            let index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
            let kept = self.kept.get_mut(index)?;
            if kept.sent_us.is_some_and(|sent_us| sent_us & REPEATED != 0 && now_us < (sent_us & !REPEATED) + repeat_us)
            {
                continue;
            }
            kept.sent_us = Some(now_us | REPEATED);
            return Some(kept.leave(sequence, true, start_us, destination));
        }
        None
    }

    /// The next packet that has never left.
    pub(super) fn transmit(&mut self, now_us: u64, start_us: u64, destination: u32) -> Option<Leaving> {
        let index = usize::try_from(self.next - self.base).ok()?;
        let kept = self.kept.get_mut(index)?;
        kept.sent_us = Some(now_us);
        let leaving = kept.leave(self.next, false, start_us, destination);
        self.next += 1;
        Some(leaving)
    }
}

/// In `sent_us`: it was a retransmission. No clock here comes so far.
const REPEATED: u64 = 1 << 63;

impl Kept {
    fn leave(&self, sequence: u64, is_retransmitted: bool, start_us: u64, destination: u32) -> Leaving {
        let header = DataHeader {
            sequence: wire(sequence),
            position: self.position,
            is_ordered: true,
            key: self.key,
            is_retransmitted,
            message: self.message,
            timestamp: self.origin_us.saturating_sub(start_us) as u32,
            destination,
        };
        Leaving { header, payload: self.payload.clone() }
    }
}
