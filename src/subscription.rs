//! `Cursor`: the native half of a subscription.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{Log, Read, Subscription, SubscriptionOptions, Viewer, WakeSlot};
use pyo3::{prelude::*, types::PyList};

use crate::{
    arguments::seconds,
    awaiting::{self, AsyncFrames},
    frame::{KnownTracks, MediaFrame},
    hub::{Token, WakeToken},
    lock, lock_attached,
    park::Parker,
};

/// A thread that waits looks for signals so often: Ctrl-C must reach it.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Cursor {
    /// Gone once it is closed.
    inner: Mutex<Option<Reading>>,
    log: Arc<Log>,
    /// Counts as long as it reads.
    viewer: Mutex<Option<Viewer>>,
    /// Wakes an event loop; registered at the first `arm`.
    looped: Mutex<Option<WakeSlot>>,
    /// Wakes a thread; registered when one waits for the first time.
    parked: Mutex<Option<WakeSlot>>,
    parker: Arc<Parker>,
    ended: AtomicBool,
    evicted: AtomicBool,
    /// As of the end.
    missed: AtomicU64,
}

struct Reading {
    subscription: Subscription,
    known: KnownTracks,
}

/// What a look at the log gave, its frames passed on already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Frames(usize),
    Empty,
    Ended,
}

/// The same as Python objects.
pub enum Found<'py> {
    Frames(Bound<'py, PyAny>),
    Nothing,
    End,
}

impl Found<'_> {
    fn no_frames(look: Look) -> Self {
        if look == Look::Ended { Self::End } else { Self::Nothing }
    }
}

impl Cursor {
    /// `options.is_viewer` is false: the events of a reader that counts must say by which protocol it reads.
    pub fn new(log: &Arc<Log>, options: SubscriptionOptions, protocol: &str) -> Self {
        Self {
            inner: Mutex::new(Some(Reading {
                subscription: log.subscribe_with(options),
                known: KnownTracks::default(),
            })),
            log: log.clone(),
            viewer: Mutex::new(Some(log.viewer(protocol.to_owned()))),
            looped: Mutex::default(),
            parked: Mutex::default(),
            parker: Arc::default(),
            ended: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            missed: AtomicU64::new(0),
        }
    }

    /// Passes up to `max` waiting frames to `take`, batch by batch, with the objects for the tracks.
    fn look_known(
        &self,
        py: Python<'_>,
        max: usize,
        mut take: impl FnMut(&arcly_bus::Batch<'_>, &mut KnownTracks),
    ) -> Look {
        let mut inner = lock_attached(py, &self.inner);
        let Some(Reading { subscription, known }) = inner.as_mut() else { return Look::Ended };
        let mut count = 0;
        while count < max {
            match self.read(subscription, max - count, |batch| take(batch, known)) {
                Look::Frames(frames) => count += frames,
                // Told when there is nothing else to tell.
                look if count == 0 => return look,
                _ => break,
            }
        }
        Look::Frames(count)
    }

    /// Passes up to `max` waiting frames to `take`, once, so that all have the same tracks. Needs no GIL.
    #[inline]
    pub fn look_once(&self, max: usize, take: impl FnMut(&arcly_bus::Batch<'_>)) -> Look {
        let mut inner = lock(&self.inner);
        inner.as_mut().map_or(Look::Ended, |inner| self.read(&mut inner.subscription, max, take))
    }

    fn read(&self, inner: &mut Subscription, max: usize, mut take: impl FnMut(&arcly_bus::Batch<'_>)) -> Look {
        let evicted = match inner.read(max) {
            Read::Frames(batch) => {
                take(&batch);
                return Look::Frames(batch.frames.len());
            }
            Read::Empty => return Look::Empty,
            Read::Ended => false,
            Read::Evicted => true,
        };
        self.end(inner, evicted)
    }

    fn end(&self, inner: &Subscription, evicted: bool) -> Look {
        self.missed.store(inner.missed(), Ordering::Release);
        self.evicted.store(evicted, Ordering::Release);
        self.ended.store(true, Ordering::Release);
        Look::Ended
    }

    fn collect(&self, py: Python<'_>, max: usize, frames: &mut Vec<MediaFrame>) -> PyResult<Look> {
        let mut made = Ok(());
        let look = self.look_known(py, max, |batch, known| match known.of(py, batch.tracks) {
            Ok(tracks) => {
                let first = frames.len();
                frames.reserve(batch.frames.len());
                frames.extend(batch.frames.iter().map(|frame| MediaFrame::new(py, frame.clone(), tracks)));
                if let Some(frame) = frames.get_mut(first).filter(|_| batch.discontinuity) {
                    frame.break_before();
                }
            }
            Err(error) => made = Err(error),
        });
        made.map(|()| look)
    }

    /// The next frame.
    pub fn find_frame<'py>(&self, py: Python<'py>) -> PyResult<Found<'py>> {
        let mut found = None;
        let look = self.look_known(py, 1, |batch, known| {
            let Some(frame) = batch.frames.first() else { return };
            found = Some(known.of(py, batch.tracks).map(|tracks| {
                let mut frame = MediaFrame::new(py, frame.clone(), tracks);
                if batch.discontinuity {
                    frame.break_before();
                }
                frame
            }));
        });
        match found.transpose()? {
            Some(frame) => Bound::new(py, frame).map(|frame| Found::Frames(frame.into_any())),
            None => Ok(Found::no_frames(look)),
        }
    }

    /// A list of up to `max` frames.
    pub fn find_batch<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Found<'py>> {
        let mut frames = Vec::new();
        match self.collect(py, max.max(1), &mut frames)? {
            Look::Frames(_) => PyList::new(py, frames).map(|frames| Found::Frames(frames.into_any())),
            look => Ok(Found::no_frames(look)),
        }
    }

