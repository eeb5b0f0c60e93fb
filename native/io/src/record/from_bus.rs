//! The task of a recording: reads the log, hands what it has read to the writer, tells the host what came of it.

use std::{
    collections::VecDeque,
    fmt::Display,
    future::Future,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use arcly_bus::{Frame, Log, Read, StreamKey, Subscription, TrackSet, WakeSlot};
use arcly_pack::vod::StreamOutliner;
use tokio::{
    runtime::Handle,
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    FileOutline, RecordEnd, RecordFormat, RecordNote, RecordOptions, SegmentInfo,
    segment::Finished,
    whole::finalize,
    writer::{Batch, Counts, Outcome, Writer},
};
use crate::bell::Bell;

/// Frames handed to the writer at a time. They are those of the log, held by their counts.
const BATCH_FRAMES_MAX: usize = 512;
/// Their bytes.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Notes that the host has not read; past it the oldest are dropped, and what they said is found again when the files are looked at.
const NOTES_MAX: usize = 4096;

/// How a recording is.
#[derive(Debug, Clone, Default)]
pub struct RecordingStatus {
    /// Frames on the disk.
    pub frames: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// How long it is, without its gaps, in microseconds.
    pub duration_us: u64,
    /// How often something is missing.
    pub gaps: u64,
    /// How much is, in microseconds of the stream.
    pub gap_us: u64,
    /// Frames that the log dropped before they could be written: the disk was too slow.
    pub missed: u64,
    /// Frames that no file could take.
    pub refused: u64,
    /// The last thing that went wrong, for people.
    pub last_error: Option<String>,
}

/// A stream that is being recorded. Dropping it stops it, in order.
pub struct Recording {
    shared: Arc<Shared>,
}

struct Shared {
    bell: Arc<Bell>,
    stopping: AtomicBool,
    ended: AtomicBool,
    /// A write has not returned that was given up.
    hanging: AtomicBool,
    has_ended: Notify,
    state: Mutex<State>,
    on_news: Waker,
    format: RecordFormat,
}

#[derive(Default)]
struct State {
    notes: VecDeque<RecordNote>,
    status: RecordingStatus,
    /// The file that is being written, and what is where in it, where nothing in it says so.
    growing: Option<(String, Arc<Mutex<StreamOutliner>>)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, note: RecordNote) {
        let mut state = self.lock();
        if state.notes.len() >= NOTES_MAX {
            state.notes.pop_front();
        }
        state.notes.push_back(note);
        drop(state);
        self.on_news.wake_by_ref();
    }

    fn end(&self, end: RecordEnd) {
        self.tell(RecordNote::Ended(end));
        self.ended.store(true, Ordering::Release);
        self.has_ended.notify_waiters();
    }
}

impl Recording {
    /// Records `log` from its newest key frame on. The files are numbered from `number`; `on_news` is called after each note.
    pub fn start(
        runtime: &Handle,
        log: &Arc<Log>,
        key: StreamKey,
        options: RecordOptions,
        number: u64,
        on_news: Waker,
    ) -> Self {
        let shared = Arc::new(Shared {
            bell: Arc::default(),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            hanging: AtomicBool::new(false),
            has_ended: Notify::new(),
            state: Mutex::default(),
            on_news,
            format: options.format,
        });
        let options = Arc::new(options);
        let writer = Writer::new(options.clone(), key, number);
        // The cursor is placed now, not when the task first runs: nothing published meanwhile is missed.
        let task = Task {
            cursor: log.tap(),
            writer: Some(writer),
            shared: shared.clone(),
            options,
            finalizing: JoinSet::new(),
            has_waiting: false,
        };
        runtime.spawn(task.run());
        Self { shared }
    }

    /// The oldest note that was not read.
    pub fn poll(&self) -> Option<RecordNote> {
        self.shared.lock().notes.pop_front()
    }

    /// What was written so far.
    pub fn status(&self) -> RecordingStatus {
        self.shared.lock().status.clone()
    }

    /// What is where in the file of that path as far as it has been written, without a look at it; `None` when it is not the one
    /// that is being written, or when its boxes say it.
    ///
    /// # Errors
    /// What was written last cannot be read.
    pub fn outline(&self, path: &str) -> io::Result<Option<FileOutline>> {
        let growing = self.shared.lock().growing.clone().filter(|(known, _)| known == path);
        let container = self.shared.format.container();
        growing.map(|(_, outliner)| FileOutline::so_far(container, &outliner)).transpose()
    }

