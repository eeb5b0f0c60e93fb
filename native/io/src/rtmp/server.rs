//! The RTMP listener: one task per connection, which drives the state machine of `wire` and hands frames to the bus.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use arcly_bus::StreamKey;
use arcly_wire::rtmp::{Event, Limits, PublishRejection, ServerConn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Handle,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Inbox, ListenError, Notice, PlayAsk, PlayDenial, PublishAsk, PublishRequest, Refusal,
    accept::{Acceptor, bind},
    bell::Bell,
    egress::{Egress, EgressOptions, ViewerEnd, Watcher},
    ended::{End, linger},
    publish::Answer,
    rtmp::{
        from_bus::{self, Decision, Play, PlayEvent},
        to_bus::{ENDED_HERE, ToBus},
    },
    tls::{Connection as Stream, TlsIdentity},
};

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct RtmpOptions {
    /// Connections at a time. Default 4096; each costs some 40 KiB while it publishes.
    pub connections_max: usize,
    /// How long the host may take to decide on a publish. Default 10 s; then it is refused.
    pub decision_deadline: Duration,
    /// What one connection may make us hold.
    pub limits: Limits,
    /// How streams leave to players.
    pub egress: EgressOptions,
    /// RTMPS: who we are. Default none: RTMP.
    pub tls: Option<Arc<TlsIdentity>>,
}

impl Default for RtmpOptions {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            decision_deadline: Duration::from_secs(10),
            limits: Limits::default(),
            egress: EgressOptions::default(),
            tls: None,
        }
    }
}

/// Bytes read at a time from a publisher.
const PUBLISHING_BUFFER_BYTES: usize = 32 << 10;

/// The same from who is neither that nor a player yet: a handshake, some commands.
const FIRST_BUFFER_BYTES: usize = 4 << 10;

/// The same from a player, who says little.
const PLAYING_BUFFER_BYTES: usize = 512;

/// How long a peer may refuse to take the few bytes that we answer with.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// Questions of one connection that the host may be working on. Stops a peer that asks and withdraws in a loop from filling the
/// host's inbox, which is for all.
const OPEN_QUESTIONS_MAX: usize = 8;

/// Refusals after which a connection is ended, even while it asks on. Stops a peer that fills the log.
const REFUSALS_MAX: u32 = 4;

/// A listening RTMP server. Dropping it ends its connections.
pub struct RtmpListener {
    acceptor: Acceptor,
    addr: SocketAddr,
    egress: Arc<Egress>,
}

impl RtmpListener {
    /// Listens on `addr` (port 0: any free one). Requests and warnings go to `inbox`.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        options: RtmpOptions,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let listener = bind(addr)?;
        let local = listener.local_addr().map_err(failed)?;
        let (connections_max, shared_inbox) = (options.connections_max, inbox.clone());
        let tls = options.tls.as_ref().map(|identity| identity.acceptor(&[])).transpose();
        let tls = tls.map_err(|error| failed(io::Error::other(error)))?;
        let egress = Egress::new(runtime.clone(), options.egress, shared_inbox.clone());
        let shared = Shared { options, inbox: shared_inbox, egress: egress.clone() };
        let serve = move |stream, peer, stop| serve(stream, peer, stop, shared.clone());
        let acceptor = Acceptor::spawn(runtime, listener, tls, connections_max, inbox, serve).map_err(failed)?;
        Ok(Self { acceptor, addr: local, egress })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
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
    options: RtmpOptions,
    inbox: Arc<Inbox>,
    egress: Arc<Egress>,
}

async fn serve(mut stream: Stream, peer: SocketAddr, stop: CancellationToken, shared: Shared) {
    let mut connection = Connection::new(peer, shared);
    let end = connection.run(&mut stream, &stop).await;
    connection.end(&end);
    if connection.is_pumped() {
        // The pump has the same socket: this tells it.
        stream.reset();
    } else if connection.flush(&mut stream).await.is_ok() && !matches!(end, End::Closed) {
        linger(&mut stream).await;
    }
}

