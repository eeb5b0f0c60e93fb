//! What the peer has to do, and by when.

use std::time::Duration;

use super::super::{Limits, RtmpError};

/// The clock of one connection: the times of what happened, and the limits on what did not.
#[derive(Debug)]
pub(super) struct Timers {
    handshake_time: Duration,
    unused_time: Duration,
    idle_time: Duration,
    ping_time: Duration,
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
    /// Only played from: the peer need not say anything unless it is pinged.
    Watched {
        pinged: Option<Duration>,
    },
}

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    None,
    /// Something is published or asked for.
    Sends,
    /// Something is played, and nothing else.
    Watches,
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
            ping_time: limits.ping_time,
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
        if let Phase::Watched { pinged } = &mut self.phase {
            *pinged = None;
        }
    }

    /// The handshake is done, and this is what the connection is used for now.
    pub(super) fn on_use(&mut self, activity: Activity) {
        self.phase = match (activity, self.phase) {
            (Activity::Sends, _) => Phase::InUse,
            (Activity::Watches, Phase::Watched { pinged }) => Phase::Watched { pinged },
            (Activity::Watches, _) => Phase::Watched { pinged: None },
            (Activity::None, Phase::Unused { since }) => Phase::Unused { since },
            (Activity::None, _) => Phase::Unused { since: self.now },
        };
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Deadline {
        let idle = Deadline::new("sent nothing", self.last_input, self.idle_time);
        let other = match self.phase {
            Phase::Handshake => Deadline::new("did not finish the handshake", self.opened, self.handshake_time),
            Phase::Unused { since } => Deadline::new("asked for nothing (publish or play)", since, self.unused_time),
            Phase::InUse => return idle,
            Phase::Watched { pinged: None } => return Deadline::new("", self.last_input, self.ping_time),
            Phase::Watched { pinged: Some(at) } => return Deadline::new("did not answer a ping", at, self.idle_time),
        };
        if other.at < idle.at { other } else { idle }
    }

    /// Whether a ping is due now.
    pub(super) fn check(&mut self, now: Duration) -> Result<bool, RtmpError> {
        self.now = now;
        let Deadline { at, what, after } = self.next();
        if now < at {
            return Ok(false);
        }
        if let Phase::Watched { pinged: pinged @ None } = &mut self.phase {
            *pinged = Some(now);
            return Ok(true);
        }
        Err(RtmpError::Timeout { what, after })
    }
}

impl Deadline {
    fn new(what: &'static str, since: Duration, after: Duration) -> Self {
        Self { at: since.saturating_add(after), what, after }
    }
}