    /// Whether a write has not returned yet that the recording was given up for: it holds a thread.
    pub fn is_hanging(&self) -> bool {
        self.shared.hanging.load(Ordering::Acquire)
    }

    /// Asks it to end. What the stream has at this moment is still written.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.bell.ring();
    }

    /// Waits until it has ended; does not keep it alive.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            let notified = shared.has_ended.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if !shared.ended.load(Ordering::Acquire) {
                notified.await;
            }
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Task {
    cursor: Subscription,
    /// Away while it writes.
    writer: Option<Writer>,
    shared: Arc<Shared>,
    options: Arc<RecordOptions>,
    /// Files that are being made whole beside the recording.
    finalizing: JoinSet<()>,
    /// The writer holds frames of a fragment that is not complete.
    has_waiting: bool,
}

/// A writer that has worked, and how that went.
type Written = (Writer, Result<(), RecordEnd>);

/// What a look at the log gave.
enum Next {
    Batch(Batch),
    Nothing,
    Ended,
}

/// Whoever waits for the end of the recording is not left alone by a bug, or by the end of the runtime.
impl Drop for Task {
    fn drop(&mut self) {
        if !self.shared.ended.load(Ordering::Acquire) {
            self.shared.end(RecordEnd::Failed("its task was ended".into()));
        }
    }
}

impl Task {
    async fn run(mut self) {
        let end = match self.record().await {
            Ok(end) => match self.write(Writer::close).await {
                Ok(()) => end,
                Err(failed) => failed,
            },
            Err(end) => end,
        };
        while self.finalizing.join_next().await.is_some() {}
        self.shared.end(end);
    }

    async fn record(&mut self) -> Result<RecordEnd, RecordEnd> {
        let bell = self.shared.bell.clone();
        // A file ends at an entry; what comes between is written once a fragment.
        let slot = WakeSlot::for_entries(self.cursor.log(), Waker::from(bell.clone()));
        loop {
            slot.arm();
            // Before the look: what was published until it was told to stop is written.
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            match self.read() {
                Next::Batch(batch) => {
                    self.has_waiting = true;
                    self.write(move |writer| writer.take(&batch)).await?;
                }
                Next::Ended => return Ok(RecordEnd::StreamEnded),
                Next::Nothing if stopping => return Ok(RecordEnd::Stopped),
                Next::Nothing => self.wait(&bell).await?,
            }
        }
    }

    /// Waits for an entry, or for so long that there is a fragment without one. What waits for the rest of its fragment while nothing comes
    /// is written as it is: the publisher may be gone.
    async fn wait(&mut self, bell: &Bell) -> Result<(), RecordEnd> {
        let pause = self.options.fragment.max(Duration::from_millis(10));
        if timeout(pause, bell.heard()).await.is_err() && self.has_waiting && !self.cursor.is_ready() {
            self.has_waiting = false;
            self.write(Writer::flush).await?;
        }
        Ok(())
    }

    /// All that is there under one set of tracks, up to a bound.
    fn read(&mut self) -> Next {
        let (mut frames, mut bytes): (Vec<Frame>, usize) = (Vec::new(), 0);
        let (mut tracks, mut broken) = (Arc::<TrackSet>::default(), false);
        while frames.len() < BATCH_FRAMES_MAX && bytes < BATCH_BYTES_MAX {
            match self.cursor.peek(BATCH_FRAMES_MAX - frames.len()) {
                Read::Frames(batch) => {
                    let is_other = !Arc::ptr_eq(batch.tracks, &tracks) || batch.discontinuity;
                    if is_other && !frames.is_empty() {
                        break;
                    }
                    (tracks, broken) = (batch.tracks.clone(), broken || batch.discontinuity);
                    bytes += batch.frames.iter().map(|frame| frame.payload.len()).sum::<usize>();
                    frames.extend_from_slice(batch.frames);
                    let taken = batch.frames.len();
                    self.cursor.advance(taken);
                }
                Read::Ended | Read::Evicted if frames.is_empty() => return Next::Ended,
                Read::Empty | Read::Ended | Read::Evicted => break,
            }
        }
        if frames.is_empty() { Next::Nothing } else { Next::Batch(Batch { tracks, frames, broken }) }
    }

