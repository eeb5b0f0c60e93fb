//! Strangers: who asks to come in, what the host says to it, and who is let in.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arcly_bus::{Log, Publisher, StreamKey};
use arcly_wire::srt::{Mode, Passphrase, RejectReason, Reply, Request, StreamId, new_socket_id};

use super::{
    super::{
        connection::{Caller, Connection, Player, Use},
        from_bus::{Feed, Outlet},
        to_bus::ToBus,
    },
    Port,
};
use crate::{PlayAsk, PlayDenial, PublishAsk, Refusal, Secret, egress::Watcher, play, publish};

/// What the host has decided.
pub(super) enum Decision {
    Publish(Result<Box<Publisher>, (Refusal, String)>),
    Play(Result<Option<Arc<Log>>, PlayDenial>),
}

/// A caller who waits for it.
pub(super) struct Waiting {
    request: Request,
    key: StreamKey,
    /// What it must know, if the host says nothing else.
    passphrase: Option<Passphrase>,
    secret: Secret,
}

impl Waiting {
    /// What it must know.
    ///
    /// # Errors
    /// The host demands what cannot be a passphrase.
    fn passphrase(&self) -> Result<Option<Passphrase>, RejectReason> {
        match self.secret.demanded() {
            None => Ok(self.passphrase.clone()),
            Some(None) => Ok(None),
            Some(Some(text)) => Passphrase::new(text).map(Some).ok_or(RejectReason::Internal),
        }
    }
}

impl Port {
    pub(super) fn on_stranger(&mut self, now: Duration, peer: SocketAddr, bytes: &[u8]) {
        match self.machine.handle_input(now, peer, bytes) {
            Reply::Nothing => {}
            Reply::Send(answer) => self.send(peer, &answer),
            Reply::Request(request) => self.on_request(now, *request),
        }
    }

    pub(super) fn send(&mut self, peer: SocketAddr, packet: &[u8]) {
        self.outbound.push(peer, None, &[packet]);
    }

    fn on_request(&mut self, now: Duration, request: Request) {
        let caller = (request.peer(), request.socket_id());
        if let Some(connection) = self.callers.get(&caller).and_then(|id| self.connections.get(id)) {
            // It has not heard the answer.
            let answer = connection.answer.packet(now);
            return self.send(caller.0, &answer);
        }
        if self.waiting.contains_key(&caller) {
            return;
        }
        if self.connections.len() >= self.options.connections_max {
            return self.refuse(&request, RejectReason::Resource, "all connections are in use");
        }
        if self.waiting.len() >= self.options.deciding_max {
            return self.refuse(&request, RejectReason::Backlog, "too many wait for a decision");
        }
        match StreamId::parse(request.stream_id()) {
            Ok(id) => self.ask(caller, request, id),
            Err(fault) => {
                self.refuse(&request, RejectReason::BadRequest, &format!("the stream id is of no use: {fault}"))
            }
        }
    }

    fn ask(&mut self, caller: Caller, request: Request, id: StreamId) {
        let Ok(key) = StreamKey::new(&id.app, &id.stream) else {
            return self.refuse(&request, RejectReason::BadRequest, "no stream can have this name");
        };
        let agent = agent(request.peer_version());
        let secret = Secret::default();
        let passphrase = match id.mode {
            Mode::Bidirectional => {
                return self.refuse(&request, RejectReason::BadMode, "a connection has one direction");
            }
            Mode::Publish => {
                self.ask_to_publish(caller, id, agent, secret.clone());
                self.options.publish_passphrase.clone()
            }
            Mode::Request => {
                self.ask_to_play(caller, key.clone(), id, agent, secret.clone());
                self.options.read_passphrase.clone()
            }
        };
        self.waiting.insert(caller, Waiting { request, key, passphrase, secret });
    }

    fn ask_to_publish(&self, caller: Caller, id: StreamId, agent: String, secret: Secret) {
        let ask = PublishAsk {
            app: id.app,
            stream: id.stream,
            protocol: "srt",
            query: id.query,
            authorization: String::new(),
            agent,
            peer: caller.0,
        };
        let (inbox, decide, deadline) = (self.inbox.clone(), self.decide.clone(), self.options.decision_deadline);
        tokio::spawn(async move {
            let decision = publish::ask_with_secret(&inbox, ask, deadline, secret).await;
            let _ = decide.send((caller, Decision::Publish(decision)));
        });
    }