    /// Wakes `token`, or whoever came with the first call, at the next frame or the end. Look again after this.
    pub fn arm(&self, token: &Arc<Token>) {
        lock(&self.looped).get_or_insert_with(|| WakeSlot::new(&self.log, Waker::from(token.clone()))).arm();
    }

    /// Frames skipped because this reader was too slow.
    pub fn frames_missed(&self) -> u64 {
        lock(&self.inner)
            .as_ref()
            .map_or_else(|| self.missed.load(Ordering::Acquire), |inner| inner.subscription.missed())
    }

    /// Waits on this thread until there is something to read; false when `deadline` came first. Not with the GIL held.
    pub fn wait_until(&self, deadline: Option<Instant>) -> bool {
        loop {
            lock(&self.parked).get_or_insert_with(|| WakeSlot::new(&self.log, self.parker.waker())).arm();
            // What was published between the last look and the arming wakes nobody.
            if lock(&self.inner).as_mut().is_none_or(|inner| inner.subscription.is_ready()) {
                return true;
            }
            if !self.parker.park(deadline) {
                return false;
            }
        }
    }
}

#[pymethods]
impl Cursor {
    fn drain<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Bound<'py, PyList>> {
        let mut frames = Vec::new();
        self.collect(py, max, &mut frames)?;
        PyList::new(py, frames)
    }

    fn frames(slf: Bound<'_, Self>, token: &WakeToken, event_loop: Py<PyAny>) -> PyResult<AsyncFrames> {
        AsyncFrames::new(&slf, token, event_loop, None)
    }

    fn batches(slf: Bound<'_, Self>, max: usize, token: &WakeToken, event_loop: Py<PyAny>) -> PyResult<AsyncFrames> {
        AsyncFrames::new(&slf, token, event_loop, Some(max))
    }

    fn wake(&self, py: Python<'_>, token: &WakeToken) -> PyResult<()> {
        awaiting::wake(py, token.token(), None).map(drop)
    }

    #[pyo3(signature = (timeout_s=None))]
    fn wait(&self, py: Python<'_>, timeout_s: Option<f64>) -> PyResult<bool> {
        let deadline = timeout_s.map(seconds).transpose()?.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let turn = Instant::now() + SIGNALS_EVERY;
            let until = deadline.map_or(turn, |deadline| deadline.min(turn));
            if py.detach(|| self.wait_until(Some(until))) {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            py.check_signals()?;
        }
    }

    fn close(&self, py: Python<'_>) {
        let inner = lock_attached(py, &self.inner).take();
        if let Some(inner) = &inner {
            self.missed.store(inner.subscription.missed(), Ordering::Release);
        }
        self.ended.store(true, Ordering::Release);
        drop((inner, lock(&self.viewer).take(), lock(&self.looped).take(), lock(&self.parked).take()));
        self.parker.waker().wake();
    }

    #[getter]
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    #[getter]
    fn evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    #[getter]
    fn missed(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.frames_missed())
    }
}
