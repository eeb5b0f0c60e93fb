//! One direction of a path.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::Random;

/// How bad a link is. The default is perfect: everything arrives at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkConfig {
    /// Probability that a datagram is lost, of each for itself: 0 to 1.
    pub loss: f64,
    /// Losses in bursts, beside those.
    pub burst: Option<Burst>,
    /// Time that each datagram takes.
    pub delay: Duration,
    /// Time that it takes longer at most: uniform from 0 on. Datagrams overtake each other by it, unless `keeps_order`.
    pub jitter: Duration,
    /// A datagram never arrives in front of an earlier one, however much jitter there is: a queue, as most networks are.
    pub keeps_order: bool,
    /// Probability that a datagram takes `reorder_delay` longer: 0 to 1. Whatever `keeps_order` says.
    pub reorder: f64,
    /// See `reorder`.
    pub reorder_delay: Duration,
    /// Probability that a datagram arrives twice: 0 to 1.
    pub duplicate: f64,
    /// What goes through, in bits per second; the rest queues.
    pub rate_bps: Option<u64>,
    /// Bytes that queue when there is a rate; what does not fit is lost.
    pub queue_bytes: usize,
    /// Longer datagrams are lost.
    pub mtu_bytes: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            loss: 0.0,
            burst: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            keeps_order: false,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(20),
            duplicate: 0.0,
            rate_bps: None,
            queue_bytes: 256 << 10,
            mtu_bytes: 65_535,
        }
    }
}

/// Losses in bursts: the model of Gilbert and Elliott. A link is good or bad, and changes at each datagram or not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Probability that a good link turns bad.
    pub begin: f64,
    /// Probability that a bad link turns good: the mean length of a burst is its inverse.
    pub end: f64,
    /// Probability that a datagram is lost while the link is bad.
    pub loss: f64,
}

/// What has happened to datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those that went in.
    pub sent: u64,
    /// Those that came out, duplicates included.
    pub delivered: u64,
    /// Those that will never come out.
    pub lost: u64,
    /// Those of them that found the queue full, or were too long.
    pub refused: u64,
    /// Additional copies.
    pub duplicated: u64,
}

/// One direction of a path.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    random: Random,
    is_bad: bool,
    /// When the queue in front of the rate is empty.
    free_at: Option<Instant>,
    /// When the last one arrives.
    last_arrival: Option<Instant>,
    on_the_way: BinaryHeap<Reverse<Arrival>>,
    sequence: u64,
    counts: Counts,
}

/// A datagram that will arrive; ordered by when, then by when it was sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Instant,
    sequence: u64,
    datagram: Bytes,
}

impl Link {
    /// A link without anything on its way.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            is_bad: false,
            free_at: None,
            last_arrival: None,
            on_the_way: BinaryHeap::new(),
            sequence: 0,
            counts: Counts::default(),
        }
    }

    /// Makes the link another one, for what is sent from now on: a route that changes, a cable that is pulled (`loss` 1).
    pub fn reconfigure(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// Takes a datagram.
    pub fn send(&mut self, now: Instant, datagram: Bytes) {
        self.counts.sent += 1;
        // Each draws the same numbers, lost or not, so that a change of one setting moves nothing else.
        let is_lost = self.draws_loss();
        let extra = self.draws_extra_delay();
        let is_twice = self.random.chance(self.config.duplicate);
        let Some(departure) = self.departure(now, datagram.len()) else {
            (self.counts.lost, self.counts.refused) = (self.counts.lost + 1, self.counts.refused + 1);
            return;
        };
        if is_lost {
            self.counts.lost += 1;
            return;
        }
        let at = self.arrival(departure, extra);
        if is_twice {
            self.counts.duplicated += 1;
            self.deliver_at(at, datagram.clone());
        }
        self.deliver_at(at, datagram);
    }

    fn draws_loss(&mut self) -> bool {
        let (change, in_burst, alone) = (self.random.fraction(), self.random.fraction(), self.random.fraction());
        let burst = self.config.burst.unwrap_or(Burst { begin: 0.0, end: 1.0, loss: 0.0 });
        self.is_bad = if self.is_bad { change >= burst.end } else { change < burst.begin };
        alone < self.config.loss || (self.is_bad && in_burst < burst.loss)
    }

    /// What jitter and reordering add.
    fn draws_extra_delay(&mut self) -> (Duration, Duration) {
        let jitter = self.config.jitter.mul_f64(self.random.fraction());
        let is_reordered = self.random.chance(self.config.reorder);
        (jitter, if is_reordered { self.config.reorder_delay } else { Duration::ZERO })
    }

    /// When its last bit has gone through the rate; `None` when there is no room for it.
    fn departure(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        if bytes > self.config.mtu_bytes {
            return None;
        }
        let Some(rate_bps) = self.config.rate_bps else { return Some(now) };
        let begin = self.free_at.map_or(now, |free_at| free_at.max(now));
        let queued_bits = begin.duration_since(now).as_secs_f64() * rate_bps as f64;
        if queued_bits / 8.0 + bytes as f64 > self.config.queue_bytes as f64 {
            return None;
        }
        let departure = begin + Duration::from_secs_f64(bytes as f64 * 8.0 / rate_bps.max(1) as f64);
        self.free_at = Some(departure);
        Some(departure)
    }

    fn arrival(&mut self, departure: Instant, (jitter, reorder): (Duration, Duration)) -> Instant {
        let at = departure + self.config.delay + jitter;
        let at = if self.config.keeps_order { self.last_arrival.map_or(at, |last| last.max(at)) } else { at };
        self.last_arrival = Some(at);
        at + reorder
    }

    fn deliver_at(&mut self, at: Instant, datagram: Bytes) {
        self.sequence += 1;
        self.on_the_way.push(Reverse(Arrival { at, sequence: self.sequence, datagram }));
    }

    /// The next datagram that has arrived by `now`.
    pub fn poll(&mut self, now: Instant) -> Option<Bytes> {
        if self.poll_timeout()? > now {
            return None;
        }
        let Reverse(arrival) = self.on_the_way.pop()?;
        self.counts.delivered += 1;
        Some(arrival.datagram)
    }

    /// When the next datagram arrives; `None` when there is nothing on its way.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.on_the_way.peek().map(|Reverse(arrival)| arrival.at)
    }

    /// What has happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
