//! Counting HLS viewers, who hold no connection: each gets a name with its first playlist and says it with every other.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
    time::Duration,
};

use arcly_bus::{Log, Viewer};
use tokio::time::Instant;

use crate::{clock::unix_ms, hls::sent::Client};

/// Viewers counted per stream; what comes above is served and not counted, so that made-up names cost no memory.
const SESSIONS_MAX: usize = 10_000;

/// How long it is taken for full once it was found to be.
const FULL_FOR: Duration = Duration::from_secs(1);

/// Who was let in may pause for so long: it counts as a viewer no more, and need not be asked about again when it goes on.
const ADMISSION_KEEP: Duration = Duration::from_secs(600);

/// Bytes of a name as we make it; others are not ours.
const NAME_BYTES: usize = 16;

#[derive(Default)]
pub(crate) struct Sessions {
    seen: HashMap<u64, Session>,
    /// The session of each client, the newest where it has several: whose the segments are that it fetches.
    by_client: HashMap<u64, u64>,
    /// What they watch, until it ends. Weak: who watches does not keep a stream.
    log: Weak<Log>,
    /// There was no room when it was looked for: names beyond that are not looked at one by one.
    full_at: Option<Instant>,
    /// Somebody calls [`Sessions::sweep`] now and then.
    is_swept: bool,
    opened: u64,
    numbered: u64,
    hasher: RandomState,
}

/// A viewer who holds no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Counts the viewers of this stream.
    pub number: u64,
    /// Where its last request came from.
    pub peer: std::net::SocketAddr,
    /// What it calls itself; its own words.
    pub agent: String,
    /// When it came, in milliseconds of Unix time.
    pub since_unix_ms: u64,
    /// Bytes that were sent to its address and agent. Viewers that share both share this too: which of them asked for a segment,
    /// nobody can tell.
    pub bytes: u64,
}

struct Session {
    asked_at: Instant,
    /// It was let in, and must be known for longer than it counts.
    is_admitted: bool,
    /// Counts, and is told to observers, until it stops asking or the stream ends.
    viewer: Option<Viewer>,
    number: u64,
    since_unix_ms: u64,
    /// None before it has asked for anything.
    client: Option<Client>,
    bytes: u64,
}

impl Session {
    fn is_over(&self, now: Instant, expiry: Duration) -> bool {
        now.duration_since(self.asked_at) >= expiry
    }
}

impl Sessions {
    /// Nobody yet, who watches `log`.
    pub(crate) fn new(log: &Arc<Log>) -> Self {
        Self { log: Arc::downgrade(log), ..Self::default() }
    }

    /// The stream has ended: those who still read what is left of it are no viewers of it any more.
    pub(crate) fn end(&mut self) {
        self.log = Weak::new();
        self.seen.values_mut().for_each(|session| session.viewer = None);
    }

    /// A viewer who has no name yet; none when the stream has ended.
    pub(crate) fn viewer(&self) -> Option<Viewer> {
        self.log.upgrade().map(|log| log.viewer("hls"))
    }

    /// A name for a new viewer. Nothing is kept until it is used.
    pub(crate) fn open(&mut self) -> String {
        self.opened += 1;
        format!("{:016x}", self.hasher.hash_one(self.opened))
    }

    /// A name for a viewer who was let in, kept until it has not been used for long; none when there are too many.
    pub(crate) fn admit(&mut self, now: Instant, expiry: Duration) -> Option<String> {
        let name = self.open();
        let session = id(&name).and_then(|id| self.enter(id, now, expiry))?;
        session.is_admitted = true;
        Some(name)
    }

    /// Whether a viewer of that name was let in, not too long ago.
    pub(crate) fn knows(&self, name: &str, now: Instant) -> bool {
        let session = id(name).and_then(|id| self.seen.get(&id));
        session.is_some_and(|session| session.is_admitted && !session.is_over(now, ADMISSION_KEEP))
    }