    fn ask_to_play(&self, caller: Caller, key: StreamKey, id: StreamId, agent: String, secret: Secret) {
        let (query, authorization) = (id.query, String::new());
        let ask = PlayAsk { key, protocol: "srt", needs_log: true, query, authorization, agent, peer: caller.0 };
        let (inbox, decide) = (self.inbox.clone(), self.decide.clone());
        tokio::spawn(async move {
            let decision = play::ask_with_secret(&inbox, ask, secret).await;
            let _ = decide.send((caller, Decision::Play(decision)));
        });
    }

    fn refuse(&mut self, request: &Request, reason: RejectReason, why: &str) {
        self.inbox.warn(format!("{} was refused: {why}", request.peer()));
        let packet = request.reject(reason);
        self.send(request.peer(), &packet);
    }

    pub(super) fn on_decision(&mut self, caller: Caller, decision: Decision) {
        let Some(waiting) = self.waiting.remove(&caller) else { return };
        match decision {
            Decision::Publish(Ok(publisher)) => self.begin_publish(caller, waiting, *publisher),
            Decision::Play(Ok(Some(log))) => self.begin_play(caller, waiting, &log),
            // The host has told why already.
            Decision::Publish(Err((refusal, _))) => {
                let reason = match refusal {
                    Refusal::BadName => RejectReason::Conflict,
                    Refusal::Unauthenticated => RejectReason::Unauthorized,
                    Refusal::Unauthorized => RejectReason::Forbidden,
                    Refusal::Failed => RejectReason::Internal,
                };
                let packet = waiting.request.reject(reason);
                self.send(caller.0, &packet);
            }
            Decision::Play(denial) => {
                let reason = match denial {
                    Ok(_) | Err(PlayDenial::NotFound) => RejectReason::NotFound,
                    Err(PlayDenial::Unauthenticated) => RejectReason::Unauthorized,
                    Err(PlayDenial::Forbidden) => RejectReason::Forbidden,
                    Err(PlayDenial::Failed) => RejectReason::Internal,
                };
                let packet = waiting.request.reject(reason);
                self.send(caller.0, &packet);
            }
        }
    }

    fn begin_publish(&mut self, caller: Caller, waiting: Waiting, publisher: Publisher) {
        // A stream that is ended by somebody else says so to a publisher that sends nothing.
        publisher.wake_on_request(std::task::Waker::noop().clone());
        let to_bus = ToBus::new(publisher, caller.0, self.inbox.clone());
        self.begin(caller, waiting, Use::Publishing(Box::new(to_bus)));
    }

    fn begin_play(&mut self, caller: Caller, waiting: Waiting, log: &Arc<Log>) {
        let watcher = Watcher {
            key: waiting.key.clone(),
            protocol: "srt",
            peer: caller.0,
            agent: agent(waiting.request.peer_version()),
        };
        let counted = log.viewer("srt");
        let Some(entry) = self.shared.list.enter(watcher, self.options.connections_max) else {
            return self.refuse(&waiting.request, RejectReason::Resource, "as many watch as may");
        };
        let address = Arc::as_ptr(log) as usize;
        let feed = self.feeds.entry(address).or_insert_with(|| Feed::new(log, &self.bell));
        let player = Player::new(address, Outlet::new(feed.join()), entry, counted);
        if let Some(id) = self.begin(caller, waiting, Use::Playing(player))
            && let Some(feed) = self.feeds.get_mut(&address)
        {
            feed.viewers.push(id);
            self.turn(id);
        }
        self.drop_feed_if_unused(address);
    }

    /// Lets a caller in, whose passphrase is looked at only now that it is known which one it must be.
    fn begin(&mut self, caller: Caller, waiting: Waiting, use_: Use) -> Option<u32> {
        let now = self.now();
        let passphrase = waiting.passphrase();
        let Waiting { request, key, .. } = waiting;
        let Some(id) = self.free_id() else {
            self.refuse(&request, RejectReason::Internal, "the system has no random numbers");
            return None;
        };
        let accepted = passphrase.and_then(|secret| request.accept(now, &self.options.settings, secret.as_ref(), id));
        let (machine, answer) = match accepted {
            Ok(accepted) => accepted,
            Err(reason) => {
                self.refuse(&request, reason, &reason.to_string());
                return None;
            }
        };
        let packet = answer.packet(now);
        self.send(caller.0, &packet);
        let since_unix_ms = unix_ms();
        let connection = Connection { machine, caller, peer: caller.0, key, answer, use_, armed: None, since_unix_ms };
        self.connections.insert(id, connection);
        self.callers.insert(caller, id);
        self.turn(id);
        Some(id)
    }

    fn free_id(&self) -> Option<u32> {
        (0..64).find_map(|_| new_socket_id().ok().filter(|id| !self.connections.contains_key(id)))
    }
}

fn agent(version: u32) -> String {
    format!("SRT {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
