//! A connection to another server: the state machine of `wire`, driven over a socket.

use std::{io, net::SocketAddr, time::Duration};

use arcly_wire::rtmp::{ClientConfig, ClientConn, ClientEvent, ClientUse, Limits, MediaKind};
use tokio::{
    io::{AsyncReadExt, ReadHalf, split},
    time::{Instant, sleep_until},
};

use crate::{
    TlsTrust,
    dial::dial,
    link::End,
    rtmp::RemoteUrl,
    sending::{Sending, broke},
    tls::Connection,
};

/// Bytes read at a time.
const READ_BUFFER_BYTES: usize = 32 << 10;

/// A client and its socket.
pub(super) struct Client {
    machine: ClientConn,
    input: ReadHalf<Connection>,
    /// The remote's address.
    pub(super) peer: SocketAddr,
    started: Instant,
    buffer: Vec<u8>,
    sending: Sending,
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
        let config = ClientConfig { app: url.connect_app(), tc_url: url.tc_url(), stream: url.name(), purpose };
        // The handshake's random bytes protect nothing in RTMP; they should only differ between connections.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), peer);
        let started = Instant::now();
        Ok(Self {
            machine: ClientConn::new(config, limits, seed, Duration::ZERO),
            input,
            peer,
            started,
            buffer: vec![0; READ_BUFFER_BYTES],
            sending: Sending::new(output),
            limits,
        })
    }

    /// What the remote did next.
    pub(super) fn event(&mut self) -> Option<ClientEvent> {
        self.machine.poll_event()
    }

    /// Whether all that we had to say is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.sending.waiting_bytes() == 0 && self.machine.pending_output_bytes() == 0
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.sending.waiting_bytes() + self.machine.pending_output_bytes()
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.sending.written()
    }

    /// Queues a message of a publish. Only for an idle client: what waits is bounded by what the caller puts in at a time.
    pub(super) fn send(&mut self, kind: MediaKind, timestamp_ms: u32, header: &[u8], payload: &[u8]) {
        self.machine.send(kind, timestamp_ms, header, payload);
    }

    /// Reads or writes once, whatever can be done first. Nothing is lost when the future is dropped. An error is a sentence.
    pub(super) async fn turn(&mut self) -> Result<(), String> {
        self.sending.refill(|| self.machine.poll_output());
        let deadline = self.deadline();
        tokio::select! {
            read = self.input.read(&mut self.buffer) => self.on_read(read),
            sent = self.sending.go_on() => sent,
            () = sleep_until(deadline) => self.on_deadline(),
        }
    }

    fn deadline(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let machine = self.machine.poll_timeout().map_or(far, |at| self.started + at);
        self.sending.stalls_at().map_or(machine, |at| machine.min(at))
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

    fn on_deadline(&mut self) -> Result<(), String> {
        self.sending.check()?;
        self.machine.handle_timeout(self.started.elapsed()).map_err(|error| format!("the remote {error}"))
    }

    /// Takes leave: what waits is written, then the goodbye, and the remote gets time to read it.
    pub(super) async fn close(self) {
        let Self { mut machine, input, sending, .. } = self;
        machine.close();
        sending.close(input, || machine.poll_output()).await;
    }
}

/// What is to be done when the remote has refused or ended the stream: to come again with what it asks for of our login, or to tell it in a sentence.
pub(super) fn over(url: &mut RemoteUrl, code: &str, description: &str, is_error: bool) -> Result<End, String> {
    match url.logged_in(description).filter(|_| is_error) {
        Some(logged_in) => {
            *url = logged_in;
            Ok(End::Again)
        }
        None => Err(sentence(code, description, is_error)),
    }
}

/// What a refusal or an end is to a person.
fn sentence(code: &str, description: &str, is_error: bool) -> String {
    let verb = if is_error { "refused" } else { "ended the stream" };
    match (description, code) {
        ("", "") => format!("the remote {verb}"),
        (text, "") | ("", text) => format!("the remote {verb}: {text}"),
        (description, code) => format!("the remote {verb}: {description} ({code})"),
    }
}
