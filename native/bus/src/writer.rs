//! What writes a log: appends frames, bounds memory, repairs times. A publisher holds it while it publishes; between two publishers
//! of one stream it can be kept, and the log lives on.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arcly_codec::MediaKind;

use crate::{
    BusError, Entry, Frame, Log, LogBounds, LogObserver, Track, TrackId, TrackSet,
    chunk::ChunkWriter,
    log::{Position, Size},
    timeline::Timeline,
    wake::News,
};

/// Without pictures every frame will do to begin with, but players want some to start from: joiners get up to so many that have passed,
/// 0.7 s of AAC at 48 kHz.
#[cfg(not(loom))]
const SOUND_RUN_FRAMES: usize = 32;
/// The same, few enough for a model checker.
#[cfg(loom)]
const SOUND_RUN_FRAMES: usize = 2;

/// Pictures fail to come when so many other frames have come without one, a third of a second of AAC at 48 kHz: who waits for pictures is
/// woken by these, then.
const LATE_FRAMES: u32 = 16;

/// Pictures are not waited for any more when so many other frames for each track have come without one: two seconds of a stream of
/// pictures and AAC at 48 kHz, and some more of one with many tracks of sound, which come beside each other.
#[cfg(not(loom))]
const ABSENT_FRAMES: usize = 48;
/// The same, few enough for a model checker.
#[cfg(loom)]
const ABSENT_FRAMES: usize = 1;

/// The writing end of a log. Dropping it ends the stream.
pub struct LogWriter<T: Entry = Frame> {
    log: Arc<Log<T>>,
    chunk: ChunkWriter<T>,
    tracks: Arc<TrackSet>,
    /// The track whose key frames are where readers enter; none without video.
    first_video: Option<TrackId>,
    /// Frames of other tracks since the last picture.
    without_picture: u32,
    /// The random access point is a frame of sound.
    enters_at_sound: bool,
    timeline: Timeline,
    kept: Kept,
    /// From the newest key frame on.
    gop: Size,
}

/// What the publishing of a frame brought about, besides the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// The bounds have dropped the random access point at which joiners would begin: they wait for the next one. Said once in a GOP.
    pub gop_truncated: bool,
}

/// What the chunks in the table hold, oldest first; the last is the one being written.
struct Kept {
    oldest: u64,
    chunks: VecDeque<Size>,
    total: Size,
}

impl LogWriter {
    /// A new log of frames within `bounds`; `observer` hears of slow readers.
    pub fn new(bounds: LogBounds, observer: Arc<dyn LogObserver>) -> Self {
        Self::of_entries(bounds, observer)
    }
}

impl<T: Entry> LogWriter<T> {
    /// A new log within `bounds`; `observer` hears of slow readers.
    pub fn of_entries(bounds: LogBounds, observer: Arc<dyn LogObserver>) -> Self {
        let tracks = Arc::new(TrackSet::default());
        let chunk = ChunkWriter::new(0, 0, tracks.clone());
        let log = Arc::new(Log::new(bounds, observer, chunk.chunk().clone()));
        let mut chunks = VecDeque::with_capacity(log.capacity_chunks() + 1);
        chunks.push_back(Size::default());
        let kept = Kept { oldest: 0, chunks, total: Size::default() };
        let (timeline, gop) = (Timeline::default(), Size::default());
        let (first_video, without_picture, enters_at_sound) = (None, 0, false);
        Self { log, chunk, tracks, first_video, without_picture, enters_at_sound, timeline, kept, gop }
    }

    /// The log that is written to.
    pub fn log(&self) -> &Arc<Log<T>> {
        &self.log
    }

    /// The present tracks.
    pub fn tracks(&self) -> &Arc<TrackSet> {
        &self.tracks
    }

    /// Says that a new sender goes on where another left: its clock may begin anywhere. Its first frame is put `pause` behind the
    /// last one of the old sender, and is a [`crate::FrameFlags::DISCONTINUITY`].
    pub fn resume(&mut self, pause: std::time::Duration) {
        self.timeline.resume(pause);
    }

