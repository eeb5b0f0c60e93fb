//! The log of one stream: a table of chunks, the newest random access point, and who waits.

use std::sync::Arc;

use crate::{
    CHUNK_FRAMES, Entry, Frame, LogObserver, Subscription, SubscriptionOptions, TrackId, TrackSet,
    chunk::{Chunk, Cursor},
    sync::{AtomicBool, AtomicU64, Counted, Ordering, Shared},
    timeline::dts_ns,
    upstream::Upstream,
    wake::{News, WakeList},
};

/// How much of a stream is kept for late joiners and slow readers. Memory per stream is bounded by the larger of `bytes` and `gop_bytes`
/// plus an eighth of it, plus one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Frames kept. Default 1024: some 13 s of 30 pictures and 47 audio frames a second.
    pub frames: usize,
    /// Payload bytes kept. Default 32 MiB: 10 s at 25 Mbit/s.
    pub bytes: usize,
    /// Frames, audio among them, up to which the present GOP is kept whole for joiners, whatever `frames` says. One that outgrows this
    /// is truncated: nobody enters the stream before the next key frame, unless pictures have ceased. Default none: `frames`.
    pub gop_frames: Option<usize>,
    /// The same in payload bytes. Default none: `bytes`.
    pub gop_bytes: Option<usize>,
    /// Frames that a reader may miss in all before it is evicted, unless it says otherwise. Default none: it never is.
    pub max_lag: Option<u64>,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self { frames: 1024, bytes: 32 << 20, gop_frames: None, gop_bytes: None, max_lag: None }
    }
}

impl LogBounds {
    pub(crate) fn gop(&self) -> Size {
        Size { frames: self.gop_frames.unwrap_or(self.frames), bytes: self.gop_bytes.unwrap_or(self.bytes) }
    }

    /// Bytes with which a chunk is closed: memory is freed by the chunk.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.bytes / CHUNKS_OF_BYTES
    }

    /// Slots in the table of a log: chunks can be closed early (a change of tracks, many bytes), so there is room for more of them than
    /// full ones need, and for as many as a GOP may have that is larger than the rest. A power of two.
    fn chunks(&self) -> usize {
        let frames = self.frames.max(self.gop().frames).min(FRAMES_MAX);
        let of_gop = self.gop().bytes.div_ceil(self.chunk_bytes().max(1)).min(frames);
        let more = of_gop.saturating_sub(CHUNKS_OF_BYTES).min(GOP_CHUNKS_MAX);
        (frames.div_ceil(CHUNK_FRAMES) * 2 + more + SPARE_CHUNKS).next_power_of_two()
    }
}

/// More than anybody means to keep of one stream: bounds the table of its log to some megabytes.
const FRAMES_MAX: usize = 1 << 24;

/// More than any GOP has that somebody means to keep: the same bound for those of many times the ring.
const GOP_CHUNKS_MAX: usize = 1 << 16;

/// Chunks that are closed by bytes hold such a part of the bound each.
const CHUNKS_OF_BYTES: usize = 8;

/// Room for these, and for changes of tracks.
#[cfg(not(loom))]
const SPARE_CHUNKS: usize = 16;
/// Few, so that a model checker sees the table go round.
#[cfg(loom)]
const SPARE_CHUNKS: usize = 0;

/// Frames and their payload bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

impl Size {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }

    pub(crate) fn fits(self, bound: Self) -> bool {
        self.frames <= bound.frames && self.bytes <= bound.bytes
    }
}

/// A stream as readers and writers share it.
pub struct Log<T = Frame> {
    /// Chunk `n` is at `n % table.len()`, a power of two, until it is dropped or written over.
    table: Box<[Shared<Chunk<T>>]>,
    /// Number of the newest chunk in the table.
    head: AtomicU64,
    /// The newest random access point, or [`NO_POSITION`].
    random_access: AtomicU64,
    closed: AtomicBool,
    pub(crate) wakes: WakeList,
    pub(crate) upstream: Upstream,
    pub(crate) observer: Arc<dyn LogObserver>,
    pub(crate) bounds: LogBounds,
    pub(crate) totals: Totals,
}

