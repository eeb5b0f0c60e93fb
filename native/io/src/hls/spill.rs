//! The far part of a long window on a disk: written by threads that may wait, read again when somebody asks.
//!
//! The packager never waits for any of this. What the disk does not take stays in memory until that is full, and is then dropped with all
//! that is older ([`arcly_pack::cmaf::CmafConfig::memory`]).

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arcly_pack::cmaf::{CmafView, Held, Segment};
use bytes::Bytes;
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

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

/// A directory for segments of all streams of this process, and nobody else's.
#[derive(Debug)]
pub struct Spill {
    root: PathBuf,
    memory: Duration,
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Spill {
    /// Keeps segments in `directory` that are older than `memory`. What an earlier process has left there is removed.
    ///
    /// # Errors
    /// The directory cannot be made or written to.
    pub fn new(directory: &Path, memory: Duration) -> io::Result<Arc<Self>> {
        fs::create_dir_all(directory)?;
        for entry in fs::read_dir(directory)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let root = directory.join(format!("{PREFIX}{:x}-{:x}", now.as_nanos(), std::process::id()));
        fs::create_dir(&root)?;
        let (writers, readers) = (Semaphore::new(WRITERS_MAX), Semaphore::new(READERS_MAX));
        Ok(Arc::new(Self { root, memory, writers: Arc::new(writers), readers: Arc::new(readers) }))
    }

    /// How much of a window stays in memory.
    pub fn memory(&self) -> Duration {
        self.memory
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // Streams have removed theirs; of one that could not, the next start takes care.
        let _ = fs::remove_dir(&self.root);
    }
}

/// The segments of one stream.
pub(crate) struct Shelf {
    spill: Arc<Spill>,
    runtime: Handle,
    directory: PathBuf,
    is_writing: AtomicBool,
    has_files: AtomicBool,
    began: Mutex<Option<Instant>>,
    /// Files of which nobody holds the segment any more: removed by the next write, since that may wait.
    garbage: Mutex<Vec<PathBuf>>,
    failures: AtomicU64,
    news: Mutex<Option<String>>,
}

/// A segment on the disk.
struct Stored {
    path: PathBuf,
    shelf: Arc<Shelf>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        self.shelf.garbage.lock().unwrap_or_else(PoisonError::into_inner).push(path);
    }
}

impl Shelf {
    /// An empty one, for a stream whose files are named by `session`.
    pub(crate) fn new(spill: Arc<Spill>, runtime: &Handle, session: &str) -> Arc<Self> {
        Arc::new(Self {
            directory: spill.root.join(session),
            spill,
            runtime: runtime.clone(),
            is_writing: AtomicBool::new(false),
            has_files: AtomicBool::new(false),
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
    pub(crate) fn look(self: &Arc<Self>, view: &CmafView) -> Option<String> {
        if self.is_writing.load(Ordering::Acquire) {
            self.check_deadline();
        } else {
            self.begin(view);
        }
        self.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn begin(self: &Arc<Self>, view: &CmafView) {
        let memory_us = i64::try_from(self.spill.memory.as_micros()).unwrap_or(i64::MAX);
        let old: Vec<_> = view.tracks.iter().flat_map(|track| track.movable(memory_us)).collect();
        if old.is_empty() {
            return;
        }
        // Others write: their disk is this one too.
        let Ok(permit) = self.spill.writers.clone().try_acquire_owned() else { return };
        self.is_writing.store(true, Ordering::Release);
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let shelf = self.clone();
        self.runtime.spawn_blocking(move || {
            let _permit = permit;
            if let Err(error) = shelf.store(&old) {
                shelf.fail(&format!("segments cannot be moved to the disk: {error}"));
            }
            shelf.is_writing.store(false, Ordering::Release);
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
    fn store(self: &Arc<Self>, segments: &[Arc<Segment>]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        self.has_files.store(true, Ordering::Relaxed);
        for path in std::mem::take(&mut *self.garbage.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = fs::remove_file(path);
        }
        for segment in segments {
            let Held::Here(pieces) = segment.held() else { continue };
            // Names of segments are ours: a session and numbers.
            let stored = Stored { path: self.directory.join(&segment.name), shelf: self.clone() };
            let mut file = fs::File::create(&stored.path)?;
            pieces.iter().try_for_each(|piece| file.write_all(piece))?;
            segment.move_away(Arc::new(stored));
        }
        Ok(())
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let directory = std::mem::take(&mut self.directory);
        // A thread of its own: the runtime may be gone, and the disk may hang. What stays behind is removed by the next start.
        if self.has_files.load(Ordering::Relaxed) {
            std::thread::spawn(move || fs::remove_dir_all(directory));
        }
    }
}

/// The bytes of a segment that was moved away; none when the disk does not give them in time.
pub(crate) async fn read(away: arcly_pack::cmaf::Away) -> Option<Bytes> {
    let stored = away.downcast::<Stored>().ok()?;
    let permit = timeout(READ_DEADLINE, stored.shelf.spill.readers.clone().acquire_owned()).await.ok()?.ok()?;
    let reading = tokio::task::spawn_blocking(move || {
        // Both are held until the disk has answered, whoever still waits for that.
        let _permit = permit;
        fs::read(&stored.path)
    });
    timeout(READ_DEADLINE, reading).await.ok()?.ok()?.ok().map(Bytes::from)
}
