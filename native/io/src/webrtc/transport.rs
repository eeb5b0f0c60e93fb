//! What the host holds: it answers offers, and reaches the sessions that came of them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arcly_bus::{Log, Publisher, StreamKey};
use arcly_codec::MediaKind;
use arcly_wire::webrtc::{
    Answer, Fragment, Lane, Limits, Offer, PlayOptions, PlayedCodec, Session, Settings, WebRtcError, token,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    WebRtcOptions,
    door::{Door, Full, Place},
    from_bus::{Answered, Apart, BFrames, playable},
    port::{Command, Opening, Port, Role},
    tcp::Tcp,
};
use crate::{
    Inbox, ListenError,
    accept::{Acceptor, Listening},
    bug::BugReport,
    egress::{List, ViewerId, ViewerInfo},
    udp::{UdpOptions, UdpSocket},
};

/// Requests of the host that the port has not looked at. It looks many times a second.
const COMMANDS_MAX: usize = 4096;

/// Datagrams from TCP that the port has not looked at; connections wait then.
const TCP_EVENTS_MAX: usize = 1024;

/// How long the port may take to answer, or to say goodbye to all.
const PORT_DEADLINE: Duration = Duration::from_secs(2);

/// Somebody who brings an offer.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The stream.
    pub key: StreamKey,
    /// From where the offer came: media may come from elsewhere.
    pub address: IpAddr,
    /// What the peer calls itself. May be empty.
    pub agent: String,
}

