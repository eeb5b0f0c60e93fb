//! Packets put into their order, and what is missing among them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Limits, Packet};

/// A step forwards that is a loss and not another beginning (`MAX_DROPOUT`, RFC 3550 §A.1).
const MAX_DROPOUT: i64 = 3_000;
/// A step backwards that is a late packet and not another beginning (`MAX_MISORDER`, RFC 3550 §A.1, is 100; a retransmission
/// may come later).
const MAX_MISORDER: i64 = -1_000;

/// A packet in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The packet.
    pub packet: Packet,
    /// How many are missing in front of it, and will not come any more.
    pub lost: u32,
    /// The sender has begun anew: sequence and time have nothing to do with those in front.
    pub restarts: bool,
}

/// Puts the packets of one source into the order of their sequence numbers. What comes in order goes through at once; what
/// comes behind a gap waits for what is missing, for a bounded time and in bounded number. Duplicates are dropped.
///
/// Push what comes, then poll until there is nothing.
#[derive(Debug)]
pub struct Reorder {
    max_waiting: usize,
    max_wait: Duration,
    /// The number that goes out next.
    next: Option<i64>,
    /// What follows `next`: the first place is its own, and empty.
    waiting: VecDeque<Option<(Instant, Packet)>>,
    ready: VecDeque<Ordered>,
    /// When the oldest of those that wait came.
    waits_since: Option<Instant>,
    /// Missing ones that have been given up since the last packet went out.
    lost: u32,
    restarts: bool,
    /// The number that would prove that a sender has begun anew, and the packet in front of it.
    proof: Option<(u16, Packet)>,
    counts: ReorderCounts,
}

/// What has happened to the packets of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReorderCounts {
    /// Missing ones that were given up.
    pub lost: u64,
    /// Packets that came twice, or after they had been given up.
    pub late: u64,
    /// Packets that came behind one with a greater number, in time.
    pub reordered: u64,
}

impl Reorder {
    /// Nothing has come yet; the first packet begins the order.
    pub fn new(limits: &Limits) -> Self {
        Self {
            max_waiting: limits.reorder_packets.max(1),
            max_wait: limits.reorder_time,
            next: None,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            waits_since: None,
            lost: 0,
            restarts: false,
            proof: None,
            counts: ReorderCounts::default(),
        }
    }

    /// Says which number the first packet has, where that is known (`RTP-Info`, RFC 7826 §18.45): those that come before it
    /// wait. Nothing happens when one has come.
    pub fn begin_at(&mut self, sequence: u16) {
        self.next.get_or_insert(i64::from(sequence));
    }

    /// Takes a packet that came at `now`.
    pub fn push(&mut self, now: Instant, packet: Packet) {
        let sequence = packet.header.sequence;
        let next = *self.next.get_or_insert(i64::from(sequence));
        let step = i64::from(sequence.wrapping_sub(next as u16) as i16);
        match step {
            0 => self.fill(packet),
            1..MAX_DROPOUT => self.wait(now, step as usize, packet),
            MAX_MISORDER..0 => self.pass_over_late(),
            _ => self.begin_anew(packet),
        }
    }

    /// One whose turn is over. Where nothing is waited for, as over a connection, it shows that what is missing may come after all: relays pass
    /// packets on in the order in which they got them.
    fn pass_over_late(&mut self) {
        self.counts.late += 1;
        if self.max_wait.is_zero() && self.counts.lost > 0 {
            self.max_wait = Limits::default().reorder_time;
        }
    }

    /// The packet that was waited for.
    fn fill(&mut self, packet: Packet) {
        self.proof = None;
        if self.waiting.is_empty() {
            self.advance(packet);
            return;
        }
        self.counts.reordered += 1;
        self.waiting.pop_front();
        self.advance(packet);
        self.release();
    }

    /// A packet behind a gap.
    fn wait(&mut self, now: Instant, place: usize, packet: Packet) {
        self.proof = None;
        if place >= self.max_waiting {
            // The oldest places make room, whether they are filled or not.
            let give_up = place + 1 - self.max_waiting;
            self.give_up(give_up);
            return self.push(now, packet);
        }
        if self.waiting.len() <= place {
            self.waiting.resize(place + 1, None);
        } else {
            self.counts.reordered += 1;
        }
        match self.waiting.get_mut(place) {
            Some(slot @ None) => *slot = Some((now, packet)),
            _ => self.counts.late += 1,
        }
        self.waits_since.get_or_insert(now);
    }

