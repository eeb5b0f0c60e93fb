//! How coroutines wait for frames: `async for` over a subscription, without an object, a callback or a turn of the event loop for
//! each frame.
//!
//! What a task waits for is told by the protocol of asyncio's futures: a coroutine yields an object with
//! `_asyncio_future_blocking` set, and the task gives that object the function that wakes it. [`Wait`] is such an object, one for
//! all frames of a subscription. [`LoopHub`](crate::hub::LoopHub) calls that function on the loop, in the context of the task,
//! which is what the handle would do that `loop.call_soon` makes.
//!
//! Nothing is taken out of the log for a task that may be cancelled before it runs: it looks for itself, when it runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pyo3::{
    exceptions::{PyRuntimeError, PyStopAsyncIteration, PyStopIteration, asyncio::CancelledError},
    intern,
    prelude::*,
    types::PyDict,
};

use crate::{
    hub::{Token, WakeToken},
    subscription::{Cursor, Found},
};

/// What `async for` iterates over; each of its frames, or lists of frames, is an awaitable: this object again.
#[pyclass(frozen, module = "arcly._native")]
pub struct AsyncFrames {
    wait: Py<Wait>,
}

/// The waiting of one task at a time. A class of its own: asyncio must not take the awaitable for a future, for it may add a callback
/// to one before anybody has looked for frames.
#[pyclass(frozen, module = "arcly._native")]
pub struct Wait {
    cursor: Py<Cursor>,
    token: Arc<Token>,
    event_loop: Py<PyAny>,
    /// Lists of up to so many frames; single frames without.
    batch_frames: Option<usize>,
    /// Set when it is yielded, cleared by the task that has understood.
    blocking: AtomicBool,
    made: Instant,
    /// When the task last went on, behind a wait or a turn of the loop, in nanoseconds since `made`; [`UNKNOWN`] until it has.
    went_on_ns: AtomicU64,
}

/// How long a task finds frames before the others of its loop have their turn: who takes longer for each than they take to come would never wait, and
/// so keep the loop for itself.
const TURN: Duration = Duration::from_millis(5);

const UNKNOWN: u64 = u64::MAX;

/// Who waits.
pub struct Waiter {
    wait: Py<PyAny>,
    /// Of the task: goes on with it.
    wake: Py<PyAny>,
    context: Py<PyAny>,
    event_loop: Py<PyAny>,
}

/// What a task is woken with in place of a [`Wait`] when somebody gives up the waiting.
#[pyclass(frozen, module = "arcly._native")]
struct Cancelled {
    message: Option<Py<PyAny>>,
}

impl AsyncFrames {
    pub fn new(
        cursor: &Bound<'_, Cursor>,
        token: &WakeToken,
        event_loop: Py<PyAny>,
        batch_frames: Option<usize>,
    ) -> PyResult<Self> {
        let (py, cursor, token) = (cursor.py(), cursor.clone().unbind(), token.token().clone());
        let (blocking, made, went_on_ns) = (AtomicBool::new(false), Instant::now(), AtomicU64::new(UNKNOWN));
        let wait = Wait { cursor, token, event_loop, batch_frames, blocking, made, went_on_ns };
        Ok(Self { wait: Py::new(py, wait)? })
    }
}

impl Wait {
    fn look<'py>(&self, py: Python<'py>) -> PyResult<Found<'py>> {
        let cursor = self.cursor.get();
        match self.batch_frames {
            Some(max) => cursor.find_batch(py, max),
            None => cursor.find_frame(py),
        }
    }

    /// Looks, and again once the log has been told to wake this: what was published in between wakes nobody.
    fn look_or_arm<'py>(&self, py: Python<'py>) -> PyResult<Found<'py>> {
        match self.look(py)? {
            Found::Nothing => {
                self.cursor.get().arm(&self.token);
                self.look(py)
            }
            found => Ok(found),
        }
    }

    /// Whether the others of the loop are to have their turn, before anything is looked for: nothing is lost when the task is cancelled then.
    fn is_turn_over(&self) -> bool {
        let now_ns = u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(UNKNOWN - 1);
        let went_on_ns = self.went_on_ns.load(Ordering::Relaxed);
        if went_on_ns == UNKNOWN {
            self.went_on_ns.store(now_ns, Ordering::Relaxed);
            return false;
        }
        Duration::from_nanos(now_ns.saturating_sub(went_on_ns)) > TURN
    }

    /// The task goes on later.
    fn leave(&self) {
        self.went_on_ns.store(UNKNOWN, Ordering::Relaxed);
    }
}

impl Waiter {
    /// Lets the task run to its next `await`. What it raises is for the loop: a task raises only what is to stop that.
    pub fn step(self, py: Python<'_>) -> PyResult<()> {
        self.context.call_method1(py, intern!(py, "run"), (self.wake, self.wait)).map(drop)
    }

    /// Lets the task run in its turn, woken with `by`.
    fn schedule(self, py: Python<'_>, by: Option<Py<PyAny>>) -> PyResult<()> {
        let context = PyDict::new(py);
        context.set_item(intern!(py, "context"), self.context)?;
        let by = by.unwrap_or(self.wait);
        self.event_loop.bind(py).call_method(intern!(py, "call_soon"), (self.wake, by), Some(&context)).map(drop)
    }
}

/// Wakes who waits for `token`, with `by` or as frames do; whether anybody did.
pub fn wake(py: Python<'_>, token: &Token, by: Option<Py<PyAny>>) -> PyResult<bool> {
    match token.take_waiter() {
        Some(waiter) => waiter.schedule(py, by).map(|()| true),
        None => Ok(false),
    }
}

#[pymethods]
impl AsyncFrames {
    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __await__(&self, py: Python<'_>) -> Py<Wait> {
        self.wait.clone_ref(py)
    }
}

#[pymethods]
impl Wait {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let wait = slf.get();
        if wait.token.has_waiter() {
            return Err(PyRuntimeError::new_err("another task waits for frames of this subscription"));
        }
        if wait.is_turn_over() {
            wait.leave();
            // To a task of asyncio: go on when the others have had their turn.
            return Ok(slf.py().None().into_bound(slf.py()));
        }
        match wait.look_or_arm(slf.py())? {
            Found::Frames(found) => Err(PyStopIteration::new_err(found.unbind())),
            Found::End => Err(PyStopAsyncIteration::new_err(())),
            Found::Nothing => {
                wait.leave();
                wait.blocking.store(true, Ordering::Relaxed);
                Ok(slf.into_any())
            }
        }
    }

    #[getter(_asyncio_future_blocking)]
    fn blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[pyo3(signature = (wake, *, context))]
    fn add_done_callback(slf: Bound<'_, Self>, wake: Py<PyAny>, context: Py<PyAny>) {
        let event_loop = slf.get().event_loop.clone_ref(slf.py());
        let token = slf.get().token.clone();
        token.put_waiter(Waiter { wait: slf.unbind().into_any(), wake, context, event_loop });
    }

    #[pyo3(signature = (msg=None))]
    fn cancel(&self, py: Python<'_>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let cancelled = Py::new(py, Cancelled { message: msg })?;
        wake(py, &self.token, Some(cancelled.into_any()))
    }

    /// There is something to look for.
    fn result(&self) {}
}

#[pymethods]
impl Cancelled {
    fn result(&self, py: Python<'_>) -> PyResult<()> {
        Err(match &self.message {
            Some(message) => CancelledError::new_err((message.clone_ref(py),)),
            None => CancelledError::new_err(()),
        })
    }
}