/// What has passed through a log since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Video frames published.
    pub video_frames: u64,
    /// Frames of other tracks published.
    pub other_frames: u64,
    /// Payload bytes published.
    pub bytes: u64,
    /// Those of them that are video.
    pub video_bytes: u64,
    /// Frames whose timestamps had to be repaired.
    pub repaired: u64,
    /// Frames that lagging subscribers were made to skip.
    pub missed: u64,
    /// Who watches now: every [`crate::Viewer`], and subscriptions that count as one.
    pub viewers: u64,
    /// All who have ever watched.
    pub joined: u64,
    /// Readers that had missed more than they may.
    pub evicted: u64,
}

#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) video_frames: std::sync::atomic::AtomicU64,
    pub(crate) other_frames: std::sync::atomic::AtomicU64,
    pub(crate) bytes: std::sync::atomic::AtomicU64,
    pub(crate) video_bytes: std::sync::atomic::AtomicU64,
    pub(crate) repaired: std::sync::atomic::AtomicU64,
    pub(crate) missed: std::sync::atomic::AtomicU64,
    pub(crate) viewers: std::sync::atomic::AtomicU64,
    pub(crate) joined: std::sync::atomic::AtomicU64,
    pub(crate) evicted: std::sync::atomic::AtomicU64,
}

impl Totals {
    /// Somebody watches from now on.
    pub(crate) fn joins(&self) {
        self.viewers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.joined.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A chunk and an index in it.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    pub(crate) chunk: u64,
    pub(crate) index: usize,
}

const NO_POSITION: u64 = u64::MAX;
const INDEX_BITS: u32 = 8;

impl Position {
    fn pack(self) -> u64 {
        self.chunk << INDEX_BITS | self.index as u64
    }

    fn unpack(packed: u64) -> Option<Self> {
        let index = (packed & ((1 << INDEX_BITS) - 1)) as usize;
        (packed != NO_POSITION).then_some(Self { chunk: packed >> INDEX_BITS, index })
    }
}

impl Log {
    /// Counts a viewer who watches by `protocol` (`hls`, `python`) until what this returns is dropped.
    pub fn viewer(self: &Arc<Self>, protocol: impl Into<std::borrow::Cow<'static, str>>) -> crate::Viewer {
        crate::Viewer::new(self.clone(), protocol.into())
    }
}

impl<T: Entry> Log<T> {
    pub(crate) fn new(bounds: LogBounds, observer: Arc<dyn LogObserver>, first: Counted<Chunk<T>>) -> Self {
        let log = Self {
            table: (0..bounds.chunks()).map(|_| Shared::empty()).collect(),
            head: AtomicU64::new(first.number),
            random_access: AtomicU64::new(NO_POSITION),
            closed: AtomicBool::new(false),
            wakes: WakeList::new(),
            upstream: Upstream::default(),
            observer,
            bounds,
            totals: Totals::default(),
        };
        log.install(first);
        log
    }

    /// A cursor that starts at the newest random access point, or waits for the next one when none is kept. It counts as a viewer.
    pub fn subscribe(self: &Arc<Self>) -> Subscription<T> {
        self.subscribe_with(SubscriptionOptions::default())
    }

    /// The same, with options.
    pub fn subscribe_with(self: &Arc<Self>, options: SubscriptionOptions) -> Subscription<T> {
        Subscription::new(self.clone(), options)
    }

    /// The same for a reader that is no viewer: a packager, a recorder.
    pub fn tap(self: &Arc<Self>) -> Subscription<T> {
        // What it makes is for many: it is never evicted.
        let (is_viewer, max_lag) = (false, Some(u64::MAX));
        self.subscribe_with(SubscriptionOptions { is_viewer, max_lag, ..SubscriptionOptions::default() })
    }

    /// The tracks as of the newest frame.
    pub fn tracks(&self) -> Arc<TrackSet> {
        self.newest().map(|chunk| chunk.tracks.clone()).unwrap_or_default()
    }

    /// Ends the stream for its readers, who still get what is published, and for its publisher, whose next frame is refused.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wakes.wake(News::END);
        self.upstream.wake();
    }

