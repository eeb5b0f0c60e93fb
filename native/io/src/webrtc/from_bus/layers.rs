//! Which rendition of a group a viewer is sent, and the change from one to another.
//!
//! A change begins with a key frame of the other rendition, which is asked for. Until it comes the old one goes on; where the path carries
//! far less than that, pictures pause instead, or they would arrive later and later.

use std::time::{Duration, Instant};

use arcly_wire::webrtc::LayerChoice;

use super::feed::Feed;

/// A change whose key frame has not come by then is given up: that rendition stands still.
const CHANGE_MAX: Duration = Duration::from_secs(10);

/// Times of renditions that are apart by less than this are on one clock.
const ONE_CLOCK_MICROS: i64 = 1_000_000;

/// Pictures pause when the rendition takes so much of what the path carries, in percent.
const PAUSE_PERCENT: u64 = 150;

/// A change that waits for a key frame.
#[derive(Debug, Clone, Copy)]
struct Change {
    to: usize,
    /// The key frame is there or behind it.
    from: u64,
    since: Instant,
    pauses: bool,
}

/// The rendition of one viewer.
#[derive(Debug)]
pub(super) struct Layers {
    current: usize,
    choice: LayerChoice,
    estimate: Option<u64>,
    change: Option<Change>,
    /// What is added to the times of the current rendition, in microseconds.
    shift: i64,
    /// The time of the latest picture that was sent, and when.
    latest: Option<(i64, Instant)>,
}

impl Layers {
    pub(super) fn new() -> Self {
        Self { current: 0, choice: LayerChoice::new(0), estimate: None, change: None, shift: 0, latest: None }
    }

    pub(super) fn current(&self) -> usize {
        self.current
    }

    pub(super) fn shift(&self) -> i64 {
        self.shift
    }

    pub(super) fn is_paused(&self) -> bool {
        self.change.is_some_and(|change| change.pauses)
    }

    /// The rendition whose key frame is waited for.
    pub(super) fn awaited(&self) -> Option<usize> {
        self.change.map(|change| change.to)
    }

    pub(super) fn estimate(&mut self, bits_per_s: u64) {
        self.estimate = Some(bits_per_s);
    }

    /// A picture of that time was sent.
    pub(super) fn sent(&mut self, micros: i64, now: Instant) {
        self.latest = Some((micros, now));
    }

    /// Chooses a rendition to begin with. `is_gone`: the current one cannot be sent.
    pub(super) fn begin(&mut self, rates: &[u64], is_gone: bool) {
        if let Some(estimate) = self.estimate.or(is_gone.then_some(u64::MAX)) {
            self.current = self.choice.begin(estimate, rates);
        }
    }

    /// Chooses, and waits for the key frame of what was chosen; the position of it when it is there. `is_gone` tells which cannot be
    /// sent any more.
    pub(super) fn turn(
        &mut self,
        feeds: &[&Feed],
        rates: &[u64],
        is_gone: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Option<u64> {
        let estimate = self.estimate.unwrap_or(u64::MAX);
        if let Some(change) = self.change.filter(|change| is_gone(change.to)) {
            let to = self.choice.leave(estimate, rates, now);
            if to != change.to {
                self.change = Some(Change { to, from: feeds.get(to)?.end(), since: now, ..change });
            }
        } else if self.change.is_none() {
            let to = match self.estimate {
                _ if is_gone(self.current) => self.choice.leave(estimate, rates, now),
                Some(estimate) => self.choice.choose(estimate, rates, now),
                None => self.current,
            };
            if to != self.current {
                let from = feeds.get(to)?.end();
                let rate = rates.get(self.current).copied().unwrap_or_default();
                let pauses = rate.saturating_mul(100) > estimate.saturating_mul(PAUSE_PERCENT);
                self.change = Some(Change { to, from, since: now, pauses });
            }
        }
        let change = self.change?;
        if let Some(key) = feeds.get(change.to)?.entry().filter(|key| *key >= change.from) {
            self.change = None;
            self.enter(change.to, feeds, key, now);
            return Some(key);
        }
        if now.saturating_duration_since(change.since) >= CHANGE_MAX {
            // Back to what was sent, from its next key frame on when it has paused.
            let from = feeds.get(self.current)?.end();
            self.choice = LayerChoice::new(self.current);
            self.change = change.pauses.then_some(Change { to: self.current, from, since: now, pauses: true });
        }
        None
    }

    /// Goes on with another rendition where the last one ended. Those of one encoder share a clock; others are taken to be of now.
    fn enter(&mut self, to: usize, feeds: &[&Feed], key: u64, now: Instant) {
        self.current = to;
        let Some(first) = feeds.get(to).and_then(|feed| feed.packet(key)) else { return };
        let Some((latest, sent_at)) = self.latest else { return };
        let gap = first.micros.saturating_sub(latest);
        self.shift = if (1..ONE_CLOCK_MICROS).contains(&gap) {
            0
        } else {
            let elapsed = now.saturating_duration_since(sent_at).as_micros().max(1_000) as i64;
            latest.saturating_add(elapsed).saturating_sub(first.micros)
        };
    }

    /// The estimate, when it should be found out anew.
    pub(super) fn doubts(&mut self, rates: &[u64], now: Instant) -> Option<u64> {
        self.estimate.filter(|estimate| self.choice.doubts(*estimate, rates, now))
    }

    /// The rendition of that index is gone.
    pub(super) fn lose(&mut self, gone: usize, feeds: &[&Feed], now: Instant) {
        let below = |index: usize| if index > gone { index - 1 } else { index };
        let was_current = self.current == gone;
        self.current = if was_current { 0 } else { below(self.current) };
        self.choice = LayerChoice::new(self.current);
        self.change =
            self.change.filter(|change| change.to != gone).map(|change| Change { to: below(change.to), ..change });
        if was_current {
            let from = feeds.first().map_or(0, |feed| feed.end());
            self.change = Some(Change { to: 0, from, since: now, pauses: true });
        }
    }
}
