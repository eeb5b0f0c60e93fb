//! Answers over HTTP/2, of which a client takes as much as it likes: it says of each stream how much it may be sent (RFC 9113 §5.2). What it does
//! not ask for waits in hyper without a deadline, and no write is stuck by it, for the connection is as alive as its pings.

use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use hyper::rt::Executor;
use tokio::{
    sync::Notify,
    task_local,
    time::{Instant, sleep_until},
};

use super::lent::{Breaker, WRITE_DEADLINE};
use crate::lock;

task_local! {
    /// How that is taken which this task gives out; only of the tasks of [`Streams`].
    static TAKING: Arc<Taking>;
}

/// Bytes that are given out at once: a frame (RFC 9113 §6.5.2). hyper leaves a piece to the connection when there is room for one byte of it, and
/// behind the last one it is done.
const PIECE_BYTES: usize = 16 << 10;

/// Runs the streams of a connection, each until its client has taken nothing for [`WRITE_DEADLINE`].
#[derive(Clone)]
pub(super) struct Streams(Breaker);

/// Bytes of an answer on their way to the peer.
pub(crate) struct Given {
    bytes: Bytes,
    taking: Option<Arc<Taking>>,
}

/// How the client of one stream takes what it is given.
struct Taking {
    waiting: Mutex<Waiting>,
    /// Told that nothing waits.
    bell: Notify,
}

struct Waiting {
    /// Given out and not taken.
    bytes: usize,
    /// When some were taken last, or the first of these given out.
    since: Instant,
}

impl Streams {
    /// Those of the connection that `breaker` ends.
    pub(super) fn new(breaker: Breaker) -> Self {
        Self(breaker)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (breaker, taking) = (self.0.clone(), Arc::new(Taking::new()));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = TAKING.scope(taking.clone(), stream) => {}
                // It is reset when it is dropped, with all that waits of it. The others of the connection go on.
                () = taking.stuck() => return,
            }
            tokio::select! {
                biased;
                () = taking.all() => {}
                // The last piece lies with the connection, and its stream is in nobody's hands any more.
                () = taking.stuck() => breaker.reset(),
            }
        });
    }
}

impl Given {
    /// What this task gives out of `bytes` now: a piece over HTTP/2, else all.
    pub(super) fn next(bytes: &mut Bytes) -> Self {
        let taking = TAKING.try_with(Arc::clone).ok();
        let piece_bytes = if taking.is_some() { bytes.len().min(PIECE_BYTES) } else { bytes.len() };
        taking.iter().for_each(|taking| taking.give(piece_bytes));
        Self { bytes: bytes.split_to(piece_bytes), taking }
    }

    /// For whoever writes them in its own way.
    pub(super) fn into_bytes(mut self) -> Bytes {
        self.copy_to_bytes(self.bytes.len())
    }

    fn taken(&self, bytes: usize) {
        self.taking.iter().for_each(|taking| taking.take(bytes));
    }
}

impl Buf for Given {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.taken(bytes);
    }

    fn copy_to_bytes(&mut self, bytes: usize) -> Bytes {
        self.taken(bytes);
        self.bytes.copy_to_bytes(bytes)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.taken(self.bytes.len());
    }
}

impl Taking {
    fn new() -> Self {
        Self { waiting: Mutex::new(Waiting { bytes: 0, since: Instant::now() }), bell: Notify::new() }
    }

    fn give(&self, bytes: usize) {
        let mut waiting = lock(&self.waiting);
        if waiting.bytes == 0 {
            waiting.since = Instant::now();
        }
        waiting.bytes += bytes;
    }

    fn take(&self, bytes: usize) {
        let mut waiting = lock(&self.waiting);
        waiting.bytes -= bytes;
        waiting.since = Instant::now();
        if waiting.bytes == 0 {
            self.bell.notify_one();
        }
    }

    /// Since when the client is waited for, where it is.
    fn waits_since(&self) -> Option<Instant> {
        let waiting = lock(&self.waiting);
        (waiting.bytes > 0).then_some(waiting.since)
    }

    /// Resolves when everything was taken that was given out.
    async fn all(&self) {
        while self.waits_since().is_some() {
            self.bell.notified().await;
        }
    }

    /// Resolves when the client has taken nothing for too long.
    async fn stuck(&self) {
        loop {
            sleep_until(self.waits_since().unwrap_or_else(Instant::now) + WRITE_DEADLINE).await;
            if self.waits_since().is_some_and(|since| since.elapsed() >= WRITE_DEADLINE) {
                return;
            }
        }
    }
}
