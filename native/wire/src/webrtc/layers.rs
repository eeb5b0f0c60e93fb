//! Which rendition of a stream a viewer is sent: the best one that its path carries, with a bias against changing.
//!
//! A path that carries no more is seen at once, for its queue is filling. That it carries more is believed only after a while, and after a
//! longer one where that has just proved wrong: what a probe finds free for a moment, a stream fills for good.

use std::time::{Duration, Instant};

/// A better rendition must leave this much of the estimate free, in percent of its own rate.
const UP_PERCENT: u64 = 120;

/// The path must have carried a better rendition for so long. Doubled when one had to be given up soon, up to the maximum.
const UP_AFTER_MIN: Duration = Duration::from_secs(2);
const UP_AFTER_MAX: Duration = Duration::from_secs(32);

/// A rendition that is given up within this time was chosen wrongly.
const TRIAL: Duration = Duration::from_secs(10);

/// An estimate that has stood for so long while more is wanted is found out anew. str0m's stands for ever where the last thing it saw was a queue
/// that filled: it probes no path that is full, and that this one is so it believes until the estimate moves, which a thin rendition does not do.
const STOOD_MAX: Duration = Duration::from_secs(8);

/// The choice of one viewer.
#[derive(Debug, Clone)]
pub struct LayerChoice {
    current: usize,
    fits_since: Option<Instant>,
    up_at: Option<Instant>,
    up_after: Duration,
    /// The latest estimate, and since when there was no other.
    stood: Option<(u64, Instant)>,
}

impl LayerChoice {
    /// Begins with the rendition of that index.
    pub fn new(current: usize) -> Self {
        Self { current, fits_since: None, up_at: None, up_after: UP_AFTER_MIN, stood: None }
    }

    /// The rendition that is sent.
    pub fn current(&self) -> usize {
        self.current
    }

    /// What fits best, at once: for somebody who has been sent nothing yet.
    pub fn begin(&mut self, estimate: u64, rates: &[u64]) -> usize {
        self.current = best(estimate, 100, rates).unwrap_or(self.current);
        self.current
    }

    /// Chooses among renditions of these rates, by the estimate; both in bits per second. A rate of 0 stands for one that cannot be sent,
    /// or is not known yet.
    pub fn choose(&mut self, estimate: u64, rates: &[u64], now: Instant) -> usize {
        let rate = rates.get(self.current).copied().unwrap_or_default();
        if rate == 0 {
            // It has only just begun.
            return self.current;
        }
        if rate > estimate {
            self.fits_since = None;
            return self.leave(estimate, rates, now);
        }
        let higher = best(estimate, UP_PERCENT, rates).filter(|higher| rates.get(*higher).is_some_and(|r| *r > rate));
        let Some(higher) = higher else {
            self.fits_since = None;
            return self.current;
        };
        let since = *self.fits_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.up_after {
            (self.current, self.fits_since, self.up_at) = (higher, None, Some(now));
        }
        self.current
    }

    /// Chooses what fits best, at once: the rendition that is sent has stopped, or is too much.
    pub fn leave(&mut self, estimate: u64, rates: &[u64], now: Instant) -> usize {
        if let Some(other) = best(estimate, 100, rates).filter(|other| *other != self.current) {
            self.go_down(other, now);
        }
        self.current
    }

    /// Whether what the path carries should be found out anew: the estimate has not moved for long, and keeps the viewer from a better rendition.
    pub fn doubts(&mut self, estimate: u64, rates: &[u64], now: Instant) -> bool {
        let is_best = best(estimate, UP_PERCENT, rates) == best(u64::MAX, UP_PERCENT, rates);
        let since = self.stood.filter(|(stood, _)| *stood == estimate && !is_best).map_or(now, |(_, since)| since);
        let is_old = now.saturating_duration_since(since) >= STOOD_MAX;
        self.stood = Some((estimate, if is_old { now } else { since }));
        is_old
    }

