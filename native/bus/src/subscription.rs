//! A cursor over a log.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use arcly_codec::MediaKind;

use crate::{
    Entry, Frame, FrameFlags, Log, Track, TrackId, TrackSet,
    chunk::{Ahead, Chunk, Cursor},
    sync::Counted,
    timeline::dts_ns,
};

/// A reader of one stream: a chunk and an index in it. Costs no memory of the stream beyond the chunk it stands in, however
/// long it sleeps.
pub struct Subscription<T: Entry = Frame> {
    log: Arc<Log<T>>,
    cursor: Cursor<T>,
    options: SubscriptionOptions,
    /// Pictures that have come to what is read, and wait for a frame with which their decoder can begin.
    held: TrackFilter,
    /// Some tracks are not read, or not yet.
    filters: bool,
    /// Skip everything up to the next random access point of the video.
    awaits_key: bool,
    /// The next frame handed out does not follow the one before.
    discontinuity: bool,
    /// The timeline broke at a frame of a track that is not read: the next one handed out is behind that.
    broken: bool,
    missed: u64,
    /// Of them those that were skipped since the last jump, waiting for a key frame, and of which nobody was told yet.
    untold: u64,
    /// Final.
    evicted: bool,
}

/// How a reader reads.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionOptions {
    /// Counts in [`crate::Counters::viewers`]. Default true.
    pub is_viewer: bool,
    /// Frames that it may miss in all before it is evicted, counted as by [`Subscription::missed`]. Default none: the
    /// [`crate::LogBounds::max_lag`] of the stream.
    pub max_lag: Option<u64>,
    /// The tracks that it reads. Default all.
    pub tracks: TrackFilter,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self { is_viewer: true, max_lag: None, tracks: TrackFilter::ALL }
    }
}

/// A set of track ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackFilter([u64; 4]);

impl TrackFilter {
    /// Every track.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// No track.
    pub const NONE: Self = Self([0; 4]);

    /// These tracks and no others.
    pub fn only(ids: impl IntoIterator<Item = TrackId>) -> Self {
        let mut filter = Self::NONE;
        ids.into_iter().for_each(|id| filter.put(id, true));
        filter
    }

    fn put(&mut self, TrackId(id): TrackId, is_in: bool) {
        if let Some(word) = self.0.get_mut(usize::from(id >> 6)) {
            let bit = 1 << (id & 63);
            *word = if is_in { *word | bit } else { *word & !bit };
        }
    }

    /// Whether the track is in it.
    pub fn contains(&self, TrackId(id): TrackId) -> bool {
        self.0.get(usize::from(id >> 6)).is_some_and(|word| word & 1 << (id & 63) != 0)
    }
}

/// What a look at the log gave.
pub enum Read<'a, T = Frame> {
    /// At least one frame.
    Frames(Batch<'a, T>),
    /// Nothing new yet.
    Empty,
    /// The stream has ended and everything was read.
    Ended,
    /// This reader has missed more frames than it may. It stays so.
    Evicted,
}

/// Frames that follow each other under one track set, borrowed from the log.
pub struct Batch<'a, T = Frame> {
    /// Never empty.
    pub frames: &'a [T],
    /// The tracks of these frames.
    pub tracks: &'a Arc<TrackSet>,
    /// The first of these frames does not follow the last one read: frames were skipped, see [`Subscription::missed`], or the timeline broke
    /// at a frame of a track that is not read.
    pub discontinuity: bool,
}

impl<T: Entry> Subscription<T> {
    pub(crate) fn new(log: Arc<Log<T>>, options: SubscriptionOptions) -> Self {
        if options.is_viewer {
            log.totals.joins();
        }
        let options = SubscriptionOptions { max_lag: options.max_lag.or(log.bounds.max_lag), ..options };
        let mut subscription = Self {
            log,
            cursor: Cursor::new(Counted::new(Chunk::new(0, 0, Arc::default())), 0),
            options,
            held: TrackFilter::NONE,
            filters: options.tracks != TrackFilter::ALL,
            awaits_key: false,
            discontinuity: false,
            broken: false,
            missed: 0,
            untold: 0,
            evicted: false,
        };
        subscription.join();
        subscription
    }

