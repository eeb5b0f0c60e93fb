//! How native threads wake an event loop: one descriptor per loop and a list of who is ready.
//!
//! The descriptor is written once, and not again before the loop has seen the list empty: a burst of frames is one wake-up.
//! Nothing here needs the GIL on the waking side.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

use arcly_io::Handle;
use pyo3::prelude::*;

use crate::{awaiting::Waiter, lock};

/// So often the list is taken before the rest of the loop has its turn. What comes while tasks run is then served without a
/// system call.
const ROUNDS_MAX: usize = 8;

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct LoopHub {
    shared: Arc<Shared>,
    tokens: AtomicU64,
}

struct Shared {
    ready: Mutex<Ready>,
    bell: bell::Bell,
}

#[derive(Default)]
struct Ready {
    tokens: Vec<Arc<Token>>,
    /// The loop knows, or will know, that it has to look.
    is_rung: bool,
}

impl Shared {
    /// What is ready; nothing means that the next to come rings again.
    fn take(&self) -> Vec<Arc<Token>> {
        let mut ready = lock(&self.ready);
        ready.is_rung = !ready.tokens.is_empty();
        mem::take(&mut ready.tokens)
    }
}

pub struct Token {
    id: u64,
    /// In `ready` already.
    queued: AtomicBool,
    hub: Arc<Shared>,
    /// The task that goes on when this is woken. Kept alive by this, as long as it waits.
    waiter: Mutex<Option<Waiter>>,
}

impl Token {
    fn queue(self: Arc<Self>) {
        self.queued.store(true, Ordering::Relaxed);
        let hub = self.hub.clone();
        let mut ready = lock(&hub.ready);
        ready.tokens.push(self);
        if !mem::replace(&mut ready.is_rung, true) {
            hub.bell.ring();
        }
    }

    pub fn has_waiter(&self) -> bool {
        lock(&self.waiter).is_some()
    }

    pub fn take_waiter(&self) -> Option<Waiter> {
        lock(&self.waiter).take()
    }

    pub fn put_waiter(&self, waiter: Waiter) {
        // One that was there is dropped behind the lock: that may run Python.
        let _before = lock(&self.waiter).replace(waiter);
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct WakeToken(Arc<Token>);

impl WakeToken {
    pub fn waker(&self) -> Waker {
        Waker::from(self.0.clone())
    }

    pub fn token(&self) -> &Arc<Token> {
        &self.0
    }

    /// Has `work` done and wakes behind it. Whoever waits is also woken where a bug ends the work, or there is no runtime any more to do it.
    pub fn wake_after(&self, runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
        let done = WakeAtLast(self.waker());
        runtime.spawn(async move {
            let _done = done;
            work.await;
        });
    }
}

/// Wakes when it is dropped.
struct WakeAtLast(Waker);

impl Drop for WakeAtLast {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        self.clone().queue();
    }
}

#[pymethods]
impl LoopHub {
    #[new]
    fn new() -> PyResult<Self> {
        let shared = Shared { ready: Mutex::default(), bell: bell::Bell::new()? };
        Ok(Self { shared: Arc::new(shared), tokens: AtomicU64::new(0) })
    }

    fn fileno(&self) -> i32 {
        self.shared.bell.descriptor()
    }

    fn token(&self) -> WakeToken {
        let id = self.tokens.fetch_add(1, Ordering::Relaxed);
        WakeToken(Arc::new(Token {
            id,
            queued: AtomicBool::new(false),
            hub: self.shared.clone(),
            waiter: Mutex::default(),
        }))
    }

    fn serve(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        self.shared.bell.silence();
        let mut others = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let ready = self.shared.take();
            if ready.is_empty() {
                return Ok(others.iter().map(|token: &Arc<Token>| token.id).collect());
            }
            if let Err(error) = step(py, &mut ready.into_iter(), &mut others) {
                others.into_iter().for_each(Token::queue);
                self.shared.bell.ring();
                return Err(error);
            }
        }
        self.shared.bell.ring();
        Ok(others.iter().map(|token| token.id).collect())
    }
}

/// Runs the tasks that wait for `ready` tokens; `others` get those for which none waits. A task that raises stops this: then all that
/// have not had their turn are in `others`.
fn step(py: Python<'_>, ready: &mut impl Iterator<Item = Arc<Token>>, others: &mut Vec<Arc<Token>>) -> PyResult<()> {
    while let Some(token) = ready.next() {
        // Before it is acted on: what happens from here on queues the token again. A swap, since whoever found it queued has queued nothing:
        // what it did before is seen from here on.
        token.queued.swap(false, Ordering::AcqRel);
        match token.take_waiter().map(|waiter| waiter.step(py)) {
            None => others.push(token),
            Some(Ok(())) => {}
            Some(Err(error)) => {
                others.extend(ready);
                return Err(error);
            }
        }
    }
    Ok(())
}

#[pymethods]
impl WakeToken {
    #[getter]
    fn id(&self) -> u64 {
        self.0.id
    }

    fn wake(&self) {
        self.0.wake_by_ref();
    }
}

#[cfg(target_os = "linux")]
mod bell {
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    /// An eventfd (eventfd(2)).
    pub struct Bell(OwnedFd);

    impl Bell {
        pub fn new() -> std::io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
        }

        pub fn descriptor(&self) -> i32 {
            self.0.as_raw_fd()
        }

        /// Fails only when the counter is full, and then the loop is awake.
        pub fn ring(&self) {
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        pub fn silence(&self) {
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod bell {
    use std::{
        io::{Read, Write},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    /// A socket pair, where there is no eventfd.
    pub struct Bell {
        read: UnixStream,
        write: UnixStream,
    }

    impl Bell {
        pub fn new() -> std::io::Result<Self> {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            write.set_nonblocking(true)?;
            Ok(Self { read, write })
        }

        pub fn descriptor(&self) -> i32 {
            self.read.as_raw_fd()
        }

        pub fn ring(&self) {
            let _ = (&self.write).write(&[1]);
        }

        pub fn silence(&self) {
            while matches!((&self.read).read(&mut [0; 64]), Ok(n) if n > 0) {}
        }
    }
}
