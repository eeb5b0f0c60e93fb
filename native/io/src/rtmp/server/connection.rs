//! One connection: its bytes in and out, its deadlines, its end.

use std::{collections::HashMap, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use arcly_wire::{
    base64,
    rtmp::{Capabilities, ConnectInfo, Event, ServerConn},
};
use percent_encoding::percent_decode_str;
use tokio::{
    io::AsyncWriteExt,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    patience::{Patience, SILENCE_MAX},
    publishing::{Answers, Asked, OPEN_QUESTIONS_MAX, next_answer},
};
use crate::{
    bell::Bell,
    egress,
    ended::End,
    read::{READ_BYTES_MAX, read},
    rtmp::{
        from_bus::{self, Play},
        to_bus::ToBus,
    },
    tls::Connection as Stream,
};

/// Bytes read at a time from who does not publish: what is answered to them all together stays within the bound of the machine's output.
const COMMAND_BYTES: usize = 4 << 10;

/// How long a peer may refuse to take the few bytes that we answer with.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// Why a peer is asked to come again elsewhere.
const LEAVING: &str = "this server is about to stop";

/// Refusals after which a connection is ended, even while it asks on. Stops a peer that fills the log.
const REFUSALS_MAX: u32 = 4;

pub(super) struct Connection {
    pub(super) machine: ServerConn,
    pub(super) started: Instant,
    pub(super) last_read: Instant,
    pub(super) peer: SocketAddr,
    pub(super) agent: String,
    /// What `user:password@` of its URL is as a header of HTTP; empty without one.
    pub(super) authorization: String,
    pub(super) reads_multitrack: bool,
    pub(super) shared: Arc<Shared>,
    /// Made with the first question: two kilobytes that a player never needs.
    pub(super) answers: Option<Answers>,
    /// Requests that wait for the host's decision, by message stream.
    pub(super) asked: HashMap<u32, Asked>,
    /// Requests made so far, and those that the host has not answered, withdrawn ones included.
    pub(super) requests: u64,
    pub(super) open_questions: usize,
    pub(super) publishing: HashMap<u32, ToBus>,
    /// While something is published.
    pub(super) patience: Option<Patience>,
    /// It has asked to play, now or before.
    pub(super) is_player: bool,
    /// At most one of them is pumped, and then it is the only one that has begun.
    pub(super) plays: Vec<Play>,
    /// Whether the kernel knows how many bytes of what the peer says have come: not where they are encrypted.
    pub(super) is_plain: bool,
    /// The peer was refused, or a publish was ended from our side.
    pub(super) dismissed: bool,
    pub(super) refusals: u32,
    /// Rung when a stream that is published here is ended by somebody else.
    pub(super) upstream: Arc<Bell>,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, is_plain: bool, shared: Arc<Shared>) -> Self {
        let started = Instant::now();
        // The handshake's random bytes protect nothing in RTMP; they should only differ between connections.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), peer);
        Self {
            machine: ServerConn::new(shared.options.limits, seed, Duration::ZERO),
            started,
            last_read: started,
            peer,
            agent: String::new(),
            authorization: String::new(),
            reads_multitrack: false,
            shared,
            answers: None,
            asked: HashMap::new(),
            requests: 0,
            open_questions: 0,
            publishing: HashMap::new(),
            patience: None,
            is_player: false,
            plays: Vec::new(),
            is_plain,
            dismissed: false,
            refusals: 0,
            upstream: Arc::default(),
        }
    }

    pub(super) async fn run(&mut self, stream: &mut Stream, stop: &CancellationToken) -> End {
        // Made once, not for every read: to wait for each is a lock, and to set a timer wakes the thread that drives them.
        let bell = self.upstream.clone();
        let (mut rung, mut stopped) = (pin!(bell.heard()), pin!(stop.cancelled()));
        let mut asked_away = pin!(asked_away(self.shared.elsewhere.subscribe()));
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
            let bytes = if self.publishing.is_empty() { COMMAND_BYTES } else { READ_BYTES_MAX };
            // The kernel keeps the rest until the host has decided.
            let wants_input = self.machine.wants_input();
            let turn = tokio::select! {
                // Media first, and the others only where there is none: to look at each of them costs as much as a small message. A
                // flood keeps nobody out, for the runtime has every task make way now and then (`tokio::task::coop`).
                biased;
                read = read(stream, bytes, |input| {
                    self.last_read = Instant::now();
                    on_input(&mut self.machine, self.last_read - self.started, input)
                }), if wants_input => read.unwrap_or_else(|error| Err(error.into())),
                (id, answer) = next_answer(&mut self.answers) => { self.on_answer(id, answer); Ok(()) }
                // Boxed: it is rare, and large.
                event = from_bus::next(&mut self.plays) => Box::pin(self.on_play_event(event, stream)).await,
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
                mut elsewhere = &mut asked_away => {
                    self.machine.request_reconnect(&elsewhere.borrow_and_update(), LEAVING);
                    asked_away.set(self::asked_away(elsewhere));
                    Ok(())
                }
                () = &mut stopped => Err(End::Stopped),
            };
            // What came before a fault is still good.
            self.take_events();
            if let Err(end) = turn {
                return end;
            }
            self.tell_socket(stream);
            if let Some(end) = self.is_over() {
                return end;
            }
        }
    }

    /// Why the peer is to go now, if it is.
    fn is_over(&self) -> Option<End> {
        let questions = [("publish", self.open_questions), ("play", self.open_play_questions())];
        if let Some((what, _)) = questions.iter().find(|(_, open)| *open > OPEN_QUESTIONS_MAX) {
            let text = format!("asked to {what} {OPEN_QUESTIONS_MAX} times and did not wait for the answers");
            return Some(End::Failed(text));
        }
        let has_nothing =
            self.dismissed && self.asked.is_empty() && self.publishing.is_empty() && self.plays.is_empty();
        (has_nothing || self.refusals > REFUSALS_MAX).then_some(End::Dismissed)
    }

    /// Says for how many bytes the socket is to wait.
    fn tell_socket(&mut self, stream: &Stream) {
        let missing = self.machine.missing_bytes();
        if let Some(bytes) = self.patience.as_mut().and_then(|patience| patience.news(missing)) {
            stream.wait_for(bytes);
        }
        // Who publishes no more is none of the crowd.
        if self.publishing.is_empty() {
            self.patience = None;
        }
    }

    fn next_deadline(&self) -> Instant {
        let machine = self.machine.poll_timeout().map(|at| self.started + at).map(|at| self.rounded(at));
        let decision = self.asked.values().map(|asked| asked.until).min();
        let sound = self.patience.as_ref().filter(|patience| patience.is_waiting());
        let sound = sound.map(|_| self.last_read + SILENCE_MAX);
        let far = self.last_read + Duration::from_secs(3600);
        machine.into_iter().chain(decision).chain(sound).min().unwrap_or(far)
    }

    /// Players are pinged on the second, all of them: alone, each would wake the thread of the timers several times.
    fn rounded(&self, at: Instant) -> Instant {
        if self.plays.is_empty() {
            return at;
        }
        let since = at.duration_since(self.shared.opened);
        self.shared.opened + Duration::from_secs(since.as_secs() + 1)
    }

    fn on_deadline(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.refuse_late(now);
        if let Some(patience) = self.patience.as_mut().filter(|_| self.last_read + SILENCE_MAX <= now) {
            patience.lose();
        }
        self.machine.handle_timeout(self.started.elapsed()).map_err(|error| End::Failed(error.to_string()))
    }

    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Connected(info) => self.on_connected(info),
                Event::PublishRequested(request) => self.ask(request),
                Event::PlayRequested(request) => self.ask_to_play(request),
                Event::Media(media) => self.on_media(media),
                Event::PlayChanged { stream_id, change } => {
                    self.on_play_changed(stream_id, change);
                }
                Event::PlayEnded { stream_id } => self.on_play_left(stream_id),
                Event::PublishEnded { stream_id } => self.unpublish(stream_id, "the publisher ended the stream"),
            }
        }
    }

    fn on_connected(&mut self, info: ConnectInfo) {
        self.authorization = basic(&info.userinfo);
        self.reads_multitrack = info.capabilities.can(Capabilities::MULTITRACK);
        self.agent = info.flash_ver;
    }

    /// Ends all that this connection publishes, and leaves one line when it did not end in order.
    pub(super) fn end(&mut self, end: &End) {
        let is_player = self.is_player && self.publishing.is_empty();
        for (stream_id, to_bus) in self.publishing.drain() {
            self.machine.end_publish(stream_id, &end.reason());
            to_bus.end(end.reason());
        }
        self.withdraw_questions();
        if let Some(text) = end.warning(is_player) {
            self.shared.inbox.warn(format!("{} was disconnected: {text}", self.peer));
        }
    }

    pub(super) async fn flush(&mut self, stream: &mut Stream) -> Result<(), End> {
        while let Some(bytes) = self.machine.poll_output() {
            let line = self.plays.iter().find_map(Play::line).cloned();
            match line {
                Some(line) if line.say(&bytes) => {}
                Some(_) => return Err(End::Failed("the peer does not read our answers".into())),
                None => write(stream, self.viewer_patience(), &bytes).await?,
            }
        }
        Ok(())
    }

    /// How long the peer is waited for as a viewer to whom we write.
    pub(super) fn viewer_patience(&self) -> Option<egress::Patience> {
        self.plays.iter().find_map(|play| play.patience(&self.shared.egress))
    }
}