    /// The viewer of that name asks for something.
    pub(crate) fn touch(&mut self, name: &str, client: &Client, now: Instant, expiry: Duration) {
        let Some(id) = id(name) else { return };
        let log = self.log.clone();
        let Some(session) = self.enter(id, now, expiry) else { return };
        session.asked_at = now;
        if session.viewer.is_none() {
            session.viewer = log.upgrade().map(|log| log.viewer("hls"));
        }
        if let Some(known) = session.client.as_mut().filter(|known| known.id() == client.id()) {
            // Another connection of the same player.
            known.peer = client.peer;
        } else {
            // One place for each session, whatever it calls itself.
            if let Some(before) = session.client.replace(client.clone())
                && self.by_client.get(&before.id()) == Some(&id)
            {
                self.by_client.remove(&before.id());
            }
            self.by_client.insert(client.id(), id);
        }
    }

    /// So many bytes go to that client.
    pub(crate) fn count_bytes(&mut self, client: u64, bytes: u64) {
        let session = self.by_client.get(&client).and_then(|id| self.seen.get_mut(id));
        session.into_iter().for_each(|session| session.bytes += bytes);
    }

    pub(crate) fn count(&mut self, now: Instant, expiry: Duration) -> usize {
        self.expire(now, expiry);
        self.seen.values().filter(|session| !session.is_over(now, expiry)).count()
    }

    /// Who watches, by age.
    pub(crate) fn list(&self, now: Instant, expiry: Duration) -> Vec<SessionInfo> {
        let present = self.seen.values().filter(|session| !session.is_over(now, expiry));
        let info = |session: &Session| {
            let Session { number, since_unix_ms, bytes, .. } = *session;
            let Client { peer, agent, .. } = session.client.clone()?;
            Some(SessionInfo { number, peer, agent, since_unix_ms, bytes })
        };
        let mut list: Vec<_> = present.filter_map(info).collect();
        list.sort_by_key(|session| session.number);
        list
    }

    /// Whether somebody has to sweep from now on: said once, until a sweep has found nobody.
    pub(crate) fn needs_sweeper(&mut self) -> bool {
        !self.seen.is_empty() && !std::mem::replace(&mut self.is_swept, true)
    }

    /// Lets go of who stopped asking; false when nobody is left, and no sweeper is needed.
    pub(crate) fn sweep(&mut self, now: Instant, expiry: Duration) -> bool {
        self.expire(now, expiry);
        self.is_swept = !self.seen.is_empty();
        self.is_swept
    }

    /// The session with that id, a new one where there was none; none when there are too many.
    fn enter(&mut self, id: u64, now: Instant, expiry: Duration) -> Option<&mut Session> {
        if self.seen.len() >= SESSIONS_MAX && !self.seen.contains_key(&id) && !self.make_room(now, expiry) {
            return None;
        }
        let (log, numbered) = (&self.log, &mut self.numbered);
        Some(self.seen.entry(id).or_insert_with(|| {
            *numbered += 1;
            Session {
                asked_at: now,
                is_admitted: false,
                viewer: log.upgrade().map(|log| log.viewer("hls")),
                number: *numbered,
                since_unix_ms: unix_ms(),
                client: None,
                bytes: 0,
            }
        }))
    }

    /// Lets go of who is over; false when nobody is, or was a moment ago: to look is work that a client must not cause with each request.
    fn make_room(&mut self, now: Instant, expiry: Duration) -> bool {
        if self.full_at.is_some_and(|full_at| now.duration_since(full_at) < FULL_FOR) {
            return false;
        }
        self.expire(now, expiry);
        if self.seen.len() >= SESSIONS_MAX {
            // Those who pause make room for those who come.
            self.seen.retain(|_, session| !session.is_over(now, expiry));
            self.by_client.retain(|_, id| self.seen.contains_key(id));
        }
        let has_room = self.seen.len() < SESSIONS_MAX;
        self.full_at = (!has_room).then_some(now);
        has_room
    }

    fn expire(&mut self, now: Instant, expiry: Duration) {
        let before = self.seen.len();
        self.seen.retain(|_, session| {
            let is_over = session.is_over(now, expiry);
            if is_over {
                session.viewer = None;
            }
            !is_over || session.is_admitted && !session.is_over(now, ADMISSION_KEEP)
        });
        if self.seen.len() < before {
            self.by_client.retain(|_, id| self.seen.contains_key(id));
        }
    }
}

