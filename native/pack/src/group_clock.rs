//! Where renditions of one content are on the wall clock, and how many breaks are in front of that: all at the same place (RFC 8216bis
//! §6.2.4).

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Nearer together on the wall clock, two streams have one clock of media: that of an encoder which sends all sizes. Each of them came at a
/// moment of its own all the same, and a player that goes over from one to the other would stumble by the difference.
pub(crate) const ONE_CLOCK_US: i64 = 1_000_000;

/// Clocks that are remembered. A publisher that comes again mostly begins a new one.
const KNOWN_MAX: usize = 8;

/// What the renditions of a group have told players of the wall clock so far. The first one says it, and those that came a little earlier or
/// later agree; a stream with another clock of media keeps its own.
#[derive(Debug, Default)]
pub struct GroupClock {
    /// Microseconds from the time of the media to the time since 1970, newest first.
    known_us: Mutex<VecDeque<i64>>,
    /// Breaks of the one that had most, or that all are to have.
    breaks: AtomicU64,
    /// Held by each rendition of which players have been told, for as long as it lives.
    seats: Arc<()>,
}

impl GroupClock {
    /// What a rendition tells that has found `offset_us` by itself.
    pub(crate) fn agree(&self, offset_us: i64) -> i64 {
        let mut known = self.known_us.lock().unwrap_or_else(PoisonError::into_inner);
        let away_us = |known_us: &i64| known_us.saturating_sub(offset_us).saturating_abs();
        if let Some(nearest_us) = known.iter().copied().min_by_key(away_us).filter(|us| away_us(us) < ONE_CLOCK_US) {
            return nearest_us;
        }
        known.truncate(KNOWN_MAX - 1);
        known.push_front(offset_us);
        offset_us
    }

    /// As [`Self::agree`], of a rendition that begins. Where its clock began later than those so far, the others that live break: DASH cannot
    /// tell of it in a Period that began before.
    pub(crate) fn join(&self, offset_us: i64) -> i64 {
        let latest_us = self.known_us.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().max();
        let is_alone = Arc::strong_count(&self.seats) == 1;
        if !is_alone && latest_us.is_some_and(|latest_us| offset_us.saturating_sub(latest_us) >= ONE_CLOCK_US) {
            self.breaks.fetch_add(1, Ordering::Relaxed);
        }
        self.agree(offset_us)
    }

    /// The seat of a rendition of which players are told from now on.
    pub(crate) fn seat(&self) -> Arc<()> {
        self.seats.clone()
    }

    /// Breaks of the rendition that had most.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::Relaxed)
    }

    /// A rendition has so many.
    pub(crate) fn note_breaks(&self, breaks: u64) {
        self.breaks.fetch_max(breaks, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_says_it_and_those_nearby_agree() {
        let clock = GroupClock::default();
        assert_eq!([5_000_000, 5_150_000, 4_850_000].map(|us| clock.agree(us)), [5_000_000; 3]);
        assert_eq!([9_000_000, 4_000_000].map(|us| clock.agree(us)), [9_000_000, 4_000_000], "clocks of their own");
        assert_eq!([8_500_000, 4_400_000, 4_600_000].map(|us| clock.agree(us)), [9_000_000, 4_000_000, 5_000_000]);
    }

    #[test]
    fn one_that_begins_with_a_later_clock_is_a_break_of_all_that_live() {
        let clock = GroupClock::default();
        assert_eq!([2_000_000, 3_000_000].map(|us| (clock.join(us), clock.breaks())), [(2_000_000, 0), (3_000_000, 0)]);
        let _lives = clock.seat();
        let clock_us = [3_500_000, 4_000_000];
        assert_eq!(clock_us.map(|us| (clock.join(us), clock.breaks())), [(3_000_000, 0), (4_000_000, 1)]);
    }

    #[test]
    fn of_those_that_live_only_one_that_is_a_second_later_than_all_is_a_break() {
        let clock = GroupClock::default();
        let _lives = clock.seat();
        let joined = [5_000_000, 5_900_000, 4_000_000, 6_000_000, 6_500_000].map(|us| (clock.join(us), clock.breaks()));
        assert_eq!(joined.map(|(_, breaks)| breaks), [0, 0, 0, 1, 1]);
        assert_eq!(joined.map(|(us, _)| us / 1_000), [5_000, 5_000, 4_000, 6_000, 6_000]);
    }

    #[test]
    fn of_many_clocks_the_oldest_is_forgotten() {
        let clock = GroupClock::default();
        (0..1_000).for_each(|n| assert_eq!(clock.agree(n * ONE_CLOCK_US), n * ONE_CLOCK_US));
        assert_eq!(clock.known_us.lock().unwrap().len(), KNOWN_MAX);
        assert_eq!([999_400_000, 1].map(|us| clock.agree(us)), [999_000_000, 1]);
    }
}
