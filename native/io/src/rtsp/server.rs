//! The RTSP listener: one task per connection, which drives the state machine of `wire` and hands packets to the bus.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use arcly_bus::{Publisher, StreamKey};
use arcly_wire::rtsp::{
    ACCEPTED, Ask, Denial, Event, Limits, Lower, MediaPacket, Opening, PlayAnswer, REFUSED, ServerConfig, ServerConn,
    Users, sdp,
};
use bytes::{Bytes, BytesMut};
use percent_encoding::percent_decode_str;
use tokio::{
    io::AsyncWriteExt,
    runtime::Handle,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    datagrams::{Arrived, Ports, Registration},
    from_bus::{self, Granted, Play, PlayEvent},
    groups::{GroupRange, Groups},
    outlet::Outlets,
    to_bus::{ENDED_HERE, ToBus},
    tracks::readable,
    tunnel::{self, Tunnel, Tunnels},
};
use crate::{
    Inbox, ListenError, PlayAsk, PlayDenial, PublishAsk, Refusal,
    accept::{Acceptor, bind},
    bell::Bell,
    egress::{Egress, EgressOptions, ViewerEnd, Watcher},
    ended::{End, linger},
    play, publish,
    tls::{Connection as Stream, TlsIdentity},
};

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct RtspOptions {
    /// Connections at a time. Default 4096.
    pub connections_max: usize,
    /// How long the host may take to decide on a publish. Default 10 s; then it is refused.
    pub decision_deadline: Duration,
    /// What one connection may make us hold.
    pub limits: Limits,
    /// How streams leave to players.
    pub egress: EgressOptions,
    /// Names and passwords that are asked for before the host is. Default none: the host alone decides.
    pub users: Option<Users>,
    /// RTSPS: who we are. Default none: RTSP.
    pub tls: Option<Arc<TlsIdentity>>,
    /// The port of RTP in datagrams; RTCP has the next one, and 0 stands for any free pair. Default none: over the connection only. Of no
    /// use with `tls`: what goes by itself would not be encrypted.
    pub udp_port: Option<u16>,
    /// Groups of streams. Default none: nothing is sent to many at once. Of no use without `udp_port`.
    pub groups: Option<GroupRange>,
}

impl Default for RtspOptions {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            decision_deadline: Duration::from_secs(10),
            limits: Limits::default(),
            egress: EgressOptions::default(),
            users: None,
            tls: None,
            udp_port: None,
            groups: None,
        }
    }
}

/// Bytes read at a time of a publisher, and of everybody else, who says little.
const PUBLISHING_BUFFER_BYTES: usize = 64 << 10;
const BUFFER_BYTES: usize = 4 << 10;

/// How often a publisher is told how much of its packets has come (RFC 3550 §6.2: five seconds).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How long a peer may refuse to take the few bytes that we answer with.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// A listening RTSP server. Dropping it ends its connections.
pub struct RtspListener {
    acceptor: Acceptor,
    addr: SocketAddr,
    egress: Arc<Egress>,
    udp: Option<Arc<Ports>>,
    /// Ends the reception of datagrams with the listener.
    _hearing: DropGuard,
}

