//! How native threads wake an event loop: one descriptor per loop and a list of who is ready.
//!
//! The descriptor is written only when the list was empty, so that a wake-up of the loop drains all that happened meanwhile.
//! Nothing here needs the GIL on the waking side.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

use pyo3::prelude::*;

use crate::{awaiting::Waiter, lock};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct LoopHub {
    shared: Arc<Shared>,
    tokens: AtomicU64,
}

struct Shared {
    ready: Mutex<Vec<Arc<Token>>>,
    bell: bell::Bell,
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
        ready.push(self);
        if ready.len() == 1 {
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
        let ready = mem::take(&mut *lock(&self.shared.ready));
        let (mut ready, mut others) = (ready.into_iter(), Vec::new());
        for token in ready.by_ref() {
            // Before it is acted on: what happens from here on queues the token again.
            token.queued.store(false, Ordering::Release);
            match token.take_waiter().map(|waiter| waiter.step(py)) {
                None => others.push(token),
                Some(Ok(())) => {}
                // The loop stops here, or tells of it and goes on; the others have been woken all the same.
                Some(Err(error)) => {
                    others.into_iter().chain(ready).for_each(|token| token.queue());
                    return Err(error);
                }
            }
        }
        Ok(others.iter().map(|token| token.id).collect())
    }
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