/// Why an offer is not answered, or a session not reached.
#[derive(Debug)]
pub enum OpenError {
    /// The offer.
    Offer(WebRtcError),
    /// As many sessions as there may be.
    Full,
    /// As many of this address as may be unconnected.
    FullForAddress,
    /// The stream has nothing that WebRTC carries.
    NothingToPlay,
    /// There is no such session.
    NotFound,
    /// The ICE session that was meant is over.
    OtherIce,
    /// The transport was stopped.
    Stopped,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(error) => write!(f, "{error}"),
            Self::Full => f.write_str("as many sessions are open as may be"),
            Self::FullForAddress => f.write_str("too many sessions of this address have been opened and not connected"),
            Self::NothingToPlay => f.write_str("the stream has neither pictures nor sound that WebRTC can carry"),
            Self::NotFound => f.write_str("there is no such session"),
            Self::OtherIce => f.write_str("the ICE session that is meant is over"),
            Self::Stopped => f.write_str("the server is shutting down"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<WebRtcError> for OpenError {
    fn from(error: WebRtcError) -> Self {
        Self::Offer(error)
    }
}

/// An offer that has been answered. Begin it, or drop it.
pub struct Prepared {
    session: Box<Session>,
    answer: Answer,
    place: Place,
    caller: Caller,
    commands: mpsc::Sender<Command>,
}

impl Prepared {
    /// What to tell the peer.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Lets the peer publish: into `publisher`, and what it sends in other encodings (simulcast) into those with their names. Returns the
    /// name of the session, which nobody can guess.
    ///
    /// # Errors
    /// [`OpenError::Stopped`].
    pub fn publish(self, publisher: Publisher, others: Vec<(String, Publisher)>) -> Result<String, OpenError> {
        self.begin(Role::Publish { publisher: Box::new(publisher), others })
    }

    fn begin(self, role: Role) -> Result<String, OpenError> {
        let Self { session, answer, place, caller, commands } = self;
        let id = token();
        let opening = Opening { id: id.clone(), user_name: answer.user_name, session, place, caller, role };
        commands.try_send(Command::Open(Box::new(opening))).map_err(|_| OpenError::Stopped)?;
        Ok(id)
    }
}

/// A port for WebRTC. Dropping it ends its sessions.
pub struct WebRtcTransport {
    settings: Arc<Settings>,
    addr: SocketAddr,
    has_tcp: bool,
    playout_delay: Option<(Duration, Duration)>,
    door: Arc<Door>,
    viewers: Arc<List>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    tasks: TaskTracker,
    acceptor: Option<Acceptor>,
}

impl WebRtcTransport {
    /// Opens the port at `addr` (port 0: any free one). Warnings and news go to `inbox`.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        options: WebRtcOptions,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let udp = UdpOptions { coalesced: true, local_addresses: true, ..UdpOptions::default() };
        let socket = UdpSocket::bind(runtime, addr, &udp).map_err(failed)?;
        socket.warnings().iter().for_each(|warning| inbox.warn(warning.clone()));
        let local = socket.addr();
        let listening = match options.tcp_connections_max {
            0 => None,
            _ => Listening::on(local, None, &[])
                .inspect_err(|error| inbox.warn(format!("WebRTC does without TCP: {error}")))
                .ok(),
        };
        let reachable = reachable(local, &options.hosts);
        let tcp = if listening.is_some() { reachable.clone() } else { Vec::new() };
        let settings = Settings::new(options.limits, reachable, tcp);
        let settings = Arc::new(settings.map_err(|error| failed(std::io::Error::other(error)))?);

        let (door, viewers) = (Door::new(&options), List::new(inbox.clone()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (commands, requests) = mpsc::channel(COMMANDS_MAX);
        let (tcp_events, from_tcp) = mpsc::channel(TCP_EVENTS_MAX);
        let acceptor = listening.map(|listening| {
            let Limits { datagram_bytes, connect_time, .. } = options.limits;
            let tcp = Tcp { events: tcp_events, datagram_bytes, connect_time, strangers: Door::of_tcp(&options) };
            let serve = move |stream, peer, stop| tcp.clone().serve(stream, peer, stop);
            listening.serve(runtime, options.tcp_connections_max, inbox.clone(), serve)
        });
        let acceptor = acceptor.transpose()?;
        let report = BugReport::of(format!("WebRTC at {local}"), inbox.clone());
        let port = Port::new(socket, &options, settings.clone(), viewers.clone(), inbox, requests, from_tcp);
        let running = port.run(stop.clone());
        tasks.spawn_on(report.over(running), runtime);
        tasks.close();
        let has_tcp = acceptor.is_some();
        let playout_delay = options.playout_delay;
        Ok(Self { settings, addr: local, has_tcp, playout_delay, door, viewers, commands, stop, tasks, acceptor })
    }

    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Under which addresses STUN servers see the UDP port.
    pub fn discovered(&self) -> Vec<SocketAddr> {
        self.settings.discovered()
    }

    /// Whether TCP connections are taken too.
    pub fn has_tcp(&self) -> bool {
        self.has_tcp
    }

    /// Sessions now, those that are not connected yet among them.
    pub fn sessions(&self) -> usize {
        self.door.sessions()
    }

    /// Who watches, by age.
    pub fn viewers(&self) -> Vec<ViewerInfo> {
        self.viewers.all()
    }

    /// Ends a viewer within a second; false when it is not there.
    pub fn kick(&self, id: ViewerId) -> bool {
        self.viewers.kick(id)
    }

    /// Answers the offer of somebody who may publish.
    ///
    /// # Errors
    /// [`OpenError`], to be shown to the peer.
    pub fn prepare_publish(&self, offer: &str, caller: Caller) -> Result<Prepared, OpenError> {
        let place = self.enter(caller.address)?;
        let offer = Offer::parse(offer, &self.settings.limits)?;
        let (session, answer) = Session::publish(&self.settings, offer, Instant::now())?;
        Ok(self.prepared(session, answer, place, caller))
    }

    /// Answers the offer of somebody who may watch the first of `renditions`, each a name and a log; of the others they are sent what their
    /// path carries, or what has begun. What of the first stands elsewhere is taken from there. Returns the name of the session and what to tell the peer.
    ///
    /// # Errors
    /// [`OpenError`], to be shown to the peer.
    pub fn play(
        &self,
        offer: &str,
        renditions: Vec<(String, Arc<Log>)>,
        apart: Apart,
        b_frames: BFrames,
        caller: Caller,
    ) -> Result<(String, Answer), OpenError> {
        let place = self.enter(caller.address)?;
        let (played, notes) = played(&renditions, apart.sound.as_deref());
        if played.is_empty() {
            return Err(OpenError::NothingToPlay);
        }
        let offer = Offer::parse(offer, &self.settings.limits)?;
        let lacks = |kind| !played.iter().any(|played| played.codec.kind() == kind) && offer.asks_for(kind);
        let lacked = [lacks(MediaKind::Video), lacks(MediaKind::Audio)];
        let options = PlayOptions { estimates: renditions.len() > 1, playout_delay: self.playout_delay };
        let (session, mut answer) = Session::play(&self.settings, offer, &played, options, Instant::now())?;
        answer.notes.extend(notes);
        let codec = |lane, kind| {
            let played = played.iter().find(|played| played.codec.kind() == kind && session.plays(lane));
            played.map(|played| played.codec)
        };
        let codecs = [codec(Lane::Video, MediaKind::Video), codec(Lane::Audio, MediaKind::Audio)];
        let prepared = self.prepared(session, answer.clone(), place, caller);
        let id = prepared.begin(Role::Play { renditions, apart, answered: Answered { codecs, lacked }, b_frames })?;
        Ok((id, answer))
    }

    /// Takes a fragment of a peer, for the ICE session `ice` when it says which; the answer is one too, when ICE was restarted.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn trickle(&self, id: &str, fragment: &str, ice: Option<String>) -> Result<Option<Answer>, OpenError> {
        let fragment = Fragment::parse(fragment, &self.settings.limits)?;
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Trickle { id: id.to_owned(), fragment, ice, reply })?;
        answer.await.unwrap_or(Err(OpenError::Stopped))
    }

    /// The rendition that a viewer is sent, and what its path carries, in bits per second; 0 where that is not known.
    ///
    /// # Errors
    /// [`OpenError::NotFound`]: no such session, or one that is not connected; [`OpenError::Stopped`].
    pub async fn layer(&self, id: &str) -> Result<(String, u64), OpenError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Layer { id: id.to_owned(), reply })?;
        answer.await.map_err(|_| OpenError::Stopped)?.ok_or(OpenError::NotFound)
    }

    /// Ends a session; false when it is not there.
    ///
    /// # Errors
    /// [`OpenError::Stopped`].
    pub async fn close(&self, id: &str) -> Result<bool, OpenError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Close { id: id.to_owned(), reply })?;
        answer.await.map_err(|_| OpenError::Stopped)
    }

    /// Says goodbye to all and closes the port.
    pub async fn stop(&self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(PORT_DEADLINE, self.tasks.wait()).await;
        if let Some(acceptor) = &self.acceptor {
            acceptor.stop().await;
        }
    }

    fn enter(&self, address: IpAddr) -> Result<Place, OpenError> {
        self.door.enter(address).map_err(|full| match full {
            Full::Everywhere => OpenError::Full,
            Full::ForAddress => OpenError::FullForAddress,
        })
    }

    fn prepared(&self, session: Session, answer: Answer, place: Place, caller: Caller) -> Prepared {
        Prepared { session: Box::new(session), answer, place, caller, commands: self.commands.clone() }
    }

    fn tell(&self, command: Command) -> Result<(), OpenError> {
        self.commands.try_send(command).map_err(|_| OpenError::Stopped)
    }
}