    /// Replaces the tracks. Readers see the change exactly between the frame before and the frame after this call.
    ///
    /// # Errors
    /// [`BusError::Closed`].
    pub fn set_tracks(&mut self, mut tracks: Vec<Track>) -> Result<(), BusError> {
        if self.log.is_closed() {
            return Err(BusError::Closed);
        }
        tracks.sort_by_key(|track| track.id);
        let revision = self.tracks.revision.wrapping_add(1);
        self.tracks = Arc::new(TrackSet { revision, tracks });
        self.first_video = self.tracks.first(MediaKind::Video).map(|track| track.id);
        self.timeline.keep(&self.tracks);
        self.next_chunk();
        Ok(())
    }

    /// Appends one entry. Its times are repaired first (see [`Frame::dts`]). Takes no lock, and allocates only once in
    /// [`crate::CHUNK_FRAMES`] frames.
    ///
    /// # Errors
    /// [`BusError::Closed`] when the stream was ended, [`BusError::UnknownTrack`], [`BusError::FrameTooLarge`]; the frame is
    /// then dropped and the stream goes on.
    #[inline]
    pub fn publish(&mut self, mut entry: T) -> Result<Published, BusError> {
        let is_video = self.check(&mut entry)?;
        let (bytes, frame) = (entry.bytes(), entry.frame());
        let is_key = frame.is_key() && self.first_video == Some(frame.track);
        if self.chunk.is_full() || self.kept.newest().bytes > self.log.bounds.chunk_bytes() {
            self.next_chunk();
        }
        let position = Position { chunk: self.chunk.chunk().number, index: self.chunk.len() };
        // Cannot fail: a full chunk was replaced just above.
        if self.chunk.push(entry).is_ok() {
            self.account(bytes, is_video);
        }
        let is_entry = is_key || (position.index.is_multiple_of(SOUND_RUN_FRAMES) && self.sound_is_entered(is_video));
        if is_entry {
            self.gop = Size { frames: 1, bytes };
            self.enters_at_sound = !is_key;
            self.log.mark_random_access(position);
        } else if is_video && self.enters_at_sound {
            self.await_key();
        }
        let gop_truncated = self.keep_bounds();
        let is_picture = self.ends_wait_for_picture(is_video);
        self.log.wakes.wake(News { is_picture, is_entry: is_entry || position.index == 0 });
        Ok(Published { gop_truncated })
    }

    /// Refuses what cannot be published, repairs the times of what can, and says whether it is video.
    #[inline(always)]
    fn check(&mut self, entry: &mut T) -> Result<bool, BusError> {
        if self.log.is_closed() {
            return Err(BusError::Closed);
        }
        let Some(track) = self.tracks.find(entry.frame().track) else {
            return Err(BusError::UnknownTrack { track: entry.frame().track });
        };
        let (limit, seen) = (self.log.bounds.bytes, entry.bytes());
        if seen > limit {
            return Err(BusError::FrameTooLarge { limit, seen });
        }
        let kind = track.kind();
        if self.timeline.repair(entry.frame_mut(), (track.clock_rate_hz, kind)) {
            self.log.totals.repaired.fetch_add(1, Relaxed);
        }
        Ok(kind == MediaKind::Video)
    }

    /// Whether who waits for pictures is to look: at one, and at all else where there are none or they fail to come.
    #[inline]
    fn ends_wait_for_picture(&mut self, is_video: bool) -> bool {
        self.without_picture = if is_video { 0 } else { self.without_picture.saturating_add(1) };
        is_video || self.first_video.is_none() || self.without_picture >= LATE_FRAMES
    }