    /// Lets the writer work where that may block, and tells what came of it.
    async fn write(
        &mut self,
        work: impl FnOnce(&mut Writer) -> Result<(), RecordEnd> + Send + 'static,
    ) -> Result<(), RecordEnd> {
        let Some(mut writer) = self.writer.take() else { return Err(RecordEnd::DiskStalled) };
        let mut job = tokio::task::spawn_blocking(move || {
            let outcome = work(&mut writer);
            (writer, outcome)
        });
        let Ok(done) = timeout(self.options.stall, &mut job).await else {
            self.shared.hanging.store(true, Ordering::Release);
            tokio::spawn(leave_behind(self.shared.clone(), job, self.cursor.missed()));
            return Err(RecordEnd::DiskStalled);
        };
        let (mut writer, outcome) = done.map_err(|error| RecordEnd::Failed(format!("bug: {error}")))?;
        self.shared.count(writer.totals(), self.cursor.missed());
        let outcomes = std::mem::take(&mut writer.outcomes);
        self.writer = Some(writer);
        outcomes.into_iter().for_each(|outcome| self.tell(outcome));
        outcome
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(finished) = self.shared.tell_of(outcome) {
            let shared = self.shared.clone();
            self.finalizing.spawn_blocking(move || shared.finalize(finished));
        }
        while self.finalizing.try_join_next().is_some() {}
    }
}

/// A write that hangs is left behind with its file. Should it return, what has come of it is told, and the file is ended.
async fn leave_behind(shared: Arc<Shared>, job: JoinHandle<Written>, missed: u64) {
    let hanging = shared.clone();
    if let Ok((mut writer, _)) = job.await {
        let ending = tokio::task::spawn_blocking(move || {
            // What the disk says now, nobody waits for.
            let _ = writer.close();
            shared.count(writer.totals(), missed);
            let finished = writer.outcomes.into_iter().filter_map(|outcome| shared.tell_of(outcome));
            // A copy would take long on such a disk, and nothing is recorded before this has come to its end.
            finished.for_each(|Finished { info, .. }| shared.stays_fragmented(info, "the disk did not answer"));
        });
        let _ = ending.await;
    }
    hanging.hanging.store(false, Ordering::Release);
}

impl Shared {
    fn count(&self, counts: Counts, missed: u64) {
        let Counts { frames, bytes, duration_us, gaps, gap_us, refused, last_error } = counts;
        let mut state = self.lock();
        // What went wrong while a file was made whole is not known to the writer.
        let last_error = last_error.or(state.status.last_error.take());
        state.status = RecordingStatus { frames, bytes, duration_us, gaps, gap_us, missed, refused, last_error };
    }

    /// Tells what came of a write. Returns the file that has to be made whole before its end is told.
    fn tell_of(&self, outcome: Outcome) -> Option<Finished> {
        match outcome {
            Outcome::Began(info, outliner) => {
                self.lock().growing = outliner.map(|outliner| (info.path.clone(), outliner));
                self.tell(RecordNote::Began(info));
            }
            Outcome::Finished(finished) if self.format == RecordFormat::Mp4 => {
                self.tell(RecordNote::Closed(finished.info.clone()));
                return Some(finished);
            }
            Outcome::Finished(Finished { info, outline, .. }) => {
                self.lock().growing.take_if(|(path, _)| *path == info.path);
                self.tell(RecordNote::Finished(info, outline));
            }
        }
        None
    }

    fn finalize(&self, Finished { mut info, path, .. }: Finished) {
        match finalize(&path, || false) {
            Ok(bytes) => {
                info.bytes = bytes;
                self.tell(RecordNote::Finished(info, None));
            }
            Err(error) => self.stays_fragmented(info, error),
        }
    }

    /// A file that cannot be made whole stays as it is: it can be played.
    fn stays_fragmented(&self, info: SegmentInfo, why: impl Display) {
        self.lock().status.last_error = Some(format!("{} stays fragmented: {why}", info.path));
        self.tell(RecordNote::Finished(info, None));
    }
}

#[cfg(test)]
mod tests {
    use arcly_bus::{LogBounds, LogWriter};

    use super::*;
    use crate::Runtime;

    /// Found by reading: whoever waited for the end of a recording whose task was ended from outside waited for ever.
    #[tokio::test]
    async fn a_recording_whose_task_is_ended_has_ended() {
        let (runtime, source) = (Runtime::start(1).unwrap(), LogWriter::new(LogBounds::default(), Arc::new(())));
        let key = StreamKey::new("live", "cam").unwrap();
        let options = RecordOptions::new("/nowhere".into());
        let recording = Recording::start(runtime.handle(), source.log(), key, options, 0, Waker::noop().clone());
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
        timeout(Duration::from_secs(5), recording.ended()).await.expect("it has ended");
        assert!(matches!(recording.poll(), Some(RecordNote::Ended(RecordEnd::Failed(_)))));
    }
}