impl RtspListener {
    /// Listens on `addr` (port 0: any free one). Requests and warnings go to `inbox`.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        options: RtspOptions,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let listener = bind(addr)?;
        let local = listener.local_addr().map_err(failed)?;
        let (connections_max, shared_inbox) = (options.connections_max, inbox.clone());
        let tls = options.tls.as_ref().map(|identity| identity.acceptor(&[])).transpose();
        let tls = tls.map_err(|error| failed(io::Error::other(error)))?;
        let egress = Egress::new(runtime.clone(), options.egress, shared_inbox.clone());
        let stop = CancellationToken::new();
        let port = options.udp_port.filter(|_| options.tls.is_none());
        let open = |port| Ports::open(runtime, local.ip(), port);
        let udp = port
            .map(open)
            .transpose()
            .map_err(|source| ListenError { addr: SocketAddr::new(local.ip(), port.unwrap_or_default()), source })?;
        if let Some(ports) = &udp {
            ports.serve(runtime, &stop);
        }
        let outlets = udp.as_ref().map(|ports| Outlets::new(runtime.clone(), ports.clone()));
        let groups = options.groups.filter(|_| udp.is_some()).map(Groups::new).map(Arc::new);
        let shared = Shared {
            groups,
            options,
            inbox: shared_inbox,
            egress: egress.clone(),
            udp: udp.clone(),
            outlets,
            tunnels: Arc::default(),
        };
        let serve = move |stream, peer, stop| serve(stream, peer, stop, shared.clone());
        let acceptor = Acceptor::spawn(runtime, listener, tls, connections_max, inbox, serve).map_err(failed)?;
        Ok(Self { acceptor, addr: local, egress, udp, _hearing: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The ports of RTP and RTCP in datagrams, where there are such.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        self.udp.as_ref().map(|ports| ports.numbers())
    }

    /// Who plays here.
    pub fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Stops listening and ends all connections.
    pub async fn stop(&self) {
        self.acceptor.stop().await;
    }
}

/// What all connections of a listener have in common.
#[derive(Clone)]
struct Shared {
    options: RtspOptions,
    inbox: Arc<Inbox>,
    egress: Arc<Egress>,
    udp: Option<Arc<Ports>>,
    outlets: Option<Arc<Outlets>>,
    groups: Option<Arc<Groups>>,
    tunnels: Arc<Tunnels>,
}

async fn serve(mut stream: Stream, peer: SocketAddr, stop: CancellationToken, shared: Shared) {
    let unused = shared.options.limits.unused_time;
    let begun = tokio::select! {
        begun = timeout(unused, tunnel::begin(&mut stream)) => begun,
        () = stop.cancelled() => return,
    };
    let Ok(Ok(begun)) = begun else { return };
    let (tunnel, first) = match begun {
        Ok((Opening::Rtsp, first)) => (None, first),
        Ok((Opening::Post(cookie), text)) => return carry(&shared, &cookie, &mut stream, text, &stop).await,
        Ok((Opening::Get(cookie), first)) => match shared.tunnels.open(cookie) {
            Some(tunnel) if write(&mut stream, ACCEPTED).await.is_ok() => (Some(tunnel), first),
            _ => return refuse(&mut stream).await,
        },
        Err(_) => return refuse(&mut stream).await,
    };
    let mut connection = Connection::new(peer, shared);
    connection.tunnel = tunnel;
    let end = connection.run(&mut stream, first, &stop).await;
    connection.end(&end);
    if connection.is_pumped() {
        // The pump has the same socket: this tells it.
        stream.reset();
    } else if connection.flush(&mut stream).await.is_ok() && !matches!(end, End::Closed) {
        linger(&mut stream).await;
    }
}

/// Carries what the second half of a tunnel says.
async fn carry(shared: &Shared, cookie: &str, stream: &mut Stream, text: BytesMut, stop: &CancellationToken) {
    tokio::select! {
        carried = shared.tunnels.carry(cookie, stream, text) => if carried.is_err() {
            refuse(stream).await;
        },
        () = stop.cancelled() => {}
    }
}

/// Sends away who speaks HTTP and wants no tunnel.
async fn refuse(stream: &mut Stream) {
    if write(stream, REFUSED).await.is_ok() {
        linger(stream).await;
    }
}

/// What the host has decided, or a stream has told.
enum Decision {
    Publish(Result<Box<Publisher>, (Refusal, String)>),
    Play(Result<Box<Granted>, PlayDenial>),
}

/// A decision that is waited for.
type Deciding = Pin<Box<dyn Future<Output = Decision> + Send>>;

struct Connection {
    machine: ServerConn,
    started: Instant,
    peer: SocketAddr,
    agent: String,
    inbox: Arc<Inbox>,
    decision_deadline: Duration,
    deciding: Option<Deciding>,
    /// What was announced, and where it goes.
    announced: Vec<sdp::Media>,
    publisher: Option<Box<Publisher>>,
    publishing: Option<ToBus>,
    egress: Arc<Egress>,
    granted: Option<Box<Granted>>,
    play: Option<Play>,
    udp: Option<Arc<Ports>>,
    outlets: Option<Arc<Outlets>>,
    groups: Option<Arc<Groups>>,
    /// What comes by UDP for the session.
    datagrams: Option<Registration>,
    /// When the publisher is told next how much of its packets has come.
    report_at: Option<Instant>,
    /// What is heard comes by another connection, when this is half of a tunnel.
    tunnel: Option<Tunnel>,
    /// Rung when the stream that is published here is ended by somebody else.
    upstream: Arc<Bell>,
}

impl Connection {
    fn new(peer: SocketAddr, shared: Shared) -> Self {
        let Shared { options, inbox, egress, udp, outlets, groups, .. } = shared;
        let ports = udp.as_ref().map(|ports| ports.numbers());
        let config =
            ServerConfig { limits: options.limits, users: options.users, udp: ports, ..ServerConfig::default() };
        Self {
            machine: ServerConn::new(config, Duration::ZERO),
            started: Instant::now(),
            peer,
            agent: String::new(),
            inbox,
            decision_deadline: options.decision_deadline,
            deciding: None,
            announced: Vec::new(),
            publisher: None,
            publishing: None,
            egress,
            granted: None,
            play: None,
            udp,
            outlets,
            groups,
            datagrams: None,
            report_at: None,
            tunnel: None,
            upstream: Arc::default(),
        }
    }

