//! The far part of a long window on a disk, or wherever the host keeps things: written by threads that may wait, read again when somebody
//! asks.
//!
//! The packagers never wait for any of this. What is not taken stays in memory until that is full, and is then dropped with all that is
//! older ([`arcly_pack::cmaf::CmafConfig::memory`]).

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arcly_pack::{Away, Held, Movable, cmaf::CmafView, hls::HlsView};
use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
    time::timeout,
};

/// Threads that write at a time, for all streams: where a disk hangs, so many hang with it.
const WRITERS_MAX: usize = 8;
/// Threads that read at a time, for all viewers.
const READERS_MAX: usize = 32;
/// How long a viewer waits for a segment from the disk.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// A write that takes longer is told.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// In front of the names of our directories.
const PREFIX: &str = "arcly-hls-";

/// Where segments go that are no longer in memory. All of it may take its time, and hang: it is called on threads that may wait.
pub trait Store: Send + Sync {
    /// Keeps a segment of a stream. Both names are ours: letters, digits and signs that are fit for a file.
    ///
    /// # Errors
    /// It is not kept.
    fn put(&self, stream: &str, name: &str, pieces: &[Bytes]) -> io::Result<()>;

    /// What is kept under that name.
    ///
    /// # Errors
    /// It cannot be had.
    fn get(&self, stream: &str, name: &str) -> io::Result<Bytes>;

    /// Forgets a segment. One that cannot be removed now is left to the next start.
    fn remove(&self, stream: &str, name: &str);

    /// Nothing is kept of that stream any more.
    fn end(&self, stream: &str);
}

/// A directory, this process's and nobody else's.
pub struct Directory(PathBuf);

impl Directory {
    /// Keeps segments in `directory`. What an earlier process has left there is removed.
    ///
    /// # Errors
    /// The directory cannot be made or written to.
    pub fn new(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        for entry in fs::read_dir(directory)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let now = crate::clock::unix_time();
        let root = directory.join(format!("{PREFIX}{:x}-{:x}", now.as_nanos(), std::process::id()));
        fs::create_dir(&root)?;
        Ok(Self(root))
    }
}

impl Store for Directory {
    fn put(&self, stream: &str, name: &str, pieces: &[Bytes]) -> io::Result<()> {
        let directory = self.0.join(stream);
        fs::create_dir_all(&directory)?;
        let mut file = fs::File::create(directory.join(name))?;
        pieces.iter().try_for_each(|piece| file.write_all(piece))
    }

    fn get(&self, stream: &str, name: &str) -> io::Result<Bytes> {
        fs::read(self.0.join(stream).join(name)).map(Bytes::from)
    }

    fn remove(&self, stream: &str, name: &str) {
        let _ = fs::remove_file(self.0.join(stream).join(name));
    }

    fn end(&self, stream: &str) {
        let _ = fs::remove_dir_all(self.0.join(stream));
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Streams have removed theirs; of one that could not, the next start takes care.
        let _ = fs::remove_dir(&self.0);
    }
}

/// A place for segments of all streams of this process, and how much of each stays in memory.
pub struct Spill {
    store: Arc<dyn Store>,
    memory: Duration,
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Spill {
    /// Keeps segments in `store` that are older than `memory`.
    pub fn new(store: Arc<dyn Store>, memory: Duration) -> Arc<Self> {
        let (writers, readers) = (Semaphore::new(WRITERS_MAX), Semaphore::new(READERS_MAX));
        Arc::new(Self { store, memory, writers: Arc::new(writers), readers: Arc::new(readers) })
    }

    /// How much of a window stays in memory.
    pub fn memory(&self) -> Duration {
        self.memory
    }
}

/// The segments of one stream.
pub(crate) struct Shelf {
    spill: Arc<Spill>,
    runtime: Handle,
    /// Names the stream.
    session: String,
    is_writing: AtomicBool,
    /// Somebody has looked meanwhile, and has to look again.
    has_missed: AtomicBool,
    written: Notify,
    has_stored: AtomicBool,
    began: Mutex<Option<Instant>>,
    /// Names of segments that nobody holds any more: removed by the next write, since that may wait.
    garbage: Mutex<Vec<String>>,
    failures: AtomicU64,
    news: Mutex<Option<String>>,
}

/// A segment that was moved away.
struct Stored {
    name: String,
    shelf: Arc<Shelf>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        self.shelf.garbage.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }
}