impl Drop for WebRtcTransport {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The addresses that peers are told.
fn reachable(local: SocketAddr, hosts: &[IpAddr]) -> Vec<SocketAddr> {
    let own = (!local.ip().is_unspecified()).then_some(local.ip());
    let mut addresses: Vec<_> = hosts.iter().copied().chain(own).collect();
    addresses.dedup();
    if addresses.is_empty() {
        // Nobody said where we are: at least whoever sits at this machine finds us.
        addresses.push(if local.is_ipv4() {
            IpAddr::from([127, 0, 0, 1])
        } else {
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
        });
    }
    addresses.into_iter().map(|ip| SocketAddr::new(ip, local.port())).collect()
}

/// What of a stream is played, and what a person should know of what is not. The pictures are those of the first rendition that has some: a
/// publisher whose path is narrow begins with its least. The sound is that of the first one of which anything is known.
fn played(renditions: &[(String, Arc<Log>)], sound: Option<&Log>) -> (Vec<PlayedCodec>, Vec<String>) {
    let logs: Vec<_> = renditions.iter().map(|(_, log)| &**log).collect();
    let sound = sound.or(logs.iter().copied().find(|log| !log.tracks().tracks.is_empty()));
    let first =
        |logs: &[&Log], kind| logs.iter().flat_map(|log| codecs(log)).find(|played| played.codec.kind() == kind);
    let pictures = first(&logs, MediaKind::Video);
    let sounds = first(sound.as_slice(), MediaKind::Audio);
    let left_out =
        [(MediaKind::Video, pictures), (MediaKind::Audio, sounds)].into_iter().filter(|(_, played)| played.is_none());
    let tracks = logs.first().map(|log| log.tracks());
    let notes = left_out.filter_map(|(kind, _)| {
        let codec = tracks.as_ref()?.first(kind)?.config.codec().name();
        Some(format!("without {}: WebRTC does not carry {codec}", kind.name()))
    });
    let notes = notes.collect();
    ([pictures, sounds].into_iter().flatten().collect(), notes)
}

/// What of a log can be played.
fn codecs(log: &Log) -> Vec<PlayedCodec> {
    playable(&log.tracks()).iter().filter_map(|track| PlayedCodec::of(&track.config)).collect()
}
