//! Counting HLS viewers, who hold no connection: each gets a name with its first playlist and says it with every other.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
    time::Duration,
};

use arcly_bus::{Log, Viewer};
use tokio::time::Instant;

/// Viewers counted per stream; what comes above is served and not counted, so that made-up names cost no memory.
const SESSIONS_MAX: usize = 10_000;

/// Bytes of a name as we make it; others are not ours.
const NAME_BYTES: usize = 16;

#[derive(Default)]
pub(crate) struct Sessions {
    seen: HashMap<u64, Session>,
    /// What they watch, until it ends. Weak: who watches does not keep a stream.
    log: Weak<Log>,
    /// Somebody calls [`Sessions::sweep`] now and then.
    is_swept: bool,
    opened: u64,
    hasher: RandomState,
}

struct Session {
    asked_at: Instant,
    /// Counts, and is told to observers, until the stream ends.
    viewer: Option<Viewer>,
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

    /// A name for a new viewer. Nothing is kept until it is used.
    pub(crate) fn open(&mut self) -> String {
        self.opened += 1;
        format!("{:016x}", self.hasher.hash_one(self.opened))
    }

    /// A name for a viewer who was let in, kept until it has not been used for `expiry`; none when there are too many.
    pub(crate) fn admit(&mut self, now: Instant, expiry: Duration) -> Option<String> {
        let name = self.open();
        self.touch(&name, now, expiry);
        self.knows(&name, now, expiry).then_some(name)
    }

    /// Whether a viewer of that name was let in and is still there.
    pub(crate) fn knows(&self, name: &str, now: Instant, expiry: Duration) -> bool {
        let id = (name.len() == NAME_BYTES).then(|| u64::from_str_radix(name, 16).ok()).flatten();
        id.and_then(|id| self.seen.get(&id)).is_some_and(|session| !session.is_over(now, expiry))
    }

    pub(crate) fn touch(&mut self, name: &str, now: Instant, expiry: Duration) {
        if name.len() != NAME_BYTES {
            return;
        }
        let Ok(id) = u64::from_str_radix(name, 16) else { return };
        if self.seen.len() >= SESSIONS_MAX && !self.seen.contains_key(&id) {
            self.expire(now, expiry);
            if self.seen.len() >= SESSIONS_MAX {
                return;
            }
        }
        let viewer = || self.log.upgrade().map(|log| log.viewer("hls"));
        self.seen.entry(id).or_insert_with(|| Session { asked_at: now, viewer: viewer() }).asked_at = now;
    }

    pub(crate) fn count(&mut self, now: Instant, expiry: Duration) -> usize {
        self.expire(now, expiry);
        self.seen.len()
    }

    /// Whether somebody has to sweep from now on: said once, until a sweep has found nobody.
    pub(crate) fn needs_sweeper(&mut self) -> bool {
        !self.seen.is_empty() && !std::mem::replace(&mut self.is_swept, true)
    }

    /// Lets go of who stopped asking; false when nobody is left, and no sweeper is needed.
    pub(crate) fn sweep(&mut self, now: Instant, expiry: Duration) -> bool {
        self.is_swept = self.count(now, expiry) > 0;
        self.is_swept
    }

    fn expire(&mut self, now: Instant, expiry: Duration) {
        self.seen.retain(|_, session| !session.is_over(now, expiry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRY: Duration = Duration::from_secs(6);

    #[test]
    fn a_viewer_counts_once_and_until_it_stops_asking() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let (a, b) = (sessions.open(), sessions.open());
        assert_ne!(a, b);
        assert_eq!(sessions.count(start, EXPIRY), 0, "a name alone is no viewer");
        sessions.touch(&a, start, EXPIRY);
        sessions.touch(&a, start + Duration::from_secs(2), EXPIRY);
        sessions.touch(&b, start + Duration::from_secs(2), EXPIRY);
        assert_eq!(sessions.count(start + Duration::from_secs(3), EXPIRY), 2);
        sessions.touch(&b, start + Duration::from_secs(7), EXPIRY);
        assert_eq!(sessions.count(start + Duration::from_secs(9), EXPIRY), 1);
    }

    #[test]
    fn only_who_was_let_in_is_known_and_not_for_ever() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let name = sessions.admit(start, EXPIRY).unwrap();
        let later = |s| start + Duration::from_secs(s);
        assert!(sessions.knows(&name, later(5), EXPIRY));
        assert!(!sessions.knows(&name, later(6), EXPIRY));
        sessions.touch(&name, later(5), EXPIRY);
        assert!(sessions.knows(&name, later(10), EXPIRY));
        for other in ["", "0000000000000000", &name[1..], "zzzzzzzzzzzzzzzz"] {
            assert!(!sessions.knows(other, start, EXPIRY), "{other}");
        }
        (0..SESSIONS_MAX).for_each(|_| drop(sessions.admit(later(5), EXPIRY)));
        assert!(sessions.admit(later(5), EXPIRY).is_none(), "bounded");
    }

    #[test]
    fn made_up_names_are_bounded() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        (0..20_000_u64).for_each(|n| sessions.touch(&format!("{n:016x}"), now, EXPIRY));
        ["", "xyz", "zzzzzzzzzzzzzzzz"].iter().for_each(|name| sessions.touch(name, now, EXPIRY));
        assert_eq!(sessions.count(now, EXPIRY), SESSIONS_MAX);
    }
}
