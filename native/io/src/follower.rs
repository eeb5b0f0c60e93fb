//! A stream read for one remote, which may be too slow for it.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, Read, Subscription, TrackSet};
use tokio::time::Instant;

/// A place in a stream.
pub(crate) struct Follower {
    cursor: Subscription,
    /// Since when something has been waiting to be sent; none when all was read.
    behind_since: Option<Instant>,
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
        Self { missed: cursor.missed(), cursor, behind_since: None }
    }

    /// Notes whether something waits. To be called when something may have come, whether or not it can be sent: the remote is behind from then
    /// on, and not while the stream says nothing.
    pub(crate) fn look(&mut self) {
        if self.behind_since.is_none() && self.cursor.is_ready() {
            self.behind_since = Some(Instant::now());
        }
    }

    /// Skips to the newest key frame when the remote has been behind for too long. Returns how many frames it misses.
    pub(crate) fn catch_up(&mut self, behind_max: Duration) -> u64 {
        if self.behind_since.is_none_or(|since| since.elapsed() <= behind_max) {
            return 0;
        }
        let skipped = self.cursor.skip_ahead();
        if skipped > 0 {
            self.behind_since = Some(Instant::now());
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
                self.behind_since = None;
                Followed::Nothing
            }
            Read::Ended | Read::Evicted => Followed::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use arcly_bus::{LogBounds, LogWriter};
    use tokio::time::advance;

    use super::*;
    use crate::rtmp::tests::{picture, track};

    const BEHIND_MAX: Duration = Duration::from_secs(5);

    /// The number of the next picture, as its time says it.
    fn next(follower: &mut Follower) -> Option<i64> {
        match follower.next() {
            Followed::Frame { frame, .. } => Some(frame.dts / 3_000),
            Followed::Nothing | Followed::Ended => None,
        }
    }

    fn publish(source: &mut LogWriter, pictures: std::ops::Range<u64>) {
        for n in pictures {
            source.publish(picture(n, 500)).unwrap();
        }
    }

    fn source(pictures: u64) -> (LogWriter, Follower) {
        let mut source = LogWriter::new(LogBounds::default(), Arc::new(()));
        source.set_tracks(vec![track()]).unwrap();
        publish(&mut source, 0..pictures);
        let follower = Follower::new(source.log().tap());
        (source, follower)
    }

    /// Found by reading: where a source had stalled for longer than a remote may be behind, what it sent then was thrown away.
    #[tokio::test(start_paused = true)]
    async fn who_has_read_all_is_not_behind_however_long_the_stream_was_silent() {
        let (mut source, mut follower) = source(5);
        while next(&mut follower).is_some() {}
        advance(Duration::from_secs(7)).await;
        publish(&mut source, 5..35);
        follower.look();
        assert_eq!(follower.catch_up(BEHIND_MAX), 0);
        assert_eq!(next(&mut follower), Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_send_is_behind_from_the_first_frame_that_waits() {
        let (mut source, mut follower) = source(5);
        while next(&mut follower).is_some() {}
        publish(&mut source, 5..6);
        follower.look();
        advance(Duration::from_secs(6)).await;
        publish(&mut source, 6..35);
        follower.look();
        assert_eq!(follower.catch_up(BEHIND_MAX), 25);
        assert_eq!(next(&mut follower), Some(30));
    }
}
