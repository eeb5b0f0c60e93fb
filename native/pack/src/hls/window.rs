//! The segments that are listed, and those that can still be fetched (RFC 8216 §6.2.2).

use std::{collections::VecDeque, sync::Arc};

use super::{HlsConfig, LONGEST_TIME, micros, segment::Segment};
use crate::held::LATE_US;

/// Complete segments, oldest first. The listed ones are in the playlist; the retired ones have left it and can still be
/// fetched by players that read an older one.
#[derive(Debug)]
pub(super) struct Window {
    listed: VecDeque<Arc<Segment>>,
    retired: VecDeque<Retired>,
    /// Segments that the playlist may have.
    playlist_segments: usize,
    max_bytes: usize,
    /// `EXT-X-TARGETDURATION`, once it is settled. It never changes then (RFC 8216 §6.2.1).
    target_duration_s: Option<u64>,
    target_duration_min_s: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    discontinuity_sequence: u64,
    /// Duration of all segments so far: the clock by which retired segments expire.
    clock_us: i64,
    listed_us: i64,
    /// See [`HlsConfig::memory`]. None: nobody moves anything.
    memory_us: Option<i64>,
}

#[derive(Debug)]
struct Retired {
    segment: Arc<Segment>,
    expires_us: i64,
}

/// The most segments in the playlist, and as many retired, unless the configuration says more. Stops a publisher who
/// breaks its timeline at every frame: a playlist must not get shorter than three target durations, so segments of a
/// microsecond would make it grow without end.
const MAX_SHORT_SEGMENTS: usize = 64;

impl Window {
    pub(super) fn new(config: &HlsConfig) -> Self {
        let target = config.segment_target.max(config.target_duration_min).min(LONGEST_TIME);
        Self {
            listed: VecDeque::new(),
            retired: VecDeque::new(),
            playlist_segments: config.playlist_segments.max(1),
            max_bytes: config.max_window_bytes,
            target_duration_s: None,
            target_duration_min_s: target.as_secs().saturating_add(u64::from(target.subsec_nanos() > 0)).max(1),
            discontinuity_sequence: 0,
            clock_us: 0,
            listed_us: 0,
            memory_us: config.memory.map(micros),
        }
    }

    /// Appends a segment and lets go of those whose time is over.
    ///
    /// A segment that ended only because the timeline broke says nothing on how long segments of this stream are: it does
    /// not `settle` the target duration.
    pub(super) fn push(&mut self, segment: Segment, settles: bool) {
        self.clock_us = self.clock_us.saturating_add(segment.duration_us);
        self.listed_us += segment.duration_us;
        self.listed.push_back(Arc::new(segment));
        if settles || self.listed.len() >= self.playlist_segments {
            self.settle_target_duration();
        }
        self.slide();
        self.expire();
        self.shed();
    }

    /// Lets go of all.
    pub(super) fn clear(&mut self) {
        while self.unlist().is_some() {}
        self.retired.clear();
    }

    /// Fixes the target duration: every `EXTINF`, rounded, is at most that (RFC 8216 §4.3.3.1).
    pub(super) fn settle_target_duration(&mut self) {
        let longest_us = self.listed.iter().map(|segment| segment.duration_us).max().unwrap_or(0);
        let longest_s = u64::try_from((longest_us + 500_000) / 1_000_000).unwrap_or(0);
        self.target_duration_s.get_or_insert(longest_s.max(self.target_duration_min_s));
    }

    pub(super) fn target_duration_s(&self) -> Option<u64> {
        self.target_duration_s
    }

    pub(super) fn discontinuity_sequence(&self) -> u64 {
        self.discontinuity_sequence
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.listed.iter()
    }

    /// Every segment that can be fetched, oldest first.
    pub(super) fn available(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.retired.iter().map(|retired| &retired.segment).chain(&self.listed)
    }

    /// Memory of all segments.
    pub(super) fn bytes(&self) -> usize {
        self.available().map(|segment| segment.memory_bytes()).sum()
    }

    /// Takes the oldest segments off the playlist, as long as three target durations remain (RFC 8216 §6.2.2).
    fn slide(&mut self) {
        if self.target_duration_s.is_none() {
            return;
        }
        let least_us = self.least_us();
        while self.listed.len() > self.playlist_segments {
            let oldest_us = self.listed.front().map_or(0, |oldest| oldest.duration_us);
            if self.listed_us - oldest_us < least_us && self.listed.len() <= self.most_listed() {
                return;
            }
            // It stays available for its own duration and that of the longest playlist which had it.
            let expires_us = self.clock_us.saturating_add(oldest_us).saturating_add(self.listed_us);
            let Some(segment) = self.unlist() else { return };
            self.retired.push_back(Retired { segment, expires_us });
        }
    }

    /// Three target durations (RFC 8216 §6.2.2).
    fn least_us(&self) -> i64 {
        i64::try_from(self.target_duration_s.unwrap_or(0)).unwrap_or(i64::MAX).saturating_mul(3_000_000)
    }

    fn most_listed(&self) -> usize {
        self.playlist_segments.max(MAX_SHORT_SEGMENTS)
    }

    fn unlist(&mut self) -> Option<Arc<Segment>> {
        let oldest = self.listed.pop_front()?;
        self.listed_us -= oldest.duration_us;
        self.discontinuity_sequence += u64::from(oldest.discontinuity);
        Some(oldest)
    }

    fn expire(&mut self) {
        let clock_us = self.clock_us;
        while self.retired.len() > self.most_listed()
            || self.retired.front().is_some_and(|oldest| oldest.expires_us <= clock_us)
        {
            self.retired.pop_front();
        }
    }

    /// Keeps to the limits of memory, the newest segment excepted: memory comes before the promise of availability. What is not in memory
    /// goes too when something younger must: a playlist has no holes.
    fn shed(&mut self) {
        let most_us = self.memory_us.map(|memory_us| memory_us.max(self.least_us()).saturating_mul(2) + LATE_US);
        let (mut bytes, mut us) = (0, 0);
        // From the newest back to where it is too much.
        let within = self.available().rev().take_while(|segment| {
            let here = segment.memory_bytes();
            bytes += here;
            us += if here > 0 { segment.duration_us } else { 0 };
            bytes <= self.max_bytes && most_us.is_none_or(|most_us| us <= most_us)
        });
        let kept = within.count().max(1);
        while self.retired.len() + self.listed.len() > kept {
            if self.retired.pop_front().is_none() {
                self.unlist();
            }
        }
    }
}
