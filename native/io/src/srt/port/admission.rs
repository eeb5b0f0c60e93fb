//! How who may come in does: keys are derived beside the port's task, the connection is made, and what it is there for begins.
//!
//! To make a key of a passphrase takes a millisecond of a core (SRT §6.1.4: that is its purpose). In the task that carries everybody's
//! media a flood of callers would cost those their time, so it is done elsewhere, for few callers at a time.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Log, Publisher};
use arcly_wire::srt::{Answer, RejectReason, SrtConn, new_socket_id};

use super::{
    super::{
        connection::{Caller, Connection, Player, Use},
        from_bus::{Feed, Outlet},
        to_bus::ToBus,
    },
    Port,
    bond::{Bond, BondName},
    door::{Decision, Waiting},
};
use crate::{PublishAsk, clock::unix_ms, egress::Watcher};

/// Callers whose keys are derived at the same time.
pub(super) const DERIVATIONS_MAX: usize = 2;

/// What the host lets a caller do.
pub(super) enum Purpose {
    /// Into what, it is asked behind the keys.
    Publish(Box<PublishAsk>),
    Play(Arc<Log>),
    /// One more link of a group.
    Link(BondName),
}

/// A connection that has its keys, or why there is none.
pub(super) type Accepted = Result<Box<(SrtConn, Answer)>, RejectReason>;

impl Port {
    /// Makes the connection of a caller who may come in: at once where no key has to be derived.
    pub(super) fn admit(&mut self, caller: Caller, purpose: Purpose) {
        let now = self.now();
        let Some(waiting) = self.waiting.get(&caller) else { return };
        let passphrase = match waiting.passphrase() {
            Ok(passphrase) => passphrase,
            Err(reason) => return self.on_accepted(caller, purpose, Err(reason)),
        };
        let Some(id) = self.free_id() else {
            return self.on_accepted(caller, purpose, Err(RejectReason::Internal));
        };
        let (request, settings) = (waiting.request.clone(), self.options.settings);
        let is_costly = passphrase.is_some() && request.is_encrypted();
        let accept = move || request.accept(now, &settings, passphrase.as_ref(), id).map(Box::new);
        if !is_costly {
            return self.on_accepted(caller, purpose, accept());
        }
        let (derivations, decide, started) = (self.derivations.clone(), self.decide.clone(), self.started);
        tokio::spawn(async move {
            let _turn = derivations.acquire_owned().await;
            // Callers have given up by then.
            let accepted = if started.elapsed() > now + settings.limits.connect_time {
                Err(RejectReason::Backlog)
            } else {
                tokio::task::spawn_blocking(accept).await.unwrap_or(Err(RejectReason::Internal))
            };
            let _ = decide.send((caller, Decision::Accepted(purpose, accepted)));
        });
    }

    /// The connection is made, and begins what it is there for.
    pub(super) fn on_accepted(&mut self, caller: Caller, purpose: Purpose, accepted: Accepted) {
        match (accepted, purpose) {
            (Err(reason), _) => {
                if let Some(waiting) = self.waiting.remove(&caller) {
                    self.refuse(&waiting.request, reason, &reason.to_string());
                }
            }
            (Ok(accepted), Purpose::Publish(ask)) => self.ask_for_stream(caller, *ask, accepted),
            (Ok(accepted), Purpose::Play(log)) => self.begin_play(caller, *accepted, &log),
            (Ok(accepted), Purpose::Link(name)) => self.begin_link(caller, *accepted, &name),
        }
    }

    pub(super) fn begin_publish(&mut self, caller: Caller, mut accepted: (SrtConn, Answer), publisher: Publisher) {
        let Some(waiting) = self.waiting.remove(&caller) else { return };
        accepted.0.begin(self.now());
        let to_bus = ToBus::new(publisher, caller.0, self.inbox.clone());
        let (name, group_id) = (BondName::of(&waiting.request), waiting.request.group_id());
        if name.is_some() {
            accepted.0.be_link(false);
        }
        if let Some(id) = self.begin(caller, waiting, accepted, Use::Publishing(Box::new(to_bus)))
            && let Some((name, group_id)) = name.zip(group_id)
        {
            self.bonds.insert(name, Bond::new(group_id, id));
        }
    }

    fn begin_play(&mut self, caller: Caller, accepted: (SrtConn, Answer), log: &Arc<Log>) {
        let Some(waiting) = self.waiting.remove(&caller) else { return };
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
        if let Some(id) = self.begin(caller, waiting, accepted, Use::Playing(Box::new(player)))
            && let Some(feed) = self.feeds.get_mut(&address)
        {
            feed.viewers.push(id);
            self.turn(id);
        }
        self.drop_feed_if_unused(address);
    }

    pub(super) fn begin(
        &mut self,
        caller: Caller,
        waiting: Waiting,
        (machine, answer): (SrtConn, Answer),
        use_: Use,
    ) -> Option<u32> {
        let Waiting { request, key, .. } = waiting;
        let bond = BondName::of(&request);
        let id = machine.local_id();
        if self.connections.len() >= self.options.connections_max {
            self.refuse(&request, RejectReason::Resource, "the last connection was taken meanwhile");
            return None;
        }
        if self.connections.contains_key(&id) {
            self.refuse(&request, RejectReason::Internal, "its socket number was given to somebody else meanwhile");
            return None;
        }
        let packet = answer.packet(self.now());
        self.send(caller.0, &packet);
        let since_unix_ms = unix_ms();
        let (armed, next_key, peer) = (None, Duration::ZERO, caller.0);
        let connection = Connection { machine, caller, peer, key, bond, answer, use_, armed, next_key, since_unix_ms };
        self.connections.insert(id, connection);
        self.callers.insert(caller, id);
        self.turn(id);
        Some(id)
    }

    fn free_id(&self) -> Option<u32> {
        (0..64).find_map(|_| new_socket_id().ok().filter(|id| !self.connections.contains_key(id)))
    }
}

pub(super) fn agent(version: u32) -> String {
    format!("SRT {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}
