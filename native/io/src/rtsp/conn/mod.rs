//! One connection of a peer: a loop that drives the state machine of `wire`, asks the host, and hands packets over.

mod decide;
mod heard;
mod play;
mod publish;
mod talk;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use arcly_bus::Publisher;
use arcly_wire::{
    rtsp::{Event, PlayAnswer, ServerConfig, ServerConn, sdp},
    srtp::Sealer,
};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::{
    decide::{Deciding, decided},
    heard::Heard,
};
use super::{
    datagrams::{Arrived, Ports, Registration},
    from_bus::{self, Granted, Play},
    groups::Groups,
    outlet::Outlets,
    pipe::Pipe,
    server::{Shared, Srtp},
    to_bus::ToBus,
};
use crate::{Inbox, bell::Bell, egress::Egress, ended::End};

/// Bytes read at a time of a publisher, and of everybody else, who says little.
const PUBLISHING_BUFFER_BYTES: usize = 64 << 10;
const BUFFER_BYTES: usize = 4 << 10;

/// How often a publisher is told how much of its packets has come (RFC 3550 §6.2: five seconds).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// A connection, from its first word to its last.
pub(super) struct Connection {
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
    /// The answer to PLAY while the play before is still leaving.
    next_play: Option<PlayAnswer>,
    /// It plays, or has played.
    is_player: bool,
    /// What it says of what it plays.
    heard: Option<Heard>,
    udp: Option<Arc<Ports>>,
    outlets: Option<Arc<Outlets>>,
    groups: Option<Arc<Groups>>,
    /// What comes by UDP for the session.
    datagrams: Option<Registration>,
    /// Seals what we report about encrypted tracks.
    report_sealer: Option<Sealer>,
    /// How streams are sealed for each viewer, where they are.
    srtp: Option<Srtp>,
    /// What the player says, and where that stands in the description.
    talk: Option<ToBus>,
    talk_place: Option<usize>,
    wants_to_talk: bool,
    /// Query and authorization of who asked to play.
    credentials: (String, String),
    /// When the publisher is told next how much of its packets has come.
    report_at: Option<Instant>,
    /// Rung when the stream that is published here is ended by somebody else.
    upstream: Arc<Bell>,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, shared: Shared) -> Self {
        let Shared { options, inbox, egress, udp, outlets, groups, .. } = shared;
        let ports = udp.as_ref().map(|ports| ports.numbers());
        let config = ServerConfig {
            limits: options.limits,
            users: options.users,
            back_channel: options.back_channel,
            udp: ports,
            must_seal_udp: options.srtp.is_some(),
            may_play_bare: options.srtp.is_some_and(|srtp| srtp.may_play_bare),
            ..ServerConfig::default()
        };
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
            next_play: None,
            is_player: false,
            heard: None,
            udp,
            outlets,
            groups,
            datagrams: None,
            report_sealer: None,
            srtp: options.srtp,
            talk: None,
            talk_place: None,
            wants_to_talk: false,
            credentials: Default::default(),
            report_at: None,
            upstream: Arc::default(),
        }
    }

    /// Serves a connection on which `buffer` has come already.
    pub(super) async fn run(&mut self, pipe: &mut Pipe, mut buffer: BytesMut, stop: &CancellationToken) -> End {
        // Made once, not for every read: to wait for each is a lock, and to set a timer wakes the thread that drives them.
        let bell = self.upstream.clone();
        let (mut rung, mut stopped) = (pin!(bell.heard()), pin!(stop.cancelled()));
        let mut alarm = pin!(sleep_until(self.next_deadline()));
        if !buffer.is_empty() {
            let turn = self.on_read(Ok(true), &mut buffer);
            let taken = self.take_events(pipe).await;
            if let Err(end) = turn.and(taken) {
                return end;
            }
        }
        loop {
            if let Err(end) = self.flush(pipe).await {
                return end;
            }
            let deadline = self.next_deadline();
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            buffer.reserve(if self.publishing.is_some() { PUBLISHING_BUFFER_BYTES } else { BUFFER_BYTES });
            let turn = tokio::select! {
                read = pipe.read(&mut buffer) => self.on_read(read, &mut buffer),
                decision = decided(&mut self.deciding) => { self.on_decision(decision); Ok(()) }
                Some(arrived) = arrived(&mut self.datagrams) => self.on_datagrams(arrived),
                event = from_bus::next(&mut self.play) => self.on_play_event(event, pipe).await,
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
            let taken = self.take_events(pipe).await;
            if let Err(end) = turn.and(taken) {
                return end;
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn on_read(&mut self, read: io::Result<bool>, buffer: &mut BytesMut) -> Result<(), End> {
        if read? {
            let (now, input) = (self.now(), buffer.split().freeze());
            return self.machine.handle_input(now, input).map_err(|error| End::Failed(error.to_string()));
        }
        match self.machine.is_mid_input() {
            true => Err(End::Vanished("closed the connection in mid-message".into())),
            false => Err(End::Closed),
        }
    }

    fn next_deadline(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let machine = self.machine.poll_timeout().map(|at| self.started + at);
        let missing = self.publishing.as_ref().and_then(ToBus::poll_timeout);
        let talk = self.talk.as_ref().and_then(ToBus::poll_timeout);
        [machine, missing, talk, self.report_at].into_iter().flatten().min().unwrap_or(far)
    }

    fn on_deadline(&mut self) -> Result<(), End> {
        let now = self.now();
        // What is here already is not late.
        if let Some(arrived) = self.datagrams.as_mut().and_then(Registration::try_next) {
            self.on_datagrams(arrived)?;
        }
        self.publish(ToBus::handle_timeout)?;
        self.talk_with(ToBus::handle_timeout);
        if self.talk.as_ref().is_some_and(ToBus::has_left) {
            self.end_talk("the player has said goodbye");
        }
        if self.publishing.as_ref().is_some_and(ToBus::has_left) {
            // Its TEARDOWN may follow: the connection stays.
            self.unpublish("the publisher said goodbye");
        }
        if self.report_at.is_some_and(|at| at <= Instant::now()) {
            self.report();
        }
        self.machine.handle_timeout(now).map_err(|error| End::Failed(error.to_string()))
    }

    async fn take_events(&mut self, pipe: &mut Pipe) -> Result<(), End> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::PlayRequested(ask) => self.ask_to_play(ask),
                Event::PublishRequested(ask, description) => self.ask_to_publish(ask, description.medias),
                Event::Playing(answer) => self.begin_play(*answer, pipe).await?,
                Event::Paused => self.play.iter_mut().for_each(|play| play.pause(true)),
                Event::Abandoned => self.leave_play(),
                Event::Recording => self.begin_publish()?,
                Event::Packet(packet) => self.on_packet(packet)?,
                Event::Ended => self.on_left(),
            }
        }
        Ok(())
    }

    /// The peer has ended its session.
    fn on_left(&mut self) {
        self.leave_play();
        (self.granted, self.talk_place) = (None, None);
        self.unpublish("the publisher ended the stream");
    }

    /// The viewer wants no more of what it plays.
    fn leave_play(&mut self) {
        self.play.take_if(Play::leave);
        (self.datagrams, self.heard) = (None, None);
        self.end_talk("the player has left");
    }

    /// Whether the pump writes to our socket.
    pub(super) fn is_pumped(&self) -> bool {
        self.play.as_ref().is_some_and(|play| play.line().is_some())
    }

    /// Ends what this connection publishes, and leaves one line when it did not end in order.
    pub(super) fn end(&mut self, end: &End) {
        let is_player = self.is_player && self.publishing.is_none();
        self.unpublish(&end.reason());
        self.end_talk(&end.reason());
        if let Some(text) = end.warning(is_player) {
            self.inbox.warn(format!("{} was disconnected: {text}", self.peer));
        }
    }

    /// Says what there is to say.
    pub(super) async fn flush(&mut self, pipe: &mut Pipe) -> Result<(), End> {
        while let Some(bytes) = self.machine.poll_output() {
            self.say(&bytes, pipe).await?;
        }
        pipe.answer().await
    }

    async fn say(&mut self, bytes: &Bytes, pipe: &mut Pipe) -> Result<(), End> {
        match self.play.as_ref().and_then(Play::line) {
            Some(line) if line.say(bytes) => Ok(()),
            Some(_) => Err(End::Failed("the peer does not read our answers".into())),
            None => pipe.write(bytes).await,
        }
    }
}

async fn arrived(datagrams: &mut Option<Registration>) -> Option<Arrived> {
    match datagrams {
        Some(datagrams) => datagrams.next().await,
        None => std::future::pending().await,
    }
}