/// Waits until all are asked to come again elsewhere, and returns where.
async fn asked_away(mut elsewhere: watch::Receiver<String>) -> watch::Receiver<String> {
    // It ends with what all connections have in common, which this one has too.
    let _ = elsewhere.changed().await;
    elsewhere
}

/// `user:password` of a URL, with its percent-encoding, as HTTP says it (RFC 7617 §2). Without a colon it is no password.
fn basic(userinfo: &str) -> String {
    if !userinfo.contains(':') {
        return String::new();
    }
    format!("Basic {}", base64::encode(&percent_decode_str(userinfo).collect::<Vec<_>>()))
}

fn on_input(machine: &mut ServerConn, now: Duration, input: &[u8]) -> Result<(), End> {
    match input {
        [] if machine.is_mid_input() => Err(End::Vanished("closed the connection in mid-message".into())),
        [] => Err(End::Closed),
        input => machine.handle_input(now, input).map_err(|error| End::Failed(error.to_string())),
    }
}

pub(super) async fn write(stream: &mut Stream, patience: Option<egress::Patience>, bytes: &[u8]) -> Result<(), End> {
    if let Some(patience) = patience {
        return patience.write(stream, bytes).await;
    }
    let written = timeout(WRITE_DEADLINE, async {
        stream.write_all(bytes).await?;
        // TLS may hold back what was written.
        stream.flush().await
    });
    Ok(written.await.map_err(|_| End::Failed("the peer does not read our answers".into()))??)
}
