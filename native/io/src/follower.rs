//! A stream read for one remote, which may be too slow for it.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, Read, Subscription, TrackSet};
use tokio::time::Instant;

/// A place in a stream.
pub(crate) struct Follower {
    cursor: Subscription,
    /// When there was last nothing left to send.
    caught_up: Instant,
    /// As the cursor counts, up to the last look.
    missed: u64,
}

/// What a stream has.
pub(crate) enum Followed {
    Frame {
        frame: Frame,
        tracks: Arc<TrackSet>,
        /// Something is missing in front of it.
        is_gap: bool,
    },
    Nothing,
    Ended,
}

impl Follower {
    pub(crate) fn new(cursor: Subscription) -> Self {
        Self { missed: cursor.missed(), cursor, caught_up: Instant::now() }
    }

    /// Skips to the newest key frame when the remote has been behind for too long. Returns how many frames it misses.
    pub(crate) fn catch_up(&mut self, behind_max: Duration) -> u64 {
        if self.caught_up.elapsed() <= behind_max {
            return 0;
        }
        let skipped = self.cursor.skip_ahead();
        if skipped > 0 {
            self.caught_up = Instant::now();
            self.missed = self.cursor.missed();
        }
        skipped
    }

    /// Frames that the log has dropped in front of us since the last call.
    pub(crate) fn missed(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.missed, self.cursor.missed());
        self.missed - before
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Followed {
        match self.cursor.read(1) {
            Read::Frames(batch) => match batch.frames.first() {
                Some(frame) => {
                    Followed::Frame { frame: frame.clone(), tracks: batch.tracks.clone(), is_gap: batch.discontinuity }
                }
                None => Followed::Nothing,
            },
            Read::Empty => {
                self.caught_up = Instant::now();
                Followed::Nothing
            }
            Read::Ended | Read::Evicted => Followed::Ended,
        }
    }
}
