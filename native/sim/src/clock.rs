//! A clock that only moves when it is told to.

use std::time::{Duration, Instant};

/// A virtual clock. It gives out [`Instant`]s, since that is what protocol machines take.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    now: Instant,
}

impl Clock {
    /// A clock that stands at its beginning. Only differences of its times mean something.
    #[expect(clippy::new_without_default, reason = "two clocks are never the same")]
    pub fn new() -> Self {
        let start = Instant::now();
        Self { start, now: start }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// Lets time pass up to a moment; none, when that has been.
    pub fn advance_to(&mut self, moment: Instant) {
        self.now = self.now.max(moment);
    }
}
