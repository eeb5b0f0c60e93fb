//! The segments of a track that are listed, and those that can still be fetched (RFC 8216bis §6.2.2).

use std::{collections::VecDeque, sync::Arc};

use super::{CmafConfig, Segment, micros};

/// How long a segment can be fetched after it has left the playlist, at least if that is so long.
const RETIRED_US: i64 = 15_000_000;

/// The same as a part of a longer playlist.
///
/// Deviation from RFC 8216bis §6.2.2, which asks for as long as the longest playlist that had it: of a window of hours that would be
/// twice its memory, for the sake of players who stand at its far end and come late.
const RETIRED_PART: i64 = 8;

/// Segments that a track may have listed beyond what its window asks for. Stops a publisher who breaks its timeline at every frame: a
/// playlist must not get shorter than three target durations, so segments of a microsecond would make it grow without end.
const SPARE_SEGMENTS: usize = 64;

/// Complete segments, oldest first: first those that have left the playlist, then the listed ones.
#[derive(Debug)]
pub(super) struct Window {
    segments: VecDeque<Arc<Segment>>,
    /// When each of the retired ones is let go, on `clock_us`.
    expiries_us: VecDeque<i64>,
    /// What the configuration wishes to list.
    listed_min_us: i64,
    listed_max: usize,
    max_bytes: usize,
    never_slides: bool,
    /// Duration of all segments so far.
    clock_us: i64,
    listed_us: i64,
    bytes: usize,
    is_full: bool,
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
            max_bytes: config.max_window_bytes,
            never_slides: config.is_event,
            clock_us: 0,
            listed_us: 0,
            bytes: 0,
            is_full: false,
            shared: Arc::default(),
        }
    }

    /// Appends a segment and lets go of those whose time is over.
    pub(super) fn push(&mut self, segment: Segment, target_duration_s: Option<u64>) {
        self.clock_us = self.clock_us.saturating_add(segment.duration_us);
        self.listed_us += segment.duration_us;
        self.bytes += segment.bytes;
        self.segments.push_back(Arc::new(segment));
        if self.never_slides {
            self.is_full = self.bytes >= self.max_bytes;
        } else {
            self.slide(target_duration_s);
            self.expire();
            self.shed();
        }
        self.shared = self.segments.iter().cloned().collect();
    }

    /// An event has reached the limit of bytes: nothing may be added any more.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
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
        let Some(target_duration_s) = target_duration_s else { return };
        let least_us = i64::try_from(target_duration_s).unwrap_or(i64::MAX).saturating_mul(6_000_000);
        let least_us = least_us.max(self.listed_min_us);
        while let Some(oldest) = self.segments.get(self.expiries_us.len()).filter(|_| self.listed() > 1) {
            let oldest_us = oldest.duration_us;
            if self.listed_us - oldest_us < least_us && self.listed() <= self.listed_max {
                return;
            }
            // It stays available for its own duration and that of the longest playlist which had it.
            let stays_us = oldest_us.saturating_add(self.listed_us).min(RETIRED_US.max(self.listed_us / RETIRED_PART));
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

    /// Keeps to the limit of bytes, the newest segment excepted: memory comes before the promise of availability.
    fn shed(&mut self) {
        while self.bytes > self.max_bytes && self.segments.len() > 1 {
            self.free_oldest();
        }
    }

    fn free_oldest(&mut self) {
        let Some(oldest) = self.segments.pop_front() else { return };
        self.bytes -= oldest.bytes;
        if self.expiries_us.pop_front().is_none() {
            self.listed_us -= oldest.duration_us;
        }
    }
}