/// A name as a number; none when it is not one of ours.
fn id(name: &str) -> Option<u64> {
    let is_ours = name.len() == NAME_BYTES;
    is_ours.then(|| u64::from_str_radix(name, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRY: Duration = Duration::from_secs(6);

    fn client(agent: &str) -> Client {
        Client::new(([192, 0, 2, 1], 5000).into(), agent)
    }

    #[test]
    fn a_viewer_counts_once_and_until_it_stops_asking() {
        let (mut sessions, start, who) = (Sessions::default(), Instant::now(), client("player"));
        let (a, b) = (sessions.open(), sessions.open());
        assert_ne!(a, b);
        assert_eq!(sessions.count(start, EXPIRY), 0, "a name alone is no viewer");
        sessions.touch(&a, &who, start, EXPIRY);
        sessions.touch(&a, &who, start + Duration::from_secs(2), EXPIRY);
        sessions.touch(&b, &who, start + Duration::from_secs(2), EXPIRY);
        assert_eq!(sessions.count(start + Duration::from_secs(3), EXPIRY), 2);
        sessions.touch(&b, &who, start + Duration::from_secs(7), EXPIRY);
        assert_eq!(sessions.count(start + Duration::from_secs(9), EXPIRY), 1);
    }

    #[test]
    fn only_who_was_let_in_is_known_and_not_for_ever() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let name = sessions.admit(start, EXPIRY).unwrap();
        let later = |s| start + Duration::from_secs(s);
        assert!(sessions.knows(&name, later(5)));
        // Who pauses is no viewer meanwhile, and may go on.
        assert_eq!(sessions.count(later(60), EXPIRY), 0);
        assert!(sessions.knows(&name, later(599)));
        assert!(!sessions.knows(&name, later(600)));
        sessions.touch(&name, &client("player"), later(599), EXPIRY);
        assert!(sessions.knows(&name, later(610)));
        assert_eq!(sessions.count(later(600), EXPIRY), 1);
        let made_up = "0123456789abcdef";
        sessions.touch(made_up, &client("thief"), later(600), EXPIRY);
        for other in ["", "0000000000000000", made_up, &name[1..], "zzzzzzzzzzzzzzzz"] {
            assert!(!sessions.knows(other, later(600)), "{other}");
        }
        (0..SESSIONS_MAX).for_each(|_| drop(sessions.admit(later(600), EXPIRY)));
        assert!(sessions.admit(later(600), EXPIRY).is_none(), "bounded");
        assert!(sessions.admit(later(606), EXPIRY).is_some(), "who pauses makes room");
    }

    #[test]
    fn bytes_are_counted_for_the_client_that_asked() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let (a, b) = (sessions.open(), sessions.open());
        sessions.touch(&a, &client("a"), start, EXPIRY);
        sessions.touch(&b, &client("b"), start, EXPIRY);
        sessions.count_bytes(client("a").id(), 100);
        sessions.count_bytes(client("b").id(), 10);
        sessions.count_bytes(client("b").id(), 1);
        sessions.count_bytes(client("nobody").id(), 1000);
        let list = sessions.list(start, EXPIRY);
        assert_eq!(
            list.iter().map(|it| (it.number, it.agent.as_str(), it.bytes)).collect::<Vec<_>>(),
            [(1, "a", 100), (2, "b", 11)]
        );
        assert!(sessions.list(start + EXPIRY, EXPIRY).is_empty());
        assert_eq!(sessions.count(start + EXPIRY, EXPIRY), 0);
        assert!(sessions.by_client.is_empty());
    }

    #[test]
    fn a_session_that_calls_itself_by_many_names_has_one_place() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let name = sessions.open();
        (0..1000).for_each(|n| sessions.touch(&name, &client(&format!("agent {n}")), start, EXPIRY));
        assert_eq!(sessions.by_client.len(), 1);
        sessions.count_bytes(client("agent 999").id(), 7);
        assert_eq!(sessions.list(start, EXPIRY)[0].bytes, 7);
    }

    #[test]
    fn made_up_names_are_bounded() {
        let (mut sessions, now, who) = (Sessions::default(), Instant::now(), client("player"));
        (0..20_000_u64).for_each(|n| sessions.touch(&format!("{n:016x}"), &who, now, EXPIRY));
        ["", "xyz", "zzzzzzzzzzzzzzzz"].iter().for_each(|name| sessions.touch(name, &who, now, EXPIRY));
        assert_eq!(sessions.count(now, EXPIRY), SESSIONS_MAX);
    }
}