impl Shelf {
    /// An empty one, for a stream whose files are named by `session`.
    pub(crate) fn new(spill: Arc<Spill>, runtime: &Handle, session: &str) -> Arc<Self> {
        Arc::new(Self {
            session: session.to_owned(),
            spill,
            runtime: runtime.clone(),
            is_writing: AtomicBool::new(false),
            has_missed: AtomicBool::new(false),
            written: Notify::new(),
            has_stored: AtomicBool::new(false),
            began: Mutex::default(),
            garbage: Mutex::default(),
            failures: AtomicU64::new(0),
            news: Mutex::default(),
        })
    }

    /// Writes that failed or were late.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Begins to move what is old enough, if nothing is being moved. Returns what went wrong since the last call. Does not wait.
    pub(crate) fn look(self: &Arc<Self>, cmaf: Option<&CmafView>, ts: Option<&HlsView>) -> Option<String> {
        let is_writing = || self.is_writing.load(Ordering::SeqCst);
        if is_writing() {
            self.has_missed.store(true, Ordering::SeqCst);
            self.check_deadline();
        }
        // Also where it has ended in between: that looked before it could know.
        if !is_writing() {
            self.begin(cmaf, ts);
        }
        self.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Resolves when a write has ended during which somebody has looked.
    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }

    fn begin(self: &Arc<Self>, cmaf: Option<&CmafView>, ts: Option<&HlsView>) {
        let memory_us = i64::try_from(self.spill.memory.as_micros()).unwrap_or(i64::MAX);
        let of_cmaf = cmaf.iter().flat_map(|view| &view.tracks).flat_map(|track| track.movable(memory_us));
        let old: Vec<_> = of_cmaf.chain(ts.iter().flat_map(|view| view.movable(memory_us))).collect();
        if old.is_empty() {
            return;
        }
        // Others write: their disk is this one too.
        let Ok(permit) = self.spill.writers.clone().try_acquire_owned() else { return };
        self.is_writing.store(true, Ordering::SeqCst);
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let shelf = self.clone();
        self.runtime.spawn_blocking(move || {
            let _permit = permit;
            if let Err(error) = shelf.store(&old) {
                shelf.fail(&format!("segments cannot be moved to the disk: {error}"));
            }
            shelf.is_writing.store(false, Ordering::SeqCst);
            if shelf.has_missed.swap(false, Ordering::SeqCst) {
                shelf.written.notify_one();
            }
        });
    }

    fn check_deadline(&self) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if began.is_some_and(|at| at.elapsed() > WRITE_DEADLINE) {
            // Once for each write.
            *began = None;
            drop(began);
            self.fail("the disk for segments does not answer");
        }
    }

    fn fail(&self, what: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
    }

    /// On a thread that may wait.
    fn store(self: &Arc<Self>, segments: &[Arc<dyn Movable>]) -> io::Result<()> {
        let (store, session) = (&self.spill.store, self.session.as_str());
        self.has_stored.store(true, Ordering::Relaxed);
        for name in self.take_garbage() {
            store.remove(session, &name);
        }
        for segment in segments {
            let Held::Here(pieces) = segment.held() else { continue };
            let stored = Stored { name: segment.name().to_owned(), shelf: self.clone() };
            store.put(session, &stored.name, &pieces)?;
            segment.move_away(Arc::new(stored));
        }
        Ok(())
    }

    fn take_garbage(&self) -> Vec<String> {
        std::mem::take(&mut *self.garbage.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        if !self.has_stored.load(Ordering::Relaxed) {
            return;
        }
        // Whatever was stored holds this: so all of it is garbage now.
        let (store, session, garbage) =
            (self.spill.store.clone(), std::mem::take(&mut self.session), self.take_garbage());
        // A thread of its own: the runtime may be gone, and the disk may hang. What stays behind is removed by the next start.
        std::thread::spawn(move || {
            garbage.iter().for_each(|name| store.remove(&session, name));
            store.end(&session);
        });
    }
}

/// The bytes of a segment that was moved away; none when the disk does not give them in time.
pub(crate) async fn read(away: Away) -> Option<Bytes> {
    let stored = away.downcast::<Stored>().ok()?;
    let permit = timeout(READ_DEADLINE, stored.shelf.spill.readers.clone().acquire_owned()).await.ok()?.ok()?;
    let reading = tokio::task::spawn_blocking(move || {
        // Both are held until the disk has answered, whoever still waits for that.
        let _permit = permit;
        stored.shelf.spill.store.get(&stored.shelf.session, &stored.name)
    });
    timeout(READ_DEADLINE, reading).await.ok()?.ok()?.ok()
}
