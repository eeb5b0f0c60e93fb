//! Strangers: who asks to come in, and what the host says to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arcly_bus::{Log, Publisher, StreamKey};
use arcly_wire::srt::{Answer, Mode, Passphrase, RejectReason, Reply, Request, SrtConn, StreamId};

use super::{
    super::connection::Caller,
    Port,
    admission::{Accepted, Purpose, agent},
    bond::BondName,
};
use crate::{PlayAsk, PlayDenial, PublishAsk, Refusal, Secret, play, publish};

/// What the host has decided, step by step: who does not know the passphrase must not take, end or prolong a stream.
pub(super) enum Decision {
    /// A publisher, or one more link of it, may come in if it knows the passphrase.
    Leave(Result<Purpose, Refusal>),
    Play(Result<Option<Arc<Log>>, PlayDenial>),
    /// It may come in, and its keys are derived.
    Accepted(Purpose, Accepted),
    /// What a publisher with keys publishes into.
    Publish(Result<Box<Publisher>, Refusal>, Box<(SrtConn, Answer)>),
}

/// A caller who waits for it, and then for its keys.
pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) key: StreamKey,
    /// What it must know, if the host says nothing else.
    passphrase: Option<Passphrase>,
    secret: Secret,
    /// When all must be decided.
    until: Duration,
}

impl Waiting {
    /// What it must know.
    ///
    /// # Errors
    /// The host demands what cannot be a passphrase.
    pub(super) fn passphrase(&self) -> Result<Option<Passphrase>, RejectReason> {
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
            Ok(id) => match request.group() {
                Some(group) => self.ask_as_link(caller, request, group, id),
                None => self.ask(caller, request, id, None),
            },
            Err(fault) => {
                self.refuse(&request, RejectReason::BadRequest, &format!("the stream id is of no use: {fault}"))
            }
        }
    }

    /// Asks the host what becomes of a caller, who is one more link of `bond` where there is one.
    pub(super) fn ask(&mut self, caller: Caller, request: Request, id: StreamId, bond: Option<BondName>) {
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
                self.ask_to_publish(caller, id, agent, secret.clone(), bond);
                self.options.publish_passphrase.clone()
            }
            Mode::Request => {
                self.ask_to_play(caller, key.clone(), id, agent, secret.clone());
                self.options.read_passphrase.clone()
            }
        };
        let until = self.now() + self.options.decision_deadline;
        self.waiting.insert(caller, Waiting { request, key, passphrase, secret, until });
    }

    fn ask_to_publish(&self, caller: Caller, id: StreamId, agent: String, secret: Secret, bond: Option<BondName>) {
        let ask = PublishAsk {
            app: id.app,
            stream: id.stream,
            protocol: "srt",
            query: id.query,
            authorization: String::new(),
            agent,
            peer: caller.0,
        };
        let purpose = bond.map_or_else(|| Purpose::Publish(Box::new(ask.clone())), Purpose::Link);
        let (inbox, decide, deadline) = (self.inbox.clone(), self.decide.clone(), self.options.decision_deadline);
        tokio::spawn(async move {
            let answer = publish::ask_leave(&inbox, ask, deadline, secret).await;
            let leave = answer.map(|()| purpose).map_err(|(refusal, _)| refusal);
            let _ = decide.send((caller, Decision::Leave(leave)));
        });
    }

    /// Asks what a publisher publishes into that has leave, and keys.
    pub(super) fn ask_for_stream(&self, caller: Caller, ask: PublishAsk, accepted: Box<(SrtConn, Answer)>) {
        let Some(waiting) = self.waiting.get(&caller) else { return };
        let deadline = waiting.until.saturating_sub(self.now());
        let (inbox, decide) = (self.inbox.clone(), self.decide.clone());
        tokio::spawn(async move {
            let answer = publish::ask_with_leave(&inbox, ask, deadline).await;
            let _ = decide.send((caller, Decision::Publish(answer.map_err(|(refusal, _)| refusal), accepted)));
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

    pub(super) fn refuse(&mut self, request: &Request, reason: RejectReason, why: &str) {
        self.inbox.warn(format!("{} was refused: {why}", request.peer()));
        let packet = request.reject(reason);
        self.send(request.peer(), &packet);
    }

    pub(super) fn on_decision(&mut self, caller: Caller, decision: Decision) {
        match decision {
            Decision::Leave(Ok(purpose)) => self.admit(caller, purpose),
            Decision::Play(Ok(Some(log))) => self.admit(caller, Purpose::Play(log)),
            Decision::Accepted(purpose, accepted) => self.on_accepted(caller, purpose, accepted),
            Decision::Publish(Ok(publisher), accepted) => self.begin_publish(caller, *accepted, *publisher),
            Decision::Leave(Err(refusal)) | Decision::Publish(Err(refusal), _) => self.deny(
                caller,
                match refusal {
                    Refusal::BadName => RejectReason::Conflict,
                    Refusal::Unauthenticated => RejectReason::Unauthorized,
                    Refusal::Unauthorized => RejectReason::Forbidden,
                    Refusal::Failed => RejectReason::Internal,
                },
            ),
            Decision::Play(denial) => self.deny(
                caller,
                match denial {
                    Ok(_) | Err(PlayDenial::NotFound) => RejectReason::NotFound,
                    Err(PlayDenial::Unauthenticated) => RejectReason::Unauthorized,
                    Err(PlayDenial::Forbidden) => RejectReason::Forbidden,
                    Err(PlayDenial::Failed) => RejectReason::Internal,
                },
            ),
        }
    }

    /// The host has logged why already.
    fn deny(&mut self, caller: Caller, reason: RejectReason) {
        if let Some(waiting) = self.waiting.remove(&caller) {
            let packet = waiting.request.reject(reason);
            self.send(caller.0, &packet);
        }
    }
}
