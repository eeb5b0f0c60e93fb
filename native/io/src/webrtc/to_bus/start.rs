//! The beginning of a stream: frames wait until pictures and sound are known, so that it does not begin with a change of its tracks.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use arcly_bus::{Frame, Track};

/// How long the second track is waited for, from the first frame on: an encoder answers a request for a key frame sooner.
const WAIT: Duration = Duration::from_millis(1000);

/// Frames that wait at most, and their bytes.
const FRAMES_MAX: usize = 200;
const BYTES_MAX: usize = 8 << 20;

/// What waits. Opened once, for good.
#[derive(Default)]
pub(super) struct Start {
    is_open: bool,
    tracks: Option<Vec<Track>>,
    frames: VecDeque<Frame>,
    bytes: usize,
    since: Option<Instant>,
}

impl Start {
    /// Other tracks hold from the next frame on.
    pub(super) fn set_tracks(&mut self, tracks: Vec<Track>) {
        self.tracks = Some(tracks);
    }

    pub(super) fn push(&mut self, frame: Frame, now: Instant) {
        self.since.get_or_insert(now);
        self.bytes += frame.payload.len();
        self.frames.push_back(frame);
    }

    /// Lets frames through when all tracks are there, or have been waited for long enough.
    pub(super) fn open(&mut self, is_whole: bool, now: Instant) {
        let is_late = self.since.is_some_and(|since| now.saturating_duration_since(since) >= WAIT);
        self.is_open |= is_whole || is_late || self.frames.len() > FRAMES_MAX || self.bytes > BYTES_MAX;
    }

    /// Nothing will come any more.
    pub(super) fn give_up(&mut self) {
        self.is_open = true;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.since.filter(|_| !self.is_open).map(|since| since + WAIT)
    }

    pub(super) fn take_tracks(&mut self) -> Option<Vec<Track>> {
        if self.is_open { self.tracks.take() } else { None }
    }

    pub(super) fn take_frame(&mut self) -> Option<Frame> {
        let frame = if self.is_open { self.frames.pop_front() } else { None };
        self.bytes -= frame.as_ref().map_or(0, |frame| frame.payload.len());
        frame
    }
}