    fn go_down(&mut self, lower: usize, now: Instant) {
        let was_wrong = self.up_at.is_some_and(|up| now.saturating_duration_since(up) < TRIAL);
        self.up_after = if was_wrong { (self.up_after * 2).min(UP_AFTER_MAX) } else { UP_AFTER_MIN };
        (self.current, self.up_at) = (lower, None);
    }
}

/// The rendition of the highest rate that fits; the one of the lowest rate where none does.
fn best(estimate: u64, percent: u64, rates: &[u64]) -> Option<usize> {
    let sent = || rates.iter().copied().enumerate().filter(|(_, rate)| *rate > 0);
    let fits = sent().filter(|(_, rate)| rate.saturating_mul(percent) / 100 <= estimate);
    fits.max_by_key(|(_, rate)| *rate).or_else(|| sent().min_by_key(|(_, rate)| *rate)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u64; 3] = [2_500_000, 800_000, 200_000];

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn down_at_once_and_up_after_a_while() {
        let (mut choice, start) = (LayerChoice::new(0), Instant::now());
        assert_eq!(choice.choose(2_500_000, &RATES, start), 0);
        assert_eq!(choice.choose(900_000, &RATES, start), 1);
        assert_eq!(choice.choose(100_000, &RATES, start), 2, "none fits: the least");
        assert_eq!(choice.choose(3_100_000, &RATES, at(start, 1)), 2);
        assert_eq!(choice.choose(3_100_000, &RATES, at(start, 2)), 2);
        assert_eq!(choice.choose(3_100_000, &RATES, at(start, 3)), 0);
    }

    #[test]
    fn what_only_just_fits_is_kept_and_not_chosen() {
        let (mut choice, start) = (LayerChoice::new(1), Instant::now());
        for second in 0..60 {
            assert_eq!(choice.choose(2_900_000, &RATES, at(start, second)), 1);
        }
        let mut choice = LayerChoice::new(0);
        assert_eq!(choice.choose(2_500_000, &RATES, start), 0);
    }

    #[test]
    fn a_doubtful_path_is_tried_less_and_less_often() {
        let (mut choice, start) = (LayerChoice::new(0), Instant::now());
        let mut ups = Vec::new();
        for second in 0..300 {
            let estimate = if choice.current() == 0 { 1_000_000 } else { 4_000_000 };
            let before = choice.current();
            if choice.choose(estimate, &RATES, at(start, second)) < before {
                ups.push(second);
            }
        }
        let waits: Vec<_> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.is_sorted() && waits.len() <= 12, "{waits:?}");
        assert!(*waits.last().unwrap() >= 32);
    }

    #[test]
    fn an_estimate_that_stands_below_what_is_wanted_is_doubted_now_and_then() {
        let start = Instant::now();
        let doubts = |estimate: &dyn Fn(u64) -> u64| {
            let mut choice = LayerChoice::new(2);
            (0..30).filter(|second| choice.doubts(estimate(*second), &RATES, at(start, *second))).collect::<Vec<_>>()
        };
        assert_eq!(doubts(&|_| 900_000), [8, 16, 24]);
        assert_eq!(doubts(&|second| 900_000 + second / 6), [], "it moves");
        assert_eq!(doubts(&|_| 3_100_000), [], "it is enough for the best");
    }

    #[test]
    fn what_is_not_sent_is_not_chosen() {
        let (mut choice, start) = (LayerChoice::new(0), Instant::now());
        assert_eq!(choice.choose(5_000_000, &[0, 800_000, 0], start), 0, "what is sent and not measured yet is kept");
        assert_eq!(choice.choose(300_000, &[2_500_000, 0, 0], start), 0);
        assert_eq!(choice.leave(5_000_000, &[0, 0, 0], start), 0, "all of them have stopped");
        assert_eq!(choice.leave(5_000_000, &[0, 800_000, 200_000], start), 1);
        assert_eq!(choice.begin(300_000, &RATES), 2);
    }
}