/// A request that waits for the host's decision.
struct Asked {
    id: RequestId,
    until: Instant,
    /// Cleared by whoever is first: the answer, or the connection when it stops waiting.
    waiting: Arc<AtomicBool>,
}

/// Which request of a connection is meant: message streams are used again, so their ids alone do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RequestId {
    stream_id: u32,
    number: u64,
}

/// The answers of the host on their way here.
struct Answers {
    sender: mpsc::Sender<(RequestId, Answer)>,
    receiver: mpsc::Receiver<(RequestId, Answer)>,
}

impl Default for Answers {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(OPEN_QUESTIONS_MAX);
        Self { sender, receiver }
    }
}

/// The next answer; never any when nothing was asked.
async fn next_answer(answers: &mut Option<Answers>) -> (RequestId, Answer) {
    match answers {
        // Never closed: we hold a sender.
        Some(answers) => match answers.receiver.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

struct Connection {
    machine: ServerConn,
    started: Instant,
    peer: SocketAddr,
    agent: String,
    inbox: Arc<Inbox>,
    decision_deadline: Duration,
    /// Made with the first question: two kilobytes that a player never needs.
    answers: Option<Answers>,
    /// Requests that wait for the host's decision, by message stream.
    asked: HashMap<u32, Asked>,
    /// Requests made so far, and those that the host has not answered, withdrawn ones included.
    requests: u64,
    open_questions: usize,
    publishing: HashMap<u32, ToBus>,
    egress: Arc<Egress>,
    /// At most one: two pumps on one socket would write into each other's messages. Players that want two streams make two connections.
    play: Option<Play>,
    /// Asked for while the pump still has the one before, which the player has left.
    next_play: Option<arcly_wire::rtmp::PlayRequest>,
    /// The peer was refused, or a publish was ended from our side.
    dismissed: bool,
    refusals: u32,
    /// Rung when a stream that is published here is ended by somebody else.
    upstream: Arc<Bell>,
}

impl Connection {
    fn new(peer: SocketAddr, Shared { options, inbox, egress }: Shared) -> Self {
        let started = Instant::now();
        // The handshake's random bytes protect nothing in RTMP; they should only differ between connections.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), peer);
        Self {
            machine: ServerConn::new(options.limits, seed, Duration::ZERO),
            started,
            peer,
            agent: String::new(),
            inbox,
            decision_deadline: options.decision_deadline,
            answers: None,
            asked: HashMap::new(),
            requests: 0,
            open_questions: 0,
            publishing: HashMap::new(),
            egress,
            play: None,
            next_play: None,
            dismissed: false,
            refusals: 0,
            upstream: Arc::default(),
        }
    }

    async fn run(&mut self, stream: &mut Stream, stop: &CancellationToken) -> End {
        let mut buffer = vec![0; FIRST_BUFFER_BYTES];
        // Made once, not for every read: to wait for each is a lock, and to set a timer wakes the thread that drives them.
        let bell = self.upstream.clone();
        let (mut rung, mut stopped) = (pin!(bell.heard()), pin!(stop.cancelled()));
        let mut alarm = pin!(sleep_until(self.next_deadline()));
        loop {
            if let Err(end) = self.flush(stream).await {
                return end;
            }
            // Every read moves the deadline on: the alarm goes off too early then, once, and is set anew.
            let deadline = self.next_deadline();
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            let turn = tokio::select! {
                read = stream.read(&mut buffer) => self.on_read(read, &buffer),
                (id, answer) = next_answer(&mut self.answers) => { self.on_answer(id, answer); Ok(()) }
                event = from_bus::next(&mut self.play) => self.on_play_event(event, stream).await,
                () = &mut rung => {
                    rung.set(bell.heard());
                    self.end_closed();
                    Ok(())
                }
                () = &mut alarm => {
                    let turn = self.on_deadline();
                    alarm.as_mut().reset(self.next_deadline());
                    turn
                }
                () = &mut stopped => Err(End::Stopped),
            };
            // What came before a fault is still good.
            self.take_events();
            if let Err(end) = turn {
                return end;
            }
            if buffer.len() != self.buffer_bytes() {
                buffer = vec![0; self.buffer_bytes()];
            }
            if self.open_questions > OPEN_QUESTIONS_MAX {
                return End::Failed(format!(
                    "asked to publish {OPEN_QUESTIONS_MAX} times and did not wait for the answers"
                ));
            }
            let has_nothing =
                self.dismissed && self.asked.is_empty() && self.publishing.is_empty() && self.play.is_none();
            if has_nothing || self.refusals > REFUSALS_MAX {
                return End::Dismissed;
            }
        }
    }

    fn buffer_bytes(&self) -> usize {
        match (self.is_pumped(), self.publishing.is_empty()) {
            (_, false) => PUBLISHING_BUFFER_BYTES,
            (true, true) => PLAYING_BUFFER_BYTES,
            (false, true) => FIRST_BUFFER_BYTES,
        }
    }

    fn on_read(&mut self, read: io::Result<usize>, buffer: &[u8]) -> Result<(), End> {
        let now = self.started.elapsed();
        match buffer.get(..read?).unwrap_or_default() {
            [] if self.machine.is_mid_input() => Err(End::Failed("closed the connection in mid-message".into())),
            [] => Err(End::Closed),
            input => self.machine.handle_input(now, input).map_err(|error| End::Failed(error.to_string())),
        }
    }

    fn on_answer(&mut self, id: RequestId, answer: Answer) {
        self.open_questions = self.open_questions.saturating_sub(1);
        let stream_id = id.stream_id;
        // The peer may have left this stream, asked for something else on it, or waited too long: then the answer is nobody's, and a
        // publisher in it is dropped, which frees its key.
        if self.asked.get(&stream_id).is_none_or(|asked| asked.id != id) {
            return;
        }
        self.asked.remove(&stream_id);
        match answer {
            Ok(publisher) => {
                publisher.wake_on_request(Waker::from(self.upstream.clone()));
                self.publishing.insert(stream_id, ToBus::new(*publisher));
                self.machine.accept_publish(stream_id);
            }
            Err((refusal, text)) => self.refuse(stream_id, refusal, &text),
        }
    }

    fn refuse(&mut self, stream_id: u32, refusal: Refusal, text: &str) {
        let rejection = match refusal {
            Refusal::BadName => PublishRejection::BadName,
            Refusal::Unauthenticated | Refusal::Unauthorized => PublishRejection::Unauthorized,
            Refusal::Failed => PublishRejection::Failed,
        };
        self.machine.reject_publish(stream_id, rejection, text);
        self.dismissed = true;
        self.refusals += 1;
    }

    fn next_deadline(&self) -> Instant {
        let machine = self.machine.poll_timeout().map(|at| self.started + at);
        let decision = self.asked.values().map(|asked| asked.until).min();
        let far = Instant::now() + Duration::from_secs(3600);
        machine.into_iter().chain(decision).min().unwrap_or(far)
    }

    fn on_deadline(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let is_late = |asked: &Asked| asked.until <= now;
        for (stream_id, asked) in self.asked.extract_if(|_, asked| is_late(asked)).collect::<Vec<_>>() {
            // The host may be answering in this very moment: only one of the two says it.
            if asked.waiting.swap(false, Ordering::AcqRel) {
                self.inbox.warn(format!("{}: the host did not decide in time, the publish is refused", self.peer));
            }
            self.refuse(stream_id, Refusal::Failed, "the server did not decide in time");
        }
        self.machine.handle_timeout(self.started.elapsed()).map_err(|error| End::Failed(error.to_string()))
    }

    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Connected(info) => self.agent = info.flash_ver,
                Event::PublishRequested(request) => self.ask(request),
                Event::PlayRequested(request) => self.ask_to_play(request),
                Event::Media(media) => self.on_media(media),
                Event::PlayChanged { stream_id, change } => {
                    if let Some(play) = self.play.as_mut().filter(|play| play.stream_id == stream_id) {
                        play.change(change);
                    }
                }
                Event::PlayEnded { stream_id } => self.on_play_left(stream_id),
                Event::PublishEnded { stream_id } => self.unpublish(stream_id, "the publisher ended the stream"),
            }
        }
    }

    fn ask(&mut self, request: arcly_wire::rtmp::PublishRequest) {
        self.requests += 1;
        self.open_questions += 1;
        if self.open_questions > OPEN_QUESTIONS_MAX {
            return; // The connection is ended as soon as its events are taken.
        }
        let id = RequestId { stream_id: request.stream_id, number: self.requests };
        let waiting = Arc::new(AtomicBool::new(true));
        let until = Instant::now() + self.decision_deadline;
        self.asked.insert(id.stream_id, Asked { id, until, waiting: waiting.clone() });
        let reply = self.answers.get_or_insert_default().sender.clone();
        let ask = PublishAsk {
            app: request.app,
            stream: request.stream,
            protocol: "rtmp",
            query: request.query,
            authorization: String::new(),
            agent: self.agent.clone(),
            peer: self.peer,
        };
        let request = PublishRequest::new(ask, move |answer| {
            let in_time = waiting.swap(false, Ordering::AcqRel);
            // Sent even when it is late: the connection counts its open questions. It cannot be full, for they are bounded; it is
            // closed when the connection is gone, and then a publisher inside is dropped, which ends its stream.
            reply.try_send((id, answer)).is_ok() && in_time
        });
        // When the inbox is full the request is dropped there, and that is a refusal.
        self.inbox.push(Notice::Publish(request));
    }

    fn on_play_left(&mut self, stream_id: u32) {
        if self.next_play.take_if(|request| request.stream_id == stream_id).is_none() {
            self.play.take_if(|play| play.stream_id == stream_id && play.leave());
        }
    }

    fn ask_to_play(&mut self, request: arcly_wire::rtmp::PlayRequest) {
        let stream_id = request.stream_id;
        if self.next_play.is_none() && self.play.as_ref().is_some_and(Play::is_leaving) {
            self.next_play = Some(request);
            return;
        }
        let refusal = match StreamKey::new(&request.app, &request.stream) {
            _ if self.play.is_some() => "a connection plays one stream at a time",
            Err(_) => "no stream can have this name",
            Ok(key) => {
                let (query, agent) = (request.query, self.agent.clone());
                let authorization = String::new();
                let asked =
                    PlayAsk { key, protocol: "rtmp", needs_log: true, query, authorization, agent, peer: self.peer };
                self.play = Some(Play::ask(stream_id, asked, self.inbox.clone()));
                return;
            }
        };
        self.refuse_play(stream_id, refusal);
    }

    fn refuse_play(&mut self, stream_id: u32, text: &str) {
        self.machine.reject_play(stream_id, text);
        self.dismissed = true;
        self.refusals += 1;
    }

    async fn on_play_event(&mut self, event: PlayEvent, stream: &mut Stream) -> Result<(), End> {
        match event {
            PlayEvent::Decided(decision) => self.on_play_decision(decision, stream).await,
            PlayEvent::Packet(packet) => write(stream, &packet).await,
            PlayEvent::Over(end) => {
                if let Some(play) = self.play.take() {
                    self.on_play_over(play, end, stream).await?;
                }
                if let Some(next) = self.next_play.take() {
                    self.ask_to_play(next);
                }
                Ok(())
            }
        }
    }

    async fn on_play_over(&mut self, play: Play, end: ViewerEnd, stream: &mut Stream) -> Result<(), End> {
        match end {
            ViewerEnd::Gone | ViewerEnd::Kicked => return Err(End::Closed),
            ViewerEnd::Slow => return Err(End::Failed("the viewer was too slow".into())),
            ViewerEnd::Stream | ViewerEnd::Left => {}
        }
        // What the pump was to say and did not, because it had ended.
        if let Some(line) = play.line() {
            write(stream, &line.take_news().said).await?;
        }
        if end == ViewerEnd::Stream {
            self.machine.end_play(play.stream_id, "the stream has ended");
            self.dismissed = true;
        }
        Ok(())
    }

    async fn on_play_decision(&mut self, decision: Decision, stream: &mut Stream) -> Result<(), End> {
        let Some(mut play) = self.play.take() else { return Ok(()) };
        let refusal = match decision {
            Ok(Some(log)) => {
                let (key, peer, agent) = (play.key.clone(), self.peer, self.agent.clone());
                match self.egress.admit(&log, Watcher { key, protocol: "rtmp", peer, agent }) {
                    Ok(ticket) => {
                        self.machine.accept_play(play.stream_id);
                        self.flush(stream).await?;
                        play.begin(ticket, stream)?;
                        self.play = Some(play);
                        return Ok(());
                    }
                    Err(_) => "as many watch as may",
                }
            }
            Ok(None) | Err(PlayDenial::NotFound) => "no such stream is live",
            Err(PlayDenial::Unauthenticated | PlayDenial::Forbidden) => "you may not play this stream",
            Err(PlayDenial::Failed) => "nobody decided whether you may play this stream",
        };
        self.refuse_play(play.stream_id, refusal);
        Ok(())
    }

    /// Whether the pump writes to our socket.
    fn is_pumped(&self) -> bool {
        self.play.as_ref().is_some_and(|play| play.line().is_some())
    }

    fn on_media(&mut self, media: arcly_wire::rtmp::Media) {
        let stream_id = media.stream_id;
        let Some(to_bus) = self.publishing.get_mut(&stream_id) else { return };
        let outcome = to_bus.media(media);
        for problem in to_bus.problems() {
            self.inbox.warn(format!("{}: {problem}", self.peer));
        }
        if let Err(reason) = outcome {
            self.machine.end_publish(stream_id, &reason);
            self.unpublish(stream_id, reason);
            self.dismissed = true;
        }
    }

    /// Ends publishes whose stream was ended by somebody else; a sender that is silent would not notice. (A request for a key
    /// frame rings too: RTMP has no way to pass it on.)
    fn end_closed(&mut self) {
        let closed = self.publishing.iter().filter(|(_, to_bus)| to_bus.is_closed());
        for stream_id in closed.map(|(stream_id, _)| *stream_id).collect::<Vec<_>>() {
            self.machine.end_publish(stream_id, ENDED_HERE);
            self.unpublish(stream_id, ENDED_HERE);
            self.dismissed = true;
        }
    }

    fn unpublish(&mut self, stream_id: u32, reason: impl Into<String>) {
        if let Some(asked) = self.asked.remove(&stream_id) {
            asked.waiting.store(false, Ordering::Release);
        }
        if let Some(to_bus) = self.publishing.remove(&stream_id) {
            to_bus.end(reason.into());
        }
    }

    /// Ends all that this connection publishes, and leaves one line when it did not end in order.
    fn end(&mut self, end: &End) {
        for (stream_id, to_bus) in self.publishing.drain() {
            self.machine.end_publish(stream_id, &end.reason());
            to_bus.end(end.reason());
        }
        for asked in self.asked.values() {
            asked.waiting.store(false, Ordering::Release);
        }
        if let End::Failed(text) = end {
            self.inbox.warn(format!("{} was disconnected: {text}", self.peer));
        }
    }

    async fn flush(&mut self, stream: &mut Stream) -> Result<(), End> {
        while let Some(bytes) = self.machine.poll_output() {
            match self.play.as_ref().and_then(Play::line) {
                Some(line) if line.say(&bytes) => {}
                Some(_) => return Err(End::Failed("the peer does not read our answers".into())),
                None => write(stream, &bytes).await?,
            }
        }
        Ok(())
    }
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> Result<(), End> {
    let written = timeout(WRITE_DEADLINE, stream.write_all(bytes)).await;
    Ok(written.map_err(|_| End::Failed("the peer does not read our answers".into()))??)
}