    /// A number from nowhere: two that follow each other are another beginning, one is an accident.
    fn begin_anew(&mut self, packet: Packet) {
        let sequence = packet.header.sequence;
        let Some((_, first)) = self.proof.take_if(|(proof, _)| *proof == sequence) else {
            self.proof = Some((sequence.wrapping_add(1), packet));
            return;
        };
        self.give_up(self.waiting.len());
        self.next = Some(i64::from(first.header.sequence));
        (self.lost, self.restarts) = (0, true);
        self.advance(first);
        self.advance(packet);
    }

    /// Passes over `places`, filled or not, then over what follows in order.
    fn give_up(&mut self, places: usize) {
        let beyond = places.saturating_sub(self.waiting.len());
        for _ in 0..places - beyond {
            match self.waiting.pop_front().flatten() {
                Some((_, packet)) => self.advance(packet),
                None => self.lose(1),
            }
        }
        self.lose(beyond);
        self.release();
    }

    /// Passes over places that are empty.
    fn lose(&mut self, places: usize) {
        self.next = self.next.map(|next| next + places as i64);
        self.lost = self.lost.saturating_add(places as u32);
        self.counts.lost += places as u64;
    }

    /// Lets go what has nothing missing in front of it.
    fn release(&mut self) {
        while self.waiting.front().is_some_and(Option::is_some) {
            if let Some((_, packet)) = self.waiting.pop_front().flatten() {
                self.advance(packet);
            }
        }
        self.waits_since = self.waiting.iter().flatten().map(|(came, _)| *came).min();
    }

    /// Lets one go.
    fn advance(&mut self, packet: Packet) {
        self.next = self.next.map(|next| next + 1);
        let (lost, restarts) = (std::mem::take(&mut self.lost), std::mem::take(&mut self.restarts));
        self.ready.push_back(Ordered { packet, lost, restarts });
    }

    /// The next packet in order.
    pub fn poll(&mut self) -> Option<Ordered> {
        self.ready.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called next: when those that wait have waited long enough.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waits_since.and_then(|since| since.checked_add(self.max_wait))
    }