    /// What it keeps.
    pub fn bounds(&self) -> LogBounds {
        self.bounds
    }

    /// Who hears of its readers: for a log that is made of this one and has readers in its place.
    pub fn observer(&self) -> Arc<dyn LogObserver> {
        self.observer.clone()
    }

    /// Frames published since it was made.
    pub fn published(&self) -> u64 {
        use std::sync::atomic::Ordering::Relaxed;
        self.totals.video_frames.load(Relaxed) + self.totals.other_frames.load(Relaxed)
    }

    /// Asks the publisher for a key frame. Whether one comes is up to it.
    pub fn request_keyframe(&self) {
        self.upstream.request_keyframe();
    }

    /// Whether the stream has been ended.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        use std::sync::atomic::Ordering::Relaxed;
        let totals = &self.totals;
        Counters {
            video_frames: totals.video_frames.load(Relaxed),
            other_frames: totals.other_frames.load(Relaxed),
            bytes: totals.bytes.load(Relaxed),
            video_bytes: totals.video_bytes.load(Relaxed),
            repaired: totals.repaired.load(Relaxed),
            missed: totals.missed.load(Relaxed),
            viewers: totals.viewers.load(Relaxed),
            joined: totals.joined.load(Relaxed),
            evicted: totals.evicted.load(Relaxed),
        }
    }

    pub(crate) fn capacity_chunks(&self) -> usize {
        self.table.len()
    }

    fn slot(&self, number: u64) -> Option<&Shared<Chunk<T>>> {
        self.table.get(number as usize & (self.table.len() - 1))
    }

    /// The chunk with that number, if it is still kept.
    pub(crate) fn find(&self, number: u64) -> Option<Counted<Chunk<T>>> {
        self.slot(number)?.load_full().filter(|chunk| chunk.number == number)
    }

    pub(crate) fn newest(&self) -> Option<Counted<Chunk<T>>> {
        // A publisher may go round the whole table between the two loads: then look again at where it is now.
        (0..8).find_map(|_| self.find(self.head.load(Ordering::Acquire)))
    }

    /// When the newest entry of a track is decoded, looked for down to chunk `oldest`.
    pub(crate) fn newest_ns(&self, track: TrackId, oldest: u64) -> Option<i64> {
        let newest = self.newest()?.number;
        (oldest..=newest).rev().take(self.table.len()).find_map(|number| {
            let chunk = Cursor::new(self.find(number)?, 0);
            let mut frames = chunk.ahead().iter().rev().map(Entry::frame);
            Some(dts_ns(frames.find(|frame| frame.track == track)?, &chunk.chunk().tracks))
        })
    }

    /// The chunk that holds the newest random access point and the index in it, if it is still kept.
    pub(crate) fn random_access(&self) -> Option<(Counted<Chunk<T>>, usize)> {
        let position = Position::unpack(self.random_access.load(Ordering::Acquire))?;
        Some((self.find(position.chunk)?, position.index))
    }

    /// Where in that chunk the newest random access point is, if it is there.
    pub(crate) fn random_access_in(&self, number: u64) -> Option<usize> {
        let position = Position::unpack(self.random_access.load(Ordering::Acquire))?;
        (position.chunk == number).then_some(position.index)
    }

    pub(crate) fn install(&self, chunk: Counted<Chunk<T>>) {
        let number = chunk.number;
        if let Some(slot) = self.slot(number) {
            slot.store(Some(chunk));
        }
        self.head.store(number, Ordering::Release);
    }

    pub(crate) fn forget(&self, number: u64) {
        if let Some(slot) = self.slot(number) {
            slot.store(None);
        }
    }

    /// The chunk of the newest random access point. Only for the writer, the only one who moves that point.
    pub(crate) fn random_access_chunk(&self) -> Option<u64> {
        Position::unpack(self.random_access.load(Ordering::Relaxed)).map(|position| position.chunk)
    }

    pub(crate) fn forget_random_access(&self) {
        self.random_access.store(NO_POSITION, Ordering::Release);
    }

    pub(crate) fn mark_random_access(&self, position: Position) {
        self.random_access.store(position.pack(), Ordering::Release);
    }
}
