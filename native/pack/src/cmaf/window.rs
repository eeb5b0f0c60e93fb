//! The segments of a track that are listed, and those that can still be fetched (RFC 8216bis §6.2.2).

use std::{collections::VecDeque, sync::Arc};

use super::{CmafConfig, Segment, micros};
use crate::held::LATE_US;

/// How long a segment can be fetched after it has left the playlist: six target durations, in which players come for the playlist as often, or
/// this part of a longer playlist.
///
/// Deviation from RFC 8216bis §6.2.2, which asks for as long as the longest playlist that had it: of a window of hours that would be
/// twice its memory, for the sake of players who stand at its far end and come late.
const RETIRED_PART: i64 = 8;

/// Segments that a track may have listed beyond what its window asks for. Stops a publisher who breaks its timeline at every frame: a
/// playlist must not get shorter than three target durations, so segments of a microsecond would make it grow without end.
const SPARE_SEGMENTS: usize = 64;

/// Target durations that are listed at least, and of which all is in memory.
pub(super) const LISTED_TARGETS: u64 = 6;

pub(super) fn targets_us(target_duration_s: u64, count: u64) -> i64 {
    i64::try_from(target_duration_s.saturating_mul(count)).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

/// Complete segments, oldest first: first those that have left the playlist, then the listed ones.
#[derive(Debug)]
pub(super) struct Window {
    segments: VecDeque<Arc<Segment>>,
    /// When each of the retired ones is let go, on `clock_us`.
    expiries_us: VecDeque<i64>,
    /// What the configuration wishes to list.
    listed_min_us: i64,
    listed_max: usize,
    never_slides: bool,
    /// Duration of all segments so far.
    clock_us: i64,
    listed_us: i64,
    /// See [`CmafConfig::memory`]. None: nobody moves anything.
    memory_us: Option<i64>,
    /// Target durations are not known from the start.
    least_us: i64,
    /// All of `segments`, for views.
    shared: Arc<[Arc<Segment>]>,
}

impl Window {
    pub(super) fn new(config: &CmafConfig) -> Self {
        let (window_us, target_us) = (micros(config.window), micros(config.segment_target).max(1));
        let in_window = usize::try_from(window_us / target_us).unwrap_or(usize::MAX);
        Self {
            segments: VecDeque::new(),
            expiries_us: VecDeque::new(),
            listed_min_us: window_us,
            listed_max: in_window.saturating_mul(2).saturating_add(SPARE_SEGMENTS),
            never_slides: config.is_event,
            clock_us: 0,
            listed_us: 0,
            memory_us: config.memory.map(micros),
            least_us: 0,
            shared: Arc::default(),
        }
    }

    /// Appends a segment and lets go of those whose time is over.
    pub(super) fn push(&mut self, segment: Segment, target_duration_s: Option<u64>) {
        self.clock_us = self.clock_us.saturating_add(segment.duration_us);
        self.listed_us += segment.duration_us;
        self.segments.push_back(Arc::new(segment));
        self.least_us = target_duration_s.map_or(0, |target_s| targets_us(target_s, LISTED_TARGETS));
        self.forget_parts(target_duration_s);
        if !self.never_slides {
            self.slide(target_duration_s);
            self.expire();
            self.shed();
        }
        self.share();
    }

    /// Lets go of all.
    pub(super) fn clear(&mut self) {
        self.segments.clear();
        self.expiries_us.clear();
        self.listed_us = 0;
        self.share();
    }

    fn share(&mut self) {
        self.shared = self.segments.iter().cloned().collect();
    }

    /// Lets go of the oldest segment, though its time is not over; false where there is but one. A playlist has no holes: what is not in
    /// memory goes too when it is older than what must.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let has_more = self.segments.len() > 1;
        if has_more {
            self.free_oldest();
            self.share();
        }
        has_more
    }

    /// The oldest segment, where it is not the only one.
    pub(super) fn droppable(&self) -> Option<&Arc<Segment>> {
        self.segments.front().filter(|_| self.segments.len() > 1)
    }

    /// Every segment that can be fetched, oldest first.
    pub(super) fn shared(&self) -> Arc<[Arc<Segment>]> {
        self.shared.clone()
    }

    /// How many of them have left the playlist.
    pub(super) fn retired(&self) -> usize {
        self.expiries_us.len()
    }

    /// The one that was made last.
    pub(super) fn newest(&self) -> Option<&Arc<Segment>> {
        self.segments.back()
    }

    /// The longest segment.
    pub(super) fn longest_us(&self) -> Option<i64> {
        self.segments.iter().map(|segment| segment.duration_us).max()
    }

    fn listed(&self) -> usize {
        self.segments.len() - self.expiries_us.len()
    }

    /// Takes the oldest segments off the playlist, as long as enough remains.
    ///
    /// Six target durations, where three are asked for (RFC 8216bis §6.2.2): nothing that a player who asks for a delta update
    /// (`CAN-SKIP-UNTIL`) has not seen yet may have left.
    fn slide(&mut self, target_duration_s: Option<u64>) {
        if target_duration_s.is_none() {
            return;
        }
        let least_us = self.least_us.max(self.listed_min_us);
        while let Some(oldest) = self.segments.get(self.expiries_us.len()).filter(|_| self.listed() > 1) {
            let oldest_us = oldest.duration_us;
            if self.listed_us - oldest_us < least_us && self.listed() <= self.listed_max {
                return;
            }
            // It stays available for its own duration and that of the longest playlist which had it.
            let stays_us =
                oldest_us.saturating_add(self.listed_us).min(self.least_us.max(self.listed_us / RETIRED_PART));
            self.listed_us -= oldest_us;
            self.expiries_us.push_back(self.clock_us.saturating_add(stays_us));
        }
    }

    fn expire(&mut self) {
        while self.expiries_us.len() > self.listed_max
            || self.expiries_us.front().is_some_and(|at| *at <= self.clock_us)
        {
            self.free_oldest();
        }
    }

    /// Lets go of what the host has not moved out of memory in time, the newest segment excepted, with all that is older.
    fn shed(&mut self) {
        let Some(memory_us) = self.memory_us else { return };
        let most_us = memory_us.max(self.least_us).saturating_mul(2) + LATE_US;
        let mut us = 0;
        // From the newest back to where it is too much.
        let within = self.segments.iter().rev().take_while(|segment| {
            us += if segment.memory_bytes() > 0 { segment.duration_us } else { 0 };
            us <= most_us
        });
        let kept = within.count().max(1);
        while self.segments.len() > kept {
            self.free_oldest();
        }
    }

    /// Memory of all segments.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.memory_bytes()).sum()
    }

    /// Of encrypted segments, parts are bytes of their own: they go when no playlist lists them any more, and players have fetched them.
    fn forget_parts(&self, target_duration_s: Option<u64>) {
        let Some(target_s) = target_duration_s else { return };
        let keep_us = targets_us(target_s, LISTED_TARGETS);
        let mut behind_us = 0;
        for segment in self.segments.iter().rev() {
            if behind_us > keep_us.saturating_add(targets_us(target_s, 2)) {
                return;
            }
            if behind_us > keep_us {
                segment.forget_parts();
            }
            behind_us += segment.duration_us;
        }
    }

    fn free_oldest(&mut self) {
        let Some(oldest) = self.segments.pop_front() else { return };
        if self.expiries_us.pop_front().is_none() {
            self.listed_us -= oldest.duration_us;
        }
    }
}