    /// Gives up what has been waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|timeout| timeout <= now) {
            let missing = self.waiting.iter().take_while(|slot| slot.is_none()).count();
            self.give_up(missing);
        }
    }

    /// Gives up all that is missing: nothing more will come.
    pub fn flush(&mut self) {
        self.give_up(self.waiting.len());
    }

    /// The numbers that are missing in front of those that wait: what a NACK asks for.
    pub fn missing(&self) -> impl Iterator<Item = u16> {
        let next = self.next.unwrap_or_default();
        let empty = self.waiting.iter().zip(next..).filter(|(slot, _)| slot.is_none());
        empty.map(|(_, sequence)| sequence as u16)
    }

    /// Packets that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.iter().flatten().count()
    }

    /// Bytes of their payloads.
    pub fn buffered_bytes(&self) -> usize {
        self.waiting.iter().flatten().map(|(_, packet)| packet.payload.len()).sum()
    }

    /// What has happened.
    pub fn counts(&self) -> ReorderCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Header;

    const LIMITS: Limits =
        Limits { access_unit_bytes: 0, reorder_packets: 8, reorder_time: Duration::from_millis(100) };

    fn packet(sequence: u16) -> Packet {
        Packet { header: Header { sequence, ..Header::default() }, ..Packet::default() }
    }

    /// Number and loss of each.
    fn drain(reorder: &mut Reorder) -> Vec<(u16, u32)> {
        std::iter::from_fn(|| reorder.poll()).map(|ordered| (ordered.packet.header.sequence, ordered.lost)).collect()
    }

    fn pushed(now: Instant, sequences: &[u16]) -> (Reorder, Vec<(u16, u32)>) {
        let mut reorder = Reorder::new(&LIMITS);
        sequences.iter().for_each(|&sequence| reorder.push(now, packet(sequence)));
        let out = drain(&mut reorder);
        (reorder, out)
    }

    #[test]
    fn order_goes_through_at_once() {
        let (reorder, out) = pushed(Instant::now(), &[65_534, 65_535, 0, 1]);
        assert_eq!(out, [(65_534, 0), (65_535, 0), (0, 0), (1, 0)]);
        assert_eq!((reorder.waiting(), reorder.poll_timeout()), (0, None));
    }

    #[test]
    fn what_comes_late_is_waited_for_and_duplicates_are_dropped() {
        let (reorder, out) = pushed(Instant::now(), &[65_534, 1, 0, 0, 65_535, 65_534, 2]);
        assert_eq!(out, [(65_534, 0), (65_535, 0), (0, 0), (1, 0), (2, 0)]);
        assert_eq!(reorder.counts(), ReorderCounts { lost: 0, late: 2, reordered: 3 });
    }

    #[test]
    fn what_is_missing_is_given_up_after_its_time() {
        let start = Instant::now();
        let (mut reorder, out) = pushed(start, &[1, 4, 6]);
        assert_eq!(out, [(1, 0)]);
        assert_eq!(reorder.missing().collect::<Vec<_>>(), [2, 3, 5]);
        reorder.push(start + Duration::from_millis(50), packet(9));
        assert_eq!(reorder.poll_timeout(), Some(start + LIMITS.reorder_time));
        reorder.handle_timeout(start + Duration::from_millis(99));
        assert_eq!(drain(&mut reorder), []);
        reorder.handle_timeout(start + LIMITS.reorder_time);
        assert_eq!(drain(&mut reorder), [(4, 2), (6, 1)]);
        assert_eq!(reorder.missing().collect::<Vec<_>>(), [7, 8]);
        assert_eq!(reorder.poll_timeout(), Some(start + Duration::from_millis(150)));
        reorder.flush();
        assert_eq!((drain(&mut reorder), reorder.counts().lost), (vec![(9, 2)], 5));
        reorder.push(start, packet(7));
        assert_eq!((drain(&mut reorder), reorder.counts().late), (vec![], 1));
    }

    /// Over a connection each pair that a relay passed on in the order in which it got them cost a picture.
    #[test]
    fn where_nothing_is_waited_for_the_first_one_that_comes_late_is_the_last() {
        let now = Instant::now();
        let mut reorder = Reorder::new(&Limits { reorder_time: Duration::ZERO, ..LIMITS });
        for sequence in [0, 2, 1, 3, 5, 4, 7, 6, 8] {
            reorder.push(now, packet(sequence));
            reorder.handle_timeout(now);
        }
        assert_eq!(drain(&mut reorder), [(0, 0), (2, 1), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0)]);
        assert_eq!(reorder.counts(), ReorderCounts { lost: 1, late: 1, reordered: 2 });
        reorder.push(now, packet(10));
        assert_eq!(reorder.poll_timeout(), Some(now + Limits::default().reorder_time));
    }

    #[test]
    fn a_known_beginning_is_waited_for() {
        let mut reorder = Reorder::new(&LIMITS);
        reorder.begin_at(10);
        [11, 10, 12].iter().for_each(|&sequence| reorder.push(Instant::now(), packet(sequence)));
        assert_eq!(drain(&mut reorder), [(10, 0), (11, 0), (12, 0)]);
    }

    #[test]
    fn a_bounded_number_waits() {
        let (reorder, out) = pushed(Instant::now(), &[0, 2, 3, 9]);
        assert_eq!(out, [(0, 0), (2, 1), (3, 0)]);
        assert_eq!(reorder.waiting(), 1);
        let (reorder, out) = pushed(Instant::now(), &[0, 2, 500]);
        assert_eq!((out, reorder.waiting()), (vec![(0, 0), (2, 1)], 1));
        assert_eq!(reorder.missing().count(), 7);
    }

    /// Two packets in a row prove another beginning; a single one from nowhere is dropped.
    #[test]
    fn a_sender_that_begins_anew_is_followed() {
        let now = Instant::now();
        let (mut reorder, out) = pushed(now, &[10, 30_000, 11, 30_001, 12]);
        assert_eq!(out, [(10, 0), (11, 0), (12, 0)]);
        reorder.push(now, packet(30_000));
        reorder.push(now, packet(30_001));
        let restarted: Vec<_> = std::iter::from_fn(|| reorder.poll()).collect();
        assert_eq!(restarted.iter().map(|ordered| ordered.restarts).collect::<Vec<_>>(), [true, false]);
        assert_eq!(restarted[0].packet.header.sequence, 30_000);
    }
}