    /// Whether readers may begin at a frame of sound: there are no pictures, or none come and no key picture is kept.
    fn sound_is_entered(&self, is_video: bool) -> bool {
        let absent = self.tracks.tracks.len().saturating_mul(ABSENT_FRAMES);
        let are_absent = || !is_video && self.without_picture as usize >= absent;
        let has_no_key = || self.enters_at_sound || self.log.random_access_chunk().is_none();
        self.first_video.is_none() || (are_absent() && has_no_key())
    }

    /// Pictures come after all, and not from a key picture on: who joins waits for that.
    #[cold]
    fn await_key(&mut self) {
        self.enters_at_sound = false;
        self.log.forget_random_access();
    }

    fn account(&mut self, bytes: usize, is_video: bool) {
        let totals = &self.log.totals;
        // This thread is the only writer of these: a load and a store, not a locked addition.
        let add = |total: &AtomicU64, more: u64| total.store(total.load(Relaxed) + more, Relaxed);
        add(&totals.bytes, bytes as u64);
        if is_video {
            add(&totals.video_frames, 1);
            add(&totals.video_bytes, bytes as u64);
        } else {
            add(&totals.other_frames, 1);
        }
        self.kept.add(bytes);
        self.gop.add(bytes);
    }

    /// Drops the oldest chunks until the bounds hold, but none of a GOP that is within its own; whether that or its size has taken the
    /// random access point away.
    #[inline]
    fn keep_bounds(&mut self) -> bool {
        let Self { log, kept, gop, .. } = self;
        let entry_is_kept = log.random_access_chunk().is_none_or(|chunk| chunk >= kept.oldest);
        // Nearly always so, and cheap to see.
        if entry_is_kept && gop.fits(log.bounds.gop()) && !kept.exceeds(&log.bounds) {
            return false;
        }
        self.drop_chunks()
    }

    #[inline(never)]
    fn drop_chunks(&mut self) -> bool {
        let Self { log, kept, gop, .. } = self;
        let entry = log.random_access_chunk();
        let fits = gop.fits(log.bounds.gop());
        let needed = entry.filter(|_| fits).unwrap_or(u64::MAX);
        while kept.exceeds(&log.bounds) && kept.oldest < needed {
            log.forget(kept.drop_oldest());
        }
        let truncated = entry.is_some_and(|chunk| !fits || chunk < kept.oldest);
        if truncated {
            log.forget_random_access();
        }
        truncated
    }

    /// Opens a new chunk, then seals the present one: a reader that sees the seal can find the next chunk or knows that it lags.
    fn next_chunk(&mut self) {
        let old = self.chunk.chunk().clone();
        self.chunk = ChunkWriter::new(old.number + 1, old.first + self.chunk.len() as u64, self.tracks.clone());
        if self.kept.chunks.len() == self.log.capacity_chunks() {
            self.kept.drop_oldest();
        }
        self.log.install(self.chunk.chunk().clone());
        self.kept.chunks.push_back(Size::default());
        old.seal();
    }
}

impl Kept {
    fn newest(&self) -> Size {
        self.chunks.back().copied().unwrap_or_default()
    }

    fn add(&mut self, bytes: usize) {
        if let Some(newest) = self.chunks.back_mut() {
            newest.add(bytes);
        }
        self.total.add(bytes);
    }

    /// Whether the bounds hold without the oldest chunk (frames), or do not hold with it (bytes). The newest is never dropped.
    fn exceeds(&self, bounds: &LogBounds) -> bool {
        let oldest = self.chunks.front().copied().unwrap_or_default();
        let spare_frames = self.total.frames - oldest.frames >= bounds.frames;
        self.chunks.len() > 1 && (spare_frames || self.total.bytes > bounds.bytes)
    }

    /// Takes the oldest chunk off the account; its number.
    fn drop_oldest(&mut self) -> u64 {
        let size = self.chunks.pop_front().unwrap_or_default();
        self.total.frames -= size.frames;
        self.total.bytes -= size.bytes;
        self.oldest += 1;
        self.oldest - 1
    }
}

impl<T: Entry> Drop for LogWriter<T> {
    fn drop(&mut self) {
        self.log.close();
    }
}
