//! What one of our connections to a remote has to say, on its way out.

use std::{io, time::Duration};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    time::{Instant, timeout},
};

use crate::tls::Connection;

/// How long the remote may refuse to take a single byte before the connection counts as lost.
const STALL_MAX: Duration = Duration::from_secs(20);
/// How long the goodbye may take.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(2);

/// The output half of a connection.
pub(crate) struct Sending {
    output: WriteHalf<Connection>,
    /// What the machine has to say comes behind it.
    pending: Bytes,
    /// When the remote last took something, or had nothing to take.
    taken: Instant,
    /// TLS may hold back what was written.
    needs_flush: bool,
    written: u64,
}

impl Sending {
    pub(crate) fn new(output: WriteHalf<Connection>) -> Self {
        Self { output, pending: Bytes::new(), taken: Instant::now(), needs_flush: false, written: 0 }
    }

    /// Takes what there is to say, where all before it is out.
    pub(crate) fn refill(&mut self, more: impl FnOnce() -> Option<Bytes>) {
        if self.pending.is_empty() {
            self.pending = more().unwrap_or_default();
            self.taken = Instant::now();
        }
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Writes a part of what waits, or flushes when nothing does and that is due; else it never returns. Nothing is lost when the future is
    /// dropped. An error is a sentence.
    pub(crate) async fn go_on(&mut self) -> Result<(), String> {
        let written = match (&*self.pending, self.needs_flush) {
            ([], false) => std::future::pending().await,
            ([], true) => self.output.flush().await.map(|()| 0),
            (pending, _) => self.output.write(pending).await,
        };
        let written = written.map_err(|error| broke(&error))?;
        // Nothing waited: that was the flush.
        self.needs_flush = !self.pending.is_empty();
        self.pending.advance(written.min(self.pending.len()));
        self.written += written as u64;
        self.taken = Instant::now();
        Ok(())
    }

    /// When [`Self::check`] is due, where something waits.
    pub(crate) fn stalls_at(&self) -> Option<Instant> {
        (!self.pending.is_empty()).then(|| self.taken + STALL_MAX)
    }

    /// Whether the remote reads; an error is a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.stalls_at() {
            Some(at) if at <= Instant::now() => {
                Err(format!("the remote has read nothing for {} s", STALL_MAX.as_secs()))
            }
            _ => Ok(()),
        }
    }

    /// Takes leave: what waits is written, then the goodbye, and the remote gets time to read it.
    pub(crate) async fn close(mut self, mut input: ReadHalf<Connection>, mut goodbye: impl FnMut() -> Option<Bytes>) {
        let leaving = async {
            self.output.write_all(&self.pending).await?;
            while let Some(bytes) = goodbye() {
                self.output.write_all(&bytes).await?;
            }
            self.output.shutdown().await?;
            // A socket closed with unread input is reset, and that takes back what the remote has not read (RFC 1122 §4.2.2.13).
            let mut unread = [0; 4096];
            while input.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(GOODBYE_DEADLINE, leaving).await;
    }
}

/// What the end of a connection is to a person.
pub(crate) fn broke(error: &io::Error) -> String {
    format!("the connection broke: {error}")
}
