//! A connection to another server: the state machine of `wire`, driven over a socket.

use std::{io, net::SocketAddr, time::Duration};

use arcly_wire::rtmp::{ClientConfig, ClientConn, ClientEvent, ClientUse, Limits, MediaKind};
use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    time::{Instant, sleep_until, timeout},
};

use crate::{TlsTrust, dial::dial, rtmp::RemoteUrl, tls::Connection};

/// Bytes read at a time.
const READ_BUFFER_BYTES: usize = 32 << 10;
/// How long the remote may refuse to take a single byte before the connection counts as lost.
const STALL_MAX: Duration = Duration::from_secs(20);
/// How long the goodbye may take.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(2);

/// A client and its socket.
pub(super) struct Client {
    machine: ClientConn,
    input: ReadHalf<Connection>,
    output: WriteHalf<Connection>,
    /// The remote's address.
    pub(super) peer: SocketAddr,
    started: Instant,
    buffer: Vec<u8>,
    /// On its way out; what the machine has to say comes behind it.
    pending: Bytes,
    /// When the remote last took something, or had nothing to take.
    taken: Instant,
    /// TLS may hold back what was written.
    needs_flush: bool,
    written: u64,
    limits: Limits,
}

impl Client {
    /// Connects and begins the handshake; an error is a sentence.
    pub(super) async fn connect(
        url: &RemoteUrl,
        purpose: ClientUse,
        trust: &TlsTrust,
        limits: Limits,
    ) -> Result<Self, String> {
        let (connection, peer) = dial(&url.host, url.port, url.tls.then_some(trust)).await?;
        let (input, output) = split(connection);
        let config = ClientConfig { app: url.app.clone(), tc_url: url.tc_url(), stream: url.name(), purpose };
        // The handshake's random bytes protect nothing in RTMP; they should only differ between connections.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), peer);
        let started = Instant::now();
        Ok(Self {
            machine: ClientConn::new(config, limits, seed, Duration::ZERO),
            input,
            output,
            peer,
            started,
            buffer: vec![0; READ_BUFFER_BYTES],
            pending: Bytes::new(),
            taken: started,
            needs_flush: false,
            written: 0,
            limits,
        })
    }

    /// What the remote did next.
    pub(super) fn event(&mut self) -> Option<ClientEvent> {
        self.machine.poll_event()
    }

    /// Whether all that we had to say is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.machine.pending_output_bytes() == 0
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.pending.len() + self.machine.pending_output_bytes()
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Queues a message of a publish. Only for an idle client: what waits is bounded by what the caller puts in at a time.
    pub(super) fn send(&mut self, kind: MediaKind, timestamp_ms: u32, header: &[u8], payload: &[u8]) {
        self.machine.send(kind, timestamp_ms, header, payload);
    }

    /// Reads or writes once, whatever can be done first. Nothing is lost when the future is dropped. An error is a sentence.
    pub(super) async fn turn(&mut self) -> Result<(), String> {
        if self.pending.is_empty() {
            self.pending = self.machine.poll_output().unwrap_or_default();
            self.taken = Instant::now();
        }
        let has_output = !self.pending.is_empty();
        let deadline = self.deadline(has_output);
        tokio::select! {
            read = self.input.read(&mut self.buffer) => self.on_read(read),
            written = write_some(&mut self.output, &self.pending, self.needs_flush) => self.on_written(written),
            () = sleep_until(deadline) => self.on_deadline(has_output),
        }
    }

    fn deadline(&self, has_output: bool) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let machine = self.machine.poll_timeout().map_or(far, |at| self.started + at);
        if has_output { machine.min(self.taken + STALL_MAX) } else { machine }
    }

    fn on_read(&mut self, read: io::Result<usize>) -> Result<(), String> {
        let now = self.started.elapsed();
        let read = read.map_err(|error| broke(&error))?;
        match self.buffer.get(..read).unwrap_or_default() {
            [] => Err("the remote closed the connection".into()),
            input => {
                let broken = |error| format!("the remote broke the protocol: {error}");
                self.machine.handle_input(now, input).map_err(broken)?;
                let waiting = self.machine.pending_output_bytes();
                // Answers only: media is queued when nothing waits, and is then taken out at once.
                if waiting > self.limits.pending_output_bytes {
                    return Err("the remote asks and does not read our answers".into());
                }
                Ok(())
            }
        }
    }

    fn on_written(&mut self, written: io::Result<usize>) -> Result<(), String> {
        let written = written.map_err(|error| broke(&error))?;
        // Nothing waited: that was the flush.
        self.needs_flush = !self.pending.is_empty();
        self.pending.advance(written.min(self.pending.len()));
        self.written += written as u64;
        self.taken = Instant::now();
        Ok(())
    }

    fn on_deadline(&mut self, has_output: bool) -> Result<(), String> {
        if has_output && self.taken.elapsed() >= STALL_MAX {
            return Err(format!("the remote has read nothing for {} s", STALL_MAX.as_secs()));
        }
        self.machine.handle_timeout(self.started.elapsed()).map_err(|error| format!("the remote {error}"))
    }

    /// Takes leave: what waits is written, then the goodbye, and the remote gets time to read it.
    pub(super) async fn close(mut self) {
        self.machine.close();
        let goodbye = async {
            let pending = std::mem::take(&mut self.pending);
            self.output.write_all(&pending).await?;
            while let Some(bytes) = self.machine.poll_output() {
                self.output.write_all(&bytes).await?;
            }
            self.output.shutdown().await?;
            // A socket closed with unread input is reset, and that takes back what the remote has not read (RFC 1122 §4.2.2.13).
            while self.input.read(&mut self.buffer).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(GOODBYE_DEADLINE, goodbye).await;
    }
}

/// Writes a part of `pending`, or flushes when there is nothing and that is due; else it never returns.
async fn write_some(output: &mut WriteHalf<Connection>, pending: &[u8], needs_flush: bool) -> io::Result<usize> {
    match (pending, needs_flush) {
        ([], false) => std::future::pending().await,
        ([], true) => output.flush().await.map(|()| 0),
        _ => output.write(pending).await,
    }
}

fn broke(error: &io::Error) -> String {
    format!("the connection broke: {error}")
}

/// What a refusal or an end is to a person.
pub(super) fn sentence(code: &str, description: &str, is_error: bool) -> String {
    let verb = if is_error { "refused" } else { "ended the stream" };
    match (description, code) {
        ("", "") => format!("the remote {verb}"),
        (text, "") | ("", text) => format!("the remote {verb}: {text}"),
        (description, code) => format!("the remote {verb}: {description} ({code})"),
    }
}