    /// Serves a connection on which `buffer` has come already.
    async fn run(&mut self, stream: &mut Stream, mut buffer: BytesMut, stop: &CancellationToken) -> End {
        // Made once, not for every read: to wait for each is a lock, and to set a timer wakes the thread that drives them.
        let bell = self.upstream.clone();
        let (mut rung, mut stopped) = (pin!(bell.heard()), pin!(stop.cancelled()));
        let mut alarm = pin!(sleep_until(self.next_deadline()));
        if !buffer.is_empty() {
            let turn = self.on_read(Ok(buffer.len()), &mut buffer);
            let taken = self.take_events(stream).await;
            if let Err(end) = turn.and(taken) {
                return end;
            }
        }
        loop {
            if let Err(end) = self.flush(stream).await {
                return end;
            }
            let deadline = self.next_deadline();
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            buffer.reserve(if self.publishing.is_some() { PUBLISHING_BUFFER_BYTES } else { BUFFER_BYTES });
            let turn = tokio::select! {
                read = tunnel::read(stream, &mut self.tunnel, &mut buffer) => self.on_read(read, &mut buffer),
                decision = decided(&mut self.deciding) => { self.on_decision(decision); Ok(()) }
                Some(arrived) = arrived(&mut self.datagrams) => self.on_datagrams(arrived),
                event = from_bus::next(&mut self.play) => self.on_play_event(event, stream).await,
                () = &mut rung => {
                    rung.set(bell.heard());
                    self.end_closed()
                }
                () = &mut alarm => {
                    let turn = self.on_deadline();
                    alarm.as_mut().reset(self.next_deadline());
                    turn
                }
                () = &mut stopped => Err(End::Stopped),
            };
            // What came before a fault is still good.
            let taken = self.take_events(stream).await;
            if let Err(end) = turn.and(taken) {
                return end;
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn on_read(&mut self, read: io::Result<usize>, buffer: &mut BytesMut) -> Result<(), End> {
        // Players go without a word, with packets on their way to them: their systems answer these with a reset.
        let read = match read {
            Err(error) if self.play.is_some() && error.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read?,
        };
        match read {
            0 if self.machine.is_mid_input() && self.play.is_none() => {
                Err(End::Failed("closed the connection in mid-message".into()))
            }
            0 => Err(End::Closed),
            _ => {
                let (now, input) = (self.now(), buffer.split().freeze());
                self.machine.handle_input(now, input).map_err(|error| End::Failed(error.to_string()))
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let machine = self.machine.poll_timeout().map(|at| self.started + at);
        let missing = self.publishing.as_ref().and_then(ToBus::poll_timeout);
        [machine, missing, self.report_at].into_iter().flatten().min().unwrap_or(far)
    }

    fn on_deadline(&mut self) -> Result<(), End> {
        let now = self.now();
        // What is here already is not late.
        if let Some(arrived) = self.datagrams.as_mut().and_then(Registration::try_next) {
            self.on_datagrams(arrived)?;
        }
        self.publish(ToBus::handle_timeout)?;
        if self.publishing.as_ref().is_some_and(ToBus::has_left) {
            // Its TEARDOWN may follow: the connection stays.
            self.unpublish("the publisher said goodbye");
        }
        if self.report_at.is_some_and(|at| at <= Instant::now()) {
            self.report();
        }
        self.machine.handle_timeout(now).map_err(|error| End::Failed(error.to_string()))
    }

    async fn take_events(&mut self, stream: &mut Stream) -> Result<(), End> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::PlayRequested(ask) => self.ask_to_play(ask),
                Event::PublishRequested(ask, description) => self.ask_to_publish(ask, description.medias),
                Event::Playing(answer) => self.begin_play(*answer, stream).await?,
                Event::Paused => self.play.iter_mut().for_each(|play| play.pause(true)),
                Event::Recording => self.begin_publish()?,
                Event::Packet(packet) => self.on_packet(packet)?,
                Event::Ended => self.on_left(),
            }
        }
        Ok(())
    }

    fn ask_to_play(&mut self, ask: Ask) {
        let Ask { path, query, authorization, agent } = ask;
        self.agent.clone_from(&agent);
        let Some(key) = key(&path) else {
            return self.machine.refuse(Denial::BadName, "no stream can have this name");
        };
        let (inbox, peer, ours, groups) = (self.inbox.clone(), self.peer, key.clone(), self.groups.clone());
        let asked = PlayAsk { key, protocol: "rtsp", needs_log: true, query, authorization, agent, peer };
        self.deciding = Some(Box::pin(async move {
            Decision::Play(match play::ask(&inbox, asked).await {
                Ok(Some(log)) => {
                    let group = groups.and_then(|groups| groups.of(&ours));
                    Ok(Box::new(Granted::of(ours, log).await.in_group(group)))
                }
                Ok(None) => Err(PlayDenial::NotFound),
                Err(denial) => Err(denial),
            })
        }));
    }

    fn ask_to_publish(&mut self, ask: Ask, medias: Vec<sdp::Media>) {
        let Ask { path, query, authorization, agent } = ask;
        // Who announces anew gives up what was announced before.
        self.publisher = None;
        let Some(key) = key(&path) else {
            return self.machine.refuse(Denial::BadName, "no stream can have this name");
        };
        if !medias.iter().any(|media| readable(media).is_some()) {
            return self.machine.refuse(Denial::Unsupported, "no track of this is known here");
        }
        self.announced = medias;
        let (inbox, deadline, peer) = (self.inbox.clone(), self.decision_deadline, self.peer);
        let (app, stream) = (key.app().to_owned(), key.stream().to_owned());
        let asked = PublishAsk { app, stream, protocol: "rtsp", query, authorization, agent, peer };
        self.deciding = Some(Box::pin(async move { Decision::Publish(publish::ask(&inbox, asked, deadline).await) }));
    }

    fn on_decision(&mut self, decision: Decision) {
        self.deciding = None;
        match decision {
            Decision::Publish(Ok(publisher)) => {
                publisher.wake_on_request(Waker::from(self.upstream.clone()));
                self.publisher = Some(publisher);
                self.machine.accept_publish();
            }
            Decision::Publish(Err((refusal, text))) => match refusal {
                Refusal::Unauthenticated => self.machine.refuse(Denial::Unauthenticated, ""),
                Refusal::Unauthorized => self.machine.refuse(Denial::Forbidden, ""),
                // Taken, mostly: to say so is no secret to whoever may publish.
                Refusal::BadName => self.machine.refuse(Denial::Forbidden, &text),
                Refusal::Failed => self.machine.refuse(Denial::Failed, &text),
            },
            Decision::Play(Ok(granted)) if granted.is_possible() => {
                self.machine.offer_group(granted.group());
                self.machine.accept_play(granted.describe());
                self.granted = Some(granted);
            }
            Decision::Play(Ok(_)) => self.machine.refuse(Denial::Unsupported, "no track of this can be sent by RTP"),
            Decision::Play(Err(denial)) => self.machine.refuse(
                match denial {
                    PlayDenial::Unauthenticated => Denial::Unauthenticated,
                    PlayDenial::Forbidden => Denial::Forbidden,
                    PlayDenial::NotFound => Denial::NotFound,
                    PlayDenial::Failed => Denial::Failed,
                },
                "",
            ),
        }
    }

    fn begin_publish(&mut self) -> Result<(), End> {
        // Behind a pause it goes on.
        let Some(publisher) = self.publisher.take() else { return Ok(()) };
        self.listen()?;
        self.report_at = Some(Instant::now() + REPORT_EVERY);
        let setups = self.machine.setups();
        let is_set_up = |place| setups.iter().any(|setup| setup.media == place);
        self.publishing = Some(ToBus::new(&self.announced, is_set_up, *publisher));
        Ok(())
    }

    /// Hears what the peer sends by UDP, if it does.
    fn listen(&mut self) -> Result<(), End> {
        let setups = self.machine.setups();
        let is_udp = setups.iter().any(|setup| setup.transport.lower == Lower::Udp);
        if let Some(ports) = self.udp.as_ref().filter(|_| is_udp && self.datagrams.is_none()) {
            let registration = ports.register(self.peer.ip(), setups);
            self.datagrams = Some(registration.ok_or(End::Failed("named ports that another session has".into()))?);
        }
        Ok(())
    }

    fn on_packet(&mut self, packet: MediaPacket) -> Result<(), End> {
        let MediaPacket { media, is_rtcp, payload } = packet;
        self.publish(|to_bus| to_bus.packet(media, is_rtcp, payload))
    }

    /// Takes what has come by UDP, a batch at a time.
    fn on_datagrams(&mut self, first: Arrived) -> Result<(), End> {
        let (now, mut next) = (self.now(), Some(first));
        while let Some(Arrived { media, is_rtcp, payload }) = next {
            self.machine.note_datagram(now, !is_rtcp && self.publishing.is_some());
            self.publish(|to_bus| to_bus.packet(media, is_rtcp, payload))?;
            next = self.datagrams.as_mut().and_then(Registration::try_next);
        }
        Ok(())
    }

    /// Tells the publisher how much has come.
    fn report(&mut self) {
        self.report_at = self.publishing.is_some().then(|| Instant::now() + REPORT_EVERY);
        let Some(to_bus) = &mut self.publishing else { return };
        let reports = to_bus.reports();
        for (media, report) in reports {
            if let Some(datagrams) = &self.datagrams {
                datagrams.answer(media, &report);
            } else {
                self.machine.put_report(media, &report);
            }
        }
    }

    /// Lets the publish do something that may end it.
    fn publish(&mut self, work: impl FnOnce(&mut ToBus) -> Result<(), String>) -> Result<(), End> {
        let Some(to_bus) = &mut self.publishing else { return Ok(()) };
        let outcome = work(to_bus);
        for problem in to_bus.problems() {
            self.inbox.warn(format!("{}: {problem}", self.peer));
        }
        outcome.map_err(|reason| {
            self.unpublish(&reason);
            End::Failed(reason)
        })
    }

    /// Ends the publish whose stream was ended by somebody else: RTSP has no word for it but the end of the connection.
    fn end_closed(&mut self) -> Result<(), End> {
        let is_closed = self.publishing.as_ref().is_some_and(ToBus::is_closed)
            || self.publisher.as_ref().is_some_and(|publisher| publisher.log().is_closed());
        if !is_closed {
            return Ok(());
        }
        self.unpublish(ENDED_HERE);
        Err(End::Dismissed)
    }

    fn unpublish(&mut self, reason: &str) {
        if let Some(publisher) = self.publisher.take() {
            publisher.end(reason.to_owned());
        }
        if let Some(to_bus) = self.publishing.take() {
            to_bus.end(reason.to_owned());
        }
    }

    async fn begin_play(&mut self, answer: PlayAnswer, stream: &mut Stream) -> Result<(), End> {
        self.flush(stream).await?;
        if let Some(play) = &mut self.play {
            play.pause(false);
            self.say(&answer.write(&[]), stream).await?;
            self.machine.begin_play();
            return Ok(());
        }
        let Some(granted) = &self.granted else { return Ok(()) };
        if granted.has_changed() {
            self.machine.refuse(Denial::Failed, "the tracks have changed since they were described");
            return Ok(());
        }
        let setups = self.machine.setups();
        let is_udp = setups.iter().any(|setup| setup.transport.lower == Lower::Udp);
        let is_cast = setups.iter().any(|setup| setup.transport.multicast);
        let protocol = match is_udp {
            true if is_cast => "rtsp-multicast",
            true => "rtsp-udp",
            false => "rtsp",
        };
        let watcher = Watcher { key: granted.key.clone(), protocol, peer: self.peer, agent: self.agent.clone() };
        let Ok(ticket) = self.egress.admit(&granted.log, watcher) else {
            self.machine.refuse(Denial::Failed, "as many watch as may");
            return Ok(());
        };
        let (play, first) = match &self.outlets {
            Some(outlets) if is_udp => {
                let ours = stream.local_ip().filter(|ip| !ip.is_unspecified());
                Play::by_datagrams(ticket, granted, setups, answer, outlets, (self.peer.ip(), ours))?
            }
            _ => Play::over_connection(ticket, granted, setups, answer, stream)?,
        };
        self.play = Some(play);
        self.listen()?;
        self.machine.begin_play();
        write(stream, &first).await
    }

    async fn on_play_event(&mut self, event: PlayEvent, stream: &mut Stream) -> Result<(), End> {
        let end = match event {
            PlayEvent::Packet(packet) => return write(stream, &packet).await,
            PlayEvent::Over(end) => end,
        };
        let Some(play) = self.play.take() else { return Ok(()) };
        match end {
            ViewerEnd::Gone | ViewerEnd::Kicked => return Err(End::Closed),
            ViewerEnd::Slow => return Err(End::Failed("the viewer was too slow".into())),
            ViewerEnd::Stream | ViewerEnd::Left => {}
        }
        // What the pump was to say and did not, because it had ended.
        if let Some(line) = play.line() {
            write(stream, &line.take_news().said).await?;
        }
        let has_changed = self.granted.as_ref().is_some_and(|granted| granted.has_changed());
        match end {
            // Others are described to who comes again.
            ViewerEnd::Stream if has_changed => Err(End::Failed("the tracks of the stream have changed".into())),
            ViewerEnd::Stream => Err(End::Dismissed),
            _ => Ok(()),
        }
    }

    /// The peer has ended its session.
    fn on_left(&mut self) {
        self.play.take_if(|play| play.leave());
        (self.granted, self.datagrams) = (None, None);
        self.unpublish("the publisher ended the stream");
    }

    /// Whether the pump writes to our socket.
    fn is_pumped(&self) -> bool {
        self.play.as_ref().is_some_and(|play| play.line().is_some())
    }

    /// Ends what this connection publishes, and leaves one line when it did not end in order.
    fn end(&mut self, end: &End) {
        self.unpublish(&end.reason());
        if let End::Failed(text) = end {
            self.inbox.warn(format!("{} was disconnected: {text}", self.peer));
        }
    }

    async fn flush(&mut self, stream: &mut Stream) -> Result<(), End> {
        while let Some(bytes) = self.machine.poll_output() {
            self.say(&bytes, stream).await?;
        }
        Ok(())
    }

    async fn say(&mut self, bytes: &Bytes, stream: &mut Stream) -> Result<(), End> {
        match self.play.as_ref().and_then(Play::line) {
            Some(line) if line.say(bytes) => Ok(()),
            Some(_) => Err(End::Failed("the peer does not read our answers".into())),
            None => write(stream, bytes).await,
        }
    }
}

/// The stream that a path names: `/live/cam`.
fn key(path: &str) -> Option<StreamKey> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let (app, stream) = path.trim_matches('/').rsplit_once('/')?;
    StreamKey::new(app, stream).ok()
}

async fn arrived(datagrams: &mut Option<Registration>) -> Option<Arrived> {
    match datagrams {
        Some(datagrams) => datagrams.next().await,
        None => std::future::pending().await,
    }
}

async fn decided(deciding: &mut Option<Deciding>) -> Decision {
    match deciding {
        Some(deciding) => deciding.await,
        None => std::future::pending().await,
    }
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> Result<(), End> {
    let written = timeout(WRITE_DEADLINE, async {
        stream.write_all(bytes).await?;
        // TLS may hold back what was written.
        stream.flush().await
    });
    Ok(written.await.map_err(|_| End::Failed("the peer does not read our answers".into()))??)
}
