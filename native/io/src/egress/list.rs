//! Who watches: what is told of each viewer, and how one is ended.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::Instant,
};

use arcly_bus::StreamKey;

use crate::{Inbox, clock::unix_ms, lock};

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
    /// The rendition that it is sent, by its stream's name, where it is chosen for it; else empty.
    pub layer: String,
    /// What its path carries, in bits per second; 0 where that is not known.
    pub estimate_bps: u64,
}

/// What a pump counts of one viewer.
pub(crate) struct Record {
    pub(crate) id: ViewerId,
    watcher: Watcher,
    since: Instant,
    since_unix_ms: u64,
    pub(crate) bytes: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) lag_frames: AtomicU64,
    layer: Mutex<String>,
    pub(crate) estimate_bps: AtomicU64,
    kicked: AtomicBool,
    /// Who is woken when it is to go; none where somebody looks now and then.
    on_kick: Mutex<Option<Waker>>,
    list: Arc<List>,
}

impl Record {
    pub(crate) fn is_kicked(&self) -> bool {
        self.kicked.load(Relaxed)
    }

    /// Wakes when it is to go. Look behind this: it may be so already.
    pub(crate) fn wake_on_kick(&self, waker: &Waker) {
        *lock(&self.on_kick) = Some(waker.clone());
    }

    fn kick(&self) {
        self.kicked.store(true, Relaxed);
        let waker = lock(&self.on_kick).take();
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn set_layer(&self, name: &str) {
        let mut layer = lock(&self.layer);
        layer.clear();
        layer.push_str(name);
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
            layer: lock(&self.layer).clone(),
            estimate_bps: self.estimate_bps.load(Relaxed),
        }
    }
}

impl Watcher {
    /// `192.0.2.1:5050 plays live/cam as FLV`.
    fn joined(&self) -> String {
        let format = self.protocol.strip_prefix("http-").map(|format| format!(" as {}", format.to_ascii_uppercase()));
        format!("{} plays {}{}", self.peer, self.key, format.unwrap_or_default())
    }
}

impl Record {
    /// `192.0.2.1:5050 left live/cam after 12.3 s: 4.1 MB, 0 skipped`; what is skipped are frames.
    fn left(&self) -> String {
        let Watcher { key, peer, .. } = &self.watcher;
        let (seconds, dropped) = (self.since.elapsed().as_secs_f64(), self.dropped.load(Relaxed));
        format!("{peer} left {key} after {seconds:.1} s: {}, {dropped} skipped", size(self.bytes.load(Relaxed)))
    }
}

/// `4.1 MB`, with the prefixes of SI.
fn size(bytes: u64) -> String {
    let (bytes, mut prefixes) = (bytes as f64, ["k", "M", "G", "T"].iter());
    let (mut scaled, mut prefix) = (bytes, "");
    while scaled >= 999.95
        && let Some(next) = prefixes.next()
    {
        (scaled, prefix) = (scaled / 1000.0, next);
    }
    if prefix.is_empty() { format!("{bytes} B") } else { format!("{scaled:.1} {prefix}B") }
}

/// Lives as long as its viewer, and takes it off the list.
pub(crate) struct Entry(pub(crate) Arc<Record>);

impl Drop for Entry {
    fn drop(&mut self) {
        let list = &self.0.list;
        list.lock().entries.remove(&self.0.id);
        list.inbox.tell(self.0.left());
    }
}

/// All viewers.
pub(crate) struct List {
    entries: Mutex<Entries>,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Entries {
    entries: HashMap<ViewerId, Arc<Record>>,
    last: ViewerId,
}

impl List {
    /// An empty one. `inbox` is told who comes and goes.
    pub(crate) fn new(inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { entries: Mutex::default(), inbox })
    }

    /// Puts a viewer on the list; none when `max` are on it.
    pub(crate) fn enter(self: &Arc<Self>, watcher: Watcher, max: usize) -> Option<Entry> {
        let mut list = self.lock();
        if list.entries.len() >= max {
            return None;
        }
        list.last += 1;
        let record = Arc::new(Record {
            id: list.last,
            watcher,
            since: Instant::now(),
            since_unix_ms: unix_ms(),
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lag_frames: AtomicU64::new(0),
            layer: Mutex::default(),
            estimate_bps: AtomicU64::new(0),
            kicked: AtomicBool::new(false),
            on_kick: Mutex::default(),
            list: self.clone(),
        });
        list.entries.insert(record.id, record.clone());
        drop(list);
        self.inbox.tell(record.watcher.joined());
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
        // The list is free again when somebody is woken: whoever goes at once takes itself off it.
        let record = self.lock().entries.get(&id).cloned();
        record.inspect(|record| record.kick()).is_some()
    }

    pub(crate) fn kick_all(&self) {
        let all: Vec<_> = self.lock().entries.values().cloned().collect();
        all.iter().for_each(|record| record.kick());
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use std::{iter::from_fn, task::Waker};

    use super::*;
    use crate::Notice;

    #[test]
    fn the_host_is_told_who_comes_and_who_goes() {
        let inbox = Inbox::new(Waker::noop().clone());
        let list = List::new(inbox.clone());
        for protocol in ["http-flv", "rtmp"] {
            let key = StreamKey::new("live", "cam").unwrap();
            let peer = "192.0.2.1:5050".parse().unwrap();
            let entry = list.enter(Watcher { key, protocol, peer, agent: String::new() }, 1).unwrap();
            entry.0.bytes.store(4_100_000, Relaxed);
            entry.0.dropped.store(3, Relaxed);
        }
        let news = from_fn(|| inbox.pop()).map(|notice| match notice {
            Notice::News(text) => text,
            _ => String::new(),
        });
        let left = "192.0.2.1:5050 left live/cam after 0.0 s: 4.1 MB, 3 skipped";
        let joined = ["192.0.2.1:5050 plays live/cam as FLV", "192.0.2.1:5050 plays live/cam"];
        assert_eq!(news.collect::<Vec<_>>(), [joined[0], left, joined[1], left]);
    }

    #[test]
    fn sizes_have_the_largest_prefix_that_fits() {
        let sizes = [0, 999, 1000, 999_949, 999_951, 12_345_678_901, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "12.3 GB", "18446744.1 TB"]);
    }
}
