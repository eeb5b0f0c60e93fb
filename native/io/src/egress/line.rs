//! What whoever reads from a viewer's connection and its pump have to tell each other, where there is such a one (RTMP).

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use arcly_bus::{Batch, Track, TrackFilter, TrackSet};
use arcly_codec::MediaKind;
use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::{joiner::Seat, viewer::End};
use crate::lock;

/// Bytes that may wait to be said: a peer that asks and asks, and reads nothing, is cut off.
const SAID_MAX_BYTES: usize = 64 << 10;

/// A line between the two.
#[derive(Default)]
pub(crate) struct Line {
    has_news: AtomicBool,
    news: Mutex<News>,
    /// Told that there is news.
    pump: Mutex<Option<Waker>>,
    over: Mutex<Option<End>>,
    /// Of a viewer who has left. Boxed, for hardly anybody does.
    seat: Mutex<Option<Box<Seat>>>,
    bell: Notify,
}

/// What a viewer's pump has not heard yet.
#[derive(Default)]
pub(crate) struct News {
    /// To be sent between two packets.
    pub(crate) said: BytesMut,
    /// What it wants from now on, if that has changed.
    pub(crate) wants: Option<Wants>,
    /// It wants no more, and the connection goes on.
    pub(crate) leaves: bool,
}

/// What a viewer wants of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) paused: bool,
    /// Of the tracks of the packets, none but these.
    pub(crate) only: TrackFilter,
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

impl Default for Wants {
    fn default() -> Self {
        Self { paused: false, only: TrackFilter::ALL, audio: true, video: true }
    }
}

impl Wants {
    /// The tracks of those that there are.
    pub(crate) fn filter(&self, tracks: &TrackSet) -> TrackFilter {
        if !self.chooses_by_kind() {
            return self.only;
        }
        let is_wanted = |track: &&Track| match track.kind() {
            MediaKind::Video => self.video,
            MediaKind::Audio => self.audio,
            MediaKind::Data => true,
        };
        let ids = tracks.tracks.iter().filter(is_wanted).map(|track| track.id);
        TrackFilter::only(ids.filter(|id| self.only.contains(*id)))
    }

    /// Whether which tracks are wanted hangs on those that there are.
    pub(crate) fn chooses_by_kind(&self) -> bool {
        !(self.audio && self.video)
    }

    /// Whether something is wanted that `was` did not.
    pub(crate) fn has_more_than(&self, was: &Self) -> bool {
        self.audio && !was.audio || self.video && !was.video
    }

    /// Whether headers go in front of this batch for a viewer who was last told of the tracks of revision `told`. Where tracks change they are in
    /// the packet of the next frame, and a viewer who wants no frames of its track has not had it.
    pub(crate) fn needs_header<T>(&self, told: Option<u32>, batch: &Batch<'_, T>) -> bool {
        let leaves_out = || self.chooses_by_kind() || self.only != TrackFilter::ALL;
        match told {
            None => true,
            Some(revision) => batch.discontinuity || revision != batch.tracks.revision && leaves_out(),
        }
    }
}

impl Line {
    /// Has the pump send `bytes` between two packets, soon; false when too much waits already.
    pub(crate) fn say(&self, bytes: &Bytes) -> bool {
        self.tell(|news| {
            let fits = news.said.len() + bytes.len() <= SAID_MAX_BYTES;
            if fits {
                news.said.extend_from_slice(bytes);
            }
            fits
        })
    }

    pub(crate) fn want(&self, wants: Wants) {
        self.tell(|news| news.wants = Some(wants));
    }

    /// Ends the viewer between two packets: [`End::Left`].
    pub(crate) fn leave(&self) {
        self.tell(|news| news.leaves = true);
    }

    fn tell<T>(&self, change: impl FnOnce(&mut News) -> T) -> T {
        let result = change(&mut lock(&self.news));
        self.has_news.store(true, Ordering::Release);
        lock(&self.pump).iter().for_each(Waker::wake_by_ref);
        result
    }

    /// Wakes at news from now on. Look behind this: there may be some already.
    pub(crate) fn wake_on_news(&self, waker: Waker) {
        *lock(&self.pump) = Some(waker);
    }

    pub(crate) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    pub(crate) fn take_news(&self) -> News {
        self.has_news.store(false, Ordering::Release);
        std::mem::take(&mut lock(&self.news))
    }

    /// What the viewer had, who left in order.
    pub(crate) fn give_back(&self, seat: Seat) {
        *lock(&self.seat) = Some(Box::new(seat));
    }

    /// Takes what the viewer had; none when it did not leave in order.
    pub(crate) fn take_seat(&self) -> Option<Seat> {
        lock(&self.seat).take().map(|seat| *seat)
    }

    /// The pump has let the viewer go.
    pub(crate) fn hang_up(&self, end: End) {
        lock(&self.over).get_or_insert(end);
        self.bell.notify_one();
    }

    /// Waits until the pump has let the viewer go.
    pub(crate) async fn over(&self) -> End {
        loop {
            if let Some(end) = *lock(&self.over) {
                return end;
            }
            self.bell.notified().await;
        }
    }
}