    /// Up to `max` frames that are waiting. They count as read.
    ///
    /// A reader that the log has overtaken goes on at the newest random access point, or at the next one if that is no longer
    /// kept; the batch then says [`Batch::discontinuity`].
    #[inline]
    pub fn read(&mut self, max: usize) -> Read<'_, T> {
        if self.is_plain() && self.cursor.look() == Ahead::Frames {
            return Read::Frames(self.take(max));
        }
        self.seek_and_read(max)
    }

    /// Whether frames are handed out as they are: so they are in nearly all reads.
    #[inline]
    fn is_plain(&self) -> bool {
        !(self.filters | self.awaits_key | self.discontinuity | self.evicted)
    }

    #[inline(never)]
    fn seek_and_read(&mut self, max: usize) -> Read<'_, T> {
        match self.seek() {
            Sought::Empty => Read::Empty,
            Sought::Ended => Read::Ended,
            Sought::Evicted => Read::Evicted,
            Sought::Found => {
                let discontinuity = std::mem::take(&mut self.discontinuity) | std::mem::take(&mut self.broken);
                let run = self.wanted_run();
                Read::Frames(Batch { discontinuity, ..self.take(max.min(run)) })
            }
        }
    }

    /// Frames that the cursor has in front; at least one, as a look has just shown.
    #[inline]
    fn take(&mut self, max: usize) -> Batch<'_, T> {
        let (frames, tracks) = self.cursor.take(max.max(1));
        Batch { frames, tracks, discontinuity: false }
    }

    /// What [`read`](Self::read) would give, without counting it as read: for a reader that may have to stop within a frame. Follow it by
    /// [`advance`](Self::advance).
    pub fn peek(&mut self, max: usize) -> Read<'_, T> {
        match self.seek() {
            Sought::Empty => Read::Empty,
            Sought::Ended => Read::Ended,
            Sought::Evicted => Read::Evicted,
            Sought::Found => {
                let run = self.wanted_run().min(max.max(1));
                let ahead = self.cursor.ahead();
                let frames = ahead.get(..run).unwrap_or(ahead);
                let discontinuity = self.discontinuity | self.broken;
                Read::Frames(Batch { frames, tracks: &self.cursor.chunk().tracks, discontinuity })
            }
        }
    }

    /// Counts the first `frames` of those last peeked as read.
    pub fn advance(&mut self, frames: usize) {
        let (taken, _) = self.cursor.take(frames);
        self.discontinuity &= taken.is_empty();
        self.broken &= taken.is_empty();
    }

    /// Frames that the log has published before the one that comes next.
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// How far the frame that comes next is behind the newest of its track, in media time; nothing when none waits. For now and then: it looks
    /// through what is newest.
    pub fn behind(&mut self) -> Duration {
        if !matches!(self.seek(), Sought::Found) {
            return Duration::ZERO;
        }
        let chunk = self.cursor.chunk();
        let Some(next) = self.cursor.ahead().first().map(Entry::frame) else { return Duration::ZERO };
        let newest_ns = self.log.newest_ns(next.track, chunk.number);
        let behind_ns = newest_ns.map_or(0, |newest_ns| newest_ns.saturating_sub(dts_ns(next, &chunk.tracks)));
        Duration::from_nanos(u64::try_from(behind_ns).unwrap_or(0))
    }

    /// Gives up what is waiting and goes on at the newest random access point, as a reader does that the log has overtaken. Nothing
    /// happens when none is ahead. Returns how many frames it missed by that.
    pub fn skip_ahead(&mut self) -> u64 {
        let here = self.cursor.position();
        let ahead = self.log.random_access().map(|(chunk, index)| chunk.first + index as u64);
        if self.evicted || ahead.is_none_or(|ahead| ahead <= here) {
            return 0;
        }
        self.jump();
        self.cursor.position().saturating_sub(here)
    }

    /// The same for a reader who wanted nothing until now: what lies between was not missed. Where no random access point is kept it waits for
    /// the next one.
    pub fn rejoin(&mut self) {
        let here = self.cursor.position();
        let ahead = self.log.random_access().map(|(chunk, index)| chunk.first + index as u64);
        if ahead.is_none_or(|ahead| ahead > here) {
            self.join();
            self.discontinuity = true;
        }
    }

    /// Reads these tracks from here on. A video among them that was not read comes with its next key frame; the others go on meanwhile.
    pub fn set_tracks(&mut self, tracks: TrackFilter) {
        let was = std::mem::replace(&mut self.options.tracks, tracks);
        let is_new = |track: &&Track| tracks.contains(track.id) && !was.contains(track.id);
        let is_video = |track: &&Track| track.kind() == MediaKind::Video;
        let newest = self.log.tracks();
        newest.tracks.iter().filter(is_video).filter(is_new).for_each(|track| self.held.put(track.id, true));
        self.look_for_filters();
    }

    /// It begins with sound, since the pictures that are announced do not come: should they, then from their next key frame on.
    fn hold_pictures(&mut self) {
        let tracks = &self.cursor.chunk().tracks.tracks;
        let pictures = tracks.iter().filter(|track| track.kind() == MediaKind::Video);
        pictures.for_each(|track| self.held.put(track.id, true));
        self.look_for_filters();
    }

    fn look_for_filters(&mut self) {
        self.filters = self.options.tracks != TrackFilter::ALL || self.held != TrackFilter::NONE;
    }

    /// Whether [`read`](Self::read) would give anything but [`Read::Empty`]. Nothing counts as read.
    pub fn is_ready(&mut self) -> bool {
        !matches!(self.seek(), Sought::Empty)
    }

    /// The stream that is read.
    pub fn log(&self) -> &Arc<Log<T>> {
        &self.log
    }

    /// Frames skipped since the beginning because this reader was too slow. A gap counts whole, with the frames of tracks that are not read:
    /// the log has dropped them, and nobody knows any more of which tracks they were. What the filter leaves out otherwise does not count.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether a track of the frames in front is of pictures.
    fn is_video(&self, id: TrackId) -> bool {
        self.cursor.chunk().tracks.find(id).is_some_and(|track| track.kind() == MediaKind::Video)
    }

    /// Whether pictures are read.
    fn has_video(&self) -> bool {
        let tracks = &self.cursor.chunk().tracks.tracks;
        tracks.iter().any(|track| track.kind() == MediaKind::Video && self.options.tracks.contains(track.id))
    }

    /// Whether a track waits for a key frame. Another may have its number meanwhile.
    fn is_held(&self, id: TrackId) -> bool {
        self.held.contains(id) && self.is_video(id)
    }

    /// How many of the frames in front belong to tracks that are read.
    fn wanted_run(&self) -> usize {
        if !self.filters {
            return usize::MAX;
        }
        let ahead = self.cursor.ahead();
        // A track that is held and begins here comes to the front first.
        let is_wanted = |track| self.options.tracks.contains(track) && !self.is_held(track);
        ahead.iter().position(|entry| !is_wanted(entry.frame().track)).unwrap_or(ahead.len())
    }

    /// Moves to the first frame that may be handed out.
    fn seek(&mut self) -> Sought {
        loop {
            if self.evicted {
                return Sought::Evicted;
            }
            match self.cursor.look() {
                Ahead::Frames if (!self.awaits_key || self.find_key()) && self.find_wanted() => return Sought::Found,
                Ahead::Frames => {}
                Ahead::End => self.step(),
                Ahead::Nothing if !self.log.is_closed() => return Sought::Empty,
                // The last frames may have been published between the two looks.
                Ahead::Nothing if self.cursor.look() == Ahead::Nothing => return Sought::Ended,
                Ahead::Nothing => {}
            }
        }
    }

    /// Goes to the next chunk, or jumps when the log has dropped it.
    fn step(&mut self) {
        match self.log.find(self.cursor.chunk().number + 1) {
            Some(next) => self.cursor = Cursor::new(next, 0),
            None => self.jump(),
        }
    }

    fn jump(&mut self) {
        let from = self.cursor.position();
        self.join();
        let missed = self.cursor.position().saturating_sub(from);
        self.discontinuity = true;
        self.log.observer.lagged(missed);
        self.count_missed(missed);
    }

    /// Starts at the newest random access point; without one, at the newest frame, waiting for the next one.
    fn join(&mut self) {
        if let Some((chunk, index)) = self.log.random_access() {
            // Never backwards: that point may lie before what was read already.
            if chunk.first + index as u64 >= self.cursor.position() {
                self.cursor = Cursor::new(chunk, index);
                let first = self.cursor.ahead().first().map(|entry| entry.frame().track);
                let is_sound = self.has_video() && first.is_some_and(|first| !self.is_video(first));
                // It is one of the first video track: who does not read that one may have to wait for a key frame of another.
                self.awaits_key = self.filters && !is_sound;
                if is_sound {
                    self.hold_pictures();
                }
                return;
            }
        }
        if let Some(newest) = self.log.newest() {
            self.cursor = Cursor::behind(newest);
        }
        self.awaits_key = true;
    }

    /// Skips frames of tracks that are not read.
    fn find_wanted(&mut self) -> bool {
        if !self.filters {
            return true;
        }
        let is_wanted =
            |frame: &Frame| self.options.tracks.contains(frame.track) && (frame.is_key() || !self.is_held(frame.track));
        let found = self.cursor.ahead().iter().position(|entry| is_wanted(entry.frame()));
        let (skipped, _) = self.cursor.take(found.unwrap_or(usize::MAX));
        // A break is marked once for all tracks, at whichever of them shows it first.
        self.broken |= skipped.iter().any(|entry| entry.frame().flags.contains(FrameFlags::NEW_TIMELINE));
        if let Some(first) = self.cursor.ahead().first().filter(|_| found.is_some()).map(|entry| entry.frame().track)
            && self.held.contains(first)
        {
            self.held.put(first, false);
            self.look_for_filters();
        }
        found.is_some()
    }

    /// Skips to the first frame with which a decoder can begin, or to sound where the log waits for pictures no more; a stream of which no
    /// video is read can be entered anywhere.
    fn find_key(&mut self) -> bool {
        let is_read = |id| self.options.tracks.contains(id);
        let begins = |frame: &Frame| frame.is_key() && is_read(frame.track) && self.is_video(frame.track);
        let key = || self.cursor.ahead().iter().position(|entry| begins(entry.frame()));
        let mut found = if self.has_video() { key() } else { Some(0) };
        if found.is_none() {
            found = self.find_sound();
            if found.is_some() {
                self.hold_pictures();
            }
        }
        let (skipped, _) = self.cursor.take(found.unwrap_or(usize::MAX));
        let skipped = skipped.len() as u64;
        self.awaits_key = found.is_none();
        if self.discontinuity {
            self.untold += skipped;
            self.count_missed(skipped);
        }
        if !self.awaits_key || self.evicted {
            self.tell_untold();
        }
        found.is_some() && !self.evicted
    }

    /// How far in front the log is entered at a frame of sound.
    fn find_sound(&self) -> Option<usize> {
        let index = self.log.random_access_in(self.cursor.chunk().number)?;
        let distance = self.cursor.distance(index)?;
        let entry = self.cursor.ahead().get(distance)?;
        (!self.is_video(entry.frame().track)).then_some(distance)
    }

    /// Once for all that a wait has cost: it may take many looks.
    fn tell_untold(&mut self) {
        let missed = std::mem::take(&mut self.untold);
        if missed > 0 {
            self.log.observer.lagged(missed);
        }
    }

    fn count_missed(&mut self, frames: u64) {
        self.missed += frames;
        self.log.totals.missed.fetch_add(frames, Relaxed);
        if !self.evicted && self.options.max_lag.is_some_and(|max_lag| self.missed > max_lag) {
            self.evicted = true;
            self.log.totals.evicted.fetch_add(1, Relaxed);
            self.log.observer.evicted(self.missed);
        }
    }
}

enum Sought {
    Found,
    Empty,
    Ended,
    Evicted,
}

impl<T: Entry> Drop for Subscription<T> {
    fn drop(&mut self) {
        if self.options.is_viewer {
            self.log.totals.viewers.fetch_sub(1, Relaxed);
        }
    }
}
