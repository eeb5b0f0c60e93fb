//! Who watches: what is told of each viewer, and how one is ended.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use arcly_bus::StreamKey;

/// The number of a viewer, never used twice by one [`super::Egress`].
pub type ViewerId = u64;

/// Who asks to watch.
#[derive(Debug, Clone)]
pub struct Watcher {
    /// What.
    pub key: StreamKey,
    /// How: `http-ts`.
    pub protocol: &'static str,
    /// From where.
    pub peer: SocketAddr,
    /// What the peer calls itself; its own words.
    pub agent: String,
}

/// A viewer as of now.
#[derive(Debug, Clone)]
pub struct ViewerInfo {
    /// Its number.
    pub id: ViewerId,
    /// Who it is.
    pub watcher: Watcher,
    /// When it came, in milliseconds of Unix time.
    pub since_unix_ms: u64,
    /// Bytes that the kernel has taken for it.
    pub bytes: u64,
    /// Frames of all tracks among them.
    pub frames: u64,
    /// Frames that it was too slow for.
    pub dropped: u64,
    /// Frames that wait for it: 0 or a few for one that keeps up.
    pub lag_frames: u64,
}

/// What a pump counts of one viewer.
pub(crate) struct Record {
    pub(crate) id: ViewerId,
    watcher: Watcher,
    since_unix_ms: u64,
    pub(crate) bytes: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) lag_frames: AtomicU64,
    kicked: AtomicBool,
    list: Arc<List>,
}

impl Record {
    pub(crate) fn is_kicked(&self) -> bool {
        self.kicked.load(Relaxed)
    }

    fn info(&self) -> ViewerInfo {
        ViewerInfo {
            id: self.id,
            watcher: self.watcher.clone(),
            since_unix_ms: self.since_unix_ms,
            bytes: self.bytes.load(Relaxed),
            frames: self.frames.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lag_frames: self.lag_frames.load(Relaxed),
        }
    }
}

/// Lives as long as its viewer, and takes it off the list.
pub(crate) struct Entry(pub(crate) Arc<Record>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.list.lock().entries.remove(&self.0.id);
    }
}

/// All viewers.
#[derive(Default)]
pub(crate) struct List(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    entries: HashMap<ViewerId, Arc<Record>>,
    last: ViewerId,
}

impl List {
    /// Puts a viewer on the list; none when `max` are on it.
    pub(crate) fn enter(self: &Arc<Self>, watcher: Watcher, max: usize) -> Option<Entry> {
        let mut list = self.lock();
        if list.entries.len() >= max {
            return None;
        }
        list.last += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = Arc::new(Record {
            id: list.last,
            watcher,
            since_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lag_frames: AtomicU64::new(0),
            kicked: AtomicBool::new(false),
            list: self.clone(),
        });
        list.entries.insert(record.id, record.clone());
        Some(Entry(record))
    }

    /// Everybody, by age.
    pub(crate) fn all(&self) -> Vec<ViewerInfo> {
        let mut all: Vec<_> = self.lock().entries.values().map(|record| record.info()).collect();
        all.sort_unstable_by_key(|info| info.id);
        all
    }

    /// Marks a viewer for its end; false when it is not there.
    pub(crate) fn kick(&self, id: ViewerId) -> bool {
        self.lock().entries.get(&id).inspect(|record| record.kicked.store(true, Relaxed)).is_some()
    }

    pub(crate) fn kick_all(&self) {
        self.lock().entries.values().for_each(|record| record.kicked.store(true, Relaxed));
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
