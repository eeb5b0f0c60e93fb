//! What the peer has to do, and by when.

use std::time::Duration;

use super::super::{Limits, RtmpError};

/// The clock of one connection: the times of what happened, and the limits on what did not.
#[derive(Debug)]
pub(super) struct Timers {
    handshake_time: Duration,
    unused_time: Duration,
    idle_time: Duration,
    now: Duration,
    opened: Duration,
    last_input: Duration,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Handshake,
    /// Nothing is published, played or asked for.
    Unused {
        since: Duration,
    },
    InUse,
}

/// Something that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    pub at: Duration,
    what: &'static str,
    after: Duration,
}

impl Timers {
    pub(super) fn new(limits: &Limits, now: Duration) -> Self {
        Self {
            handshake_time: limits.handshake_time,
            unused_time: limits.unused_time,
            idle_time: limits.idle_time,
            now,
            opened: now,
            last_input: now,
            phase: Phase::Handshake,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn on_input(&mut self, now: Duration) {
        self.now = now;
        self.last_input = now;
    }

    /// The handshake is done, and the connection now is or is not in use.
    pub(super) fn on_use(&mut self, in_use: bool) {
        self.phase = match self.phase {
            _ if in_use => Phase::InUse,
            Phase::Unused { since } => Phase::Unused { since },
            Phase::Handshake | Phase::InUse => Phase::Unused { since: self.now },
        };
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Deadline {
        let idle = Deadline::new("sent nothing", self.last_input, self.idle_time);
        let other = match self.phase {
            Phase::Handshake => Deadline::new("did not finish the handshake", self.opened, self.handshake_time),
            Phase::Unused { since } => Deadline::new("asked for nothing (publish or play)", since, self.unused_time),
            Phase::InUse => return idle,
        };
        if other.at < idle.at { other } else { idle }
    }

    pub(super) fn check(&mut self, now: Duration) -> Result<(), RtmpError> {
        self.now = now;
        let Deadline { at, what, after } = self.next();
        if now < at { Ok(()) } else { Err(RtmpError::Timeout { what, after }) }
    }
}

impl Deadline {
    fn new(what: &'static str, since: Duration, after: Duration) -> Self {
        Self { at: since.saturating_add(after), what, after }
    }
}
