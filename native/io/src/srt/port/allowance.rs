//! So many a second of something, and no more.

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Counts anew each second.
#[derive(Debug)]
pub(super) struct Allowance {
    per_second: u32,
    left: u32,
    since: Duration,
}

impl Allowance {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, left: per_second, since: Duration::ZERO }
    }

    /// Takes one; false when there is none left in this second.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        if now >= self.since + SECOND {
            (self.left, self.since) = (self.per_second, now);
        }
        let is_left = self.left > 0;
        self.left -= u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_comes_again_in_the_next_second() {
        let mut allowance = Allowance::new(2);
        let takes =
            |allowance: &mut Allowance, ms| (0..4).filter(|_| allowance.take(Duration::from_millis(ms))).count();
        assert_eq!([takes(&mut allowance, 0), takes(&mut allowance, 999)], [2, 0]);
        assert_eq!([takes(&mut allowance, 1000), takes(&mut allowance, 60_000)], [2, 2]);
    }
}
