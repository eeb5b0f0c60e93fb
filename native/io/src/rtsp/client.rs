//! A connection to another server: the state machine of `wire`, driven over a socket, and datagrams beside it.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use arcly_wire::{
    rtsp::{
        ClientConfig, ClientConn, ClientEvent, ClientUse, Limits, Lower, MediaPacket, MediaSetup, RtspError, RtspUrl,
        Transport, keys, sdp::Media,
    },
    srtp::{Key, Sealer, SrtpError, Suite},
};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, ReadHalf, split},
    time::{Instant, sleep_until},
};

use super::{datagrams::Arrived, ears::Ears, from_bus::ntp_now};
use crate::{
    TlsTrust,
    dial::dial,
    peer::canonical,
    sending::{Sending, broke},
    tls::Connection,
};

/// Bytes read at a time.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Failure {
    /// The remote cannot have it this way: perhaps it can in another.
    Transport(String),
    /// A sentence.
    Other(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl From<RtspError> for Failure {
    fn from(error: RtspError) -> Self {
        match error {
            RtspError::Refused { status: 461, .. } => Self::Transport(error.to_string()),
            RtspError::Refused { .. } | RtspError::Timeout { .. } => Self::Other(error.to_string()),
            error => Self::Other(format!("the remote broke the protocol: {error}")),
        }
    }
}

impl Failure {
    pub(super) fn text(self) -> String {
        match self {
            Self::Transport(text) | Self::Other(text) => text,
        }
    }
}

/// Bytes of packets after which no more are made before these are written.
pub(super) const FILL_BYTES: usize = 64 << 10;

/// A client and its socket.
pub(super) struct Client {
    machine: ClientConn,
    input: ReadHalf<Connection>,
    /// The remote's address.
    pub(super) peer: SocketAddr,
    started: Instant,
    buffer: BytesMut,
    sending: Sending,
    /// Bytes given to the system as datagrams.
    datagram_bytes: u64,
    lower: Lower,
    is_tls: bool,
    ears: Option<Ears>,
    /// Seals what we send of encrypted tracks, and which these are.
    sealer: Option<Sealer>,
    sealed: Vec<usize>,
    /// The packet that is sealed now.
    scratch: Vec<u8>,
    /// The key has sealed as many packets as it may (RFC 3711 §9.2).
    is_spent: bool,
    /// Packets that have come by UDP.
    arrived: VecDeque<MediaPacket>,
}

impl Client {
    /// Connects and begins to speak; media goes by `lower`, where the connection is encrypted only if media is, too.
    pub(super) async fn connect(
        url: &RtspUrl,
        purpose: ClientUse,
        back_channel: bool,
        lower: Lower,
        trust: &TlsTrust,
        limits: Limits,
    ) -> Result<Self, String> {
        let (connection, peer) = dial(&url.host, url.port, url.tls.then_some(trust)).await?;
        let peer = canonical(peer);
        let (input, output) = split(connection);
        let started = Instant::now();
        let config = ClientConfig { url: url.clone(), purpose, limits, back_channel };
        Ok(Self {
            machine: ClientConn::new(config, Duration::ZERO),
            input,
            peer,
            started,
            buffer: BytesMut::new(),
            sending: Sending::new(output),
            datagram_bytes: 0,
            lower,
            is_tls: url.tls,
            ears: None,
            sealer: None,
            sealed: Vec::new(),
            scratch: Vec::new(),
            is_spent: false,
            arrived: VecDeque::new(),
        })
    }

    /// Seals what is published under this key, which the description tells.
    pub(super) fn seal_with(&mut self, key: &Key) -> Result<(), SrtpError> {
        self.sealer = Some(Sealer::new(key)?);
        Ok(())
    }

    /// What the remote did next.
    pub(super) fn event(&mut self) -> Option<ClientEvent> {
        let event = self.machine.poll_event();
        if let (Some(ClientEvent::Started(_)), Some(ears)) = (&event, &mut self.ears) {
            ears.listen(self.machine.setups());
        }
        event.or_else(|| self.arrived.pop_front().map(ClientEvent::Packet))
    }

    /// How media travels.
    pub(super) fn lower(&self) -> Lower {
        self.lower
    }

    /// The tracks that were set up.
    pub(super) fn is_set_up(&self, media: usize) -> bool {
        self.machine.setups().iter().any(|setup| setup.media == media)
    }

    /// Sets up these tracks of a description; to send them, with `record`.
    pub(super) fn setup(&mut self, described: &[Media], medias: &[usize], record: bool) -> Result<(), Failure> {
        self.seal(described, medias)?;
        let mut wishes = Vec::new();
        for (place, media) in medias.iter().enumerate() {
            let transport = match self.lower {
                Lower::Tcp => {
                    let channel = u8::try_from(2 * place).map_err(|_| "too many tracks".to_owned())?;
                    Transport::tcp((channel, channel.saturating_add(1)))
                }
                Lower::Udp => {
                    let ears = self.ears.get_or_insert_with(|| Ears::new(self.peer));
                    Transport::udp(ears.open(*media).map_err(|error| format!("no ports for UDP: {error}"))?)
                }
            };
            wishes.push(MediaSetup {
                media: *media,
                transport: Transport { record, secure: self.sealed.contains(media), ..transport },
            });
        }
        self.machine.setup(wishes);
        Ok(())
    }

    /// Makes a key for what we send of encrypted tracks.
    fn seal(&mut self, described: &[Media], medias: &[usize]) -> Result<(), Failure> {
        let is_secure = |media: &&usize| described.get(**media).is_some_and(keys::is_secure);
        self.sealed = medias.iter().filter(is_secure).copied().collect();
        if self.lower == Lower::Udp && self.is_tls && self.sealed.len() < medias.len() {
            // What goes by itself would not be encrypted.
            return Err(Failure::Transport("the remote does not encrypt datagrams".into()));
        }
        // A publisher has told its key already.
        if !self.sealed.is_empty() && self.sealer.is_none() {
            let suite = described.iter().find_map(keys::of_media).map_or(Suite::default(), |told| told.key.suite());
            let key = Key::random(suite).map_err(|error| error.to_string())?;
            self.sealer = Some(Sealer::new(&key).map_err(|error| error.to_string())?);
            self.machine.tell_key(keys::write(&key, ntp_now()));
        }
        Ok(())
    }

    /// Whether all that we had to say is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.sending.waiting_bytes() == 0 && self.machine.pending_output_bytes() == 0
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.sending.waiting_bytes() + self.machine.pending_output_bytes()
    }

    /// Bytes written so far, or given to the system as datagrams.
    pub(super) fn written(&self) -> u64 {
        self.sending.written() + self.datagram_bytes
    }

    /// Queues a packet of a track.
    pub(super) fn put(&mut self, media: usize, is_rtcp: bool, packet: &[u8]) {
        let Some(sealer) = self.sealer.as_mut().filter(|_| self.sealed.contains(&media)) else {
            return self.put_ready(media, is_rtcp, packet);
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(packet);
        let sealed = if is_rtcp { sealer.rtcp(&mut scratch, 0) } else { sealer.rtp(&mut scratch, 0) };
        match sealed {
            Ok(()) => self.put_ready(media, is_rtcp, &scratch),
            Err(error) => self.is_spent |= error == SrtpError::Exhausted,
        }
        self.scratch = scratch;
    }

    /// The same, as it goes over the wire.
    fn put_ready(&mut self, media: usize, is_rtcp: bool, packet: &[u8]) {
        match &mut self.ears {
            Some(ears) => {
                ears.put(media, is_rtcp, packet);
                self.datagram_bytes += packet.len() as u64;
            }
            None => self.machine.put_packet(media, is_rtcp, packet),
        }
    }

    /// Sends datagrams that are queued.
    pub(super) fn send(&mut self) {
        self.ears.iter_mut().for_each(Ears::send);
    }

    /// Reads or writes once, whatever can be done first. Nothing is lost when the future is dropped.
    pub(super) async fn turn(&mut self) -> Result<(), Failure> {
        if self.is_spent {
            // The next connection has another one.
            return Err(SrtpError::Exhausted.to_string().into());
        }
        self.sending.refill(|| self.machine.poll_output());
        let deadline = self.deadline();
        self.buffer.reserve(READ_BUFFER_BYTES);
        tokio::select! {
            read = self.input.read_buf(&mut self.buffer) => self.on_read(read),
            sent = self.sending.go_on() => Ok(sent?),
            Arrived { media, is_rtcp, payload } = arrival(&mut self.ears) => {
                self.arrived.push_back(MediaPacket { media, is_rtcp, payload });
                Ok(())
            }
            () = sleep_until(deadline) => self.on_deadline(),
        }
    }

    fn deadline(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let machine = self.machine.poll_timeout().map_or(far, |at| self.started + at);
        self.sending.stalls_at().map_or(machine, |at| machine.min(at))
    }

    fn on_read(&mut self, read: io::Result<usize>) -> Result<(), Failure> {
        if read.map_err(|error| broke(&error))? == 0 {
            return Err("the remote closed the connection".to_owned().into());
        }
        let (now, input) = (self.started.elapsed(), self.buffer.split().freeze());
        Ok(self.machine.handle_input(now, input)?)
    }

    fn on_deadline(&mut self) -> Result<(), Failure> {
        self.sending.check()?;
        Ok(self.machine.handle_timeout(self.started.elapsed())?)
    }

    /// Takes leave: what waits is written, then the goodbye, and the remote gets time to read it.
    pub(super) async fn close(self) {
        let Self { mut machine, input, sending, .. } = self;
        machine.close();
        sending.close(input, || machine.poll_output()).await;
    }
}

async fn arrival(ears: &mut Option<Ears>) -> Arrived {
    match ears {
        Some(ears) => ears.next().await,
        None => std::future::pending().await,
    }
}
