//! Where a peer has shown itself to be, and which of its addresses media go to: one that it checks from (RFC 7675). Signed RTCP from there does as
//! well to go on: libnice without consent freshness sends no checks once it is connected, and who can write another's address on RTCP can
//! write it on a check.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::webrtc::{session::Transport, stun::Transaction};

/// A way to a peer.
pub(super) type Path = (Transport, SocketAddr);

/// Ways on which a peer checks: it has a few interfaces, of two families.
pub(super) const PATHS_MAX: usize = 16;

/// Checks that are remembered: more than a minute of them, from whoever checks often. What is older may come again from elsewhere.
const CHECKS_MAX: usize = 32;

/// The ways to one peer.
#[derive(Debug)]
pub(super) struct Paths {
    /// How long a check allows to send to where it came from.
    consent: Duration,
    chosen: Option<Path>,
    /// When the consent to send on the chosen one ends; none was given yet.
    until: Option<Instant>,
    /// On which checks came, the latest behind, and when the peer was heard there last.
    checked: Vec<(Path, Instant)>,
    checks: VecDeque<(Transaction, Path)>,
}

impl Paths {
    pub(super) fn new(consent: Duration) -> Self {
        Self { consent, chosen: None, until: None, checked: Vec::new(), checks: VecDeque::new() }
    }

    /// Where media go, as far as it was known when time was last looked at.
    pub(super) fn chosen(&self) -> Option<Path> {
        self.chosen
    }

    /// Where media go: without consent for the chosen one to where the peer was heard last, and nowhere when that is too long ago as well.
    pub(super) fn media(&mut self, now: Instant) -> Option<Path> {
        if self.until.is_none_or(|until| until <= now) {
            self.choose_other(now);
        }
        self.chosen
    }

    /// ICE has chosen.
    pub(super) fn choose(&mut self, path: Path) {
        let checked = self.checked.iter().find(|(checked, _)| *checked == path);
        self.until = checked.map(|(_, at)| *at + self.consent);
        self.chosen = Some(path);
    }

    /// Whether a check is a copy: sent from elsewhere by somebody who has seen it pass.
    pub(super) fn is_copy(&self, transaction: &Transaction, path: Path) -> bool {
        self.checks.iter().any(|(seen, from)| seen == transaction && *from != path)
    }

    /// A check came that is the peer's.
    pub(super) fn check(&mut self, transaction: Transaction, path: Path, now: Instant) {
        if self.checks.len() >= CHECKS_MAX {
            self.checks.pop_front();
        }
        self.checks.push_back((transaction, path));
        self.forget(path);
        if self.checked.len() >= PATHS_MAX {
            self.checked.remove(0);
        }
        self.checked.push((path, now));
        if self.chosen == Some(path) {
            self.until = Some(now + self.consent);
        }
    }

    /// Something signed came that is no check: it renews a consent that there is, and gives none. Whether it did.
    pub(super) fn renew(&mut self, path: Path, now: Instant) -> bool {
        let consent = self.consent;
        let Some((_, at)) = self.checked.iter_mut().find(|(checked, at)| *checked == path && *at + consent > now)
        else {
            return false;
        };
        *at = now;
        if self.chosen == Some(path) {
            self.until = Some(now + consent);
        }
        true
    }

    /// A way is no more.
    pub(super) fn lose(&mut self, path: Path) {
        self.forget(path);
        if self.chosen == Some(path) {
            self.until = None;
        }
    }

    #[cfg(test)]
    pub(super) fn checked_at(&self, path: Path) -> Option<Instant> {
        self.checked.iter().find(|(checked, _)| *checked == path).map(|(_, at)| *at)
    }

    fn forget(&mut self, path: Path) {
        self.checked.retain(|(checked, _)| *checked != path);
    }

    fn choose_other(&mut self, now: Instant) {
        let consent = self.consent;
        let live = self.checked.iter().max_by_key(|(_, at)| *at).filter(|(_, at)| *at + consent > now);
        self.until = live.map(|(_, at)| *at + consent);
        self.chosen = live.map(|(path, _)| *path);
    }
}
