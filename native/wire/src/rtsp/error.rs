//! Why a connection came to its end, by who is at fault.

use std::{fmt, time::Duration};

/// Why a connection cannot go on. The machine is dead behind any of these.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtspError {
    /// The bytes contradict the specification.
    Malformed {
        /// The structure, in the specification's own words.
        what: &'static str,
        /// Where it was seen, counted from the first byte of the connection, or of the text where that was read by itself.
        offset: u64,
    },
    /// Well-formed, but not now.
    Misbehaved {
        /// What the connection was doing.
        state: &'static str,
        /// What came instead of something that fits; safe to log.
        got: String,
    },
    /// More than [`Limits`](super::Limits) allows.
    LimitExceeded {
        /// The limit, by the name of its field.
        limit: &'static str,
        /// Its value.
        max: u64,
        /// What the peer wanted.
        seen: u64,
    },
    /// Well-formed, but nothing that we speak.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The other side said no.
    Refused {
        /// Its status code (RFC 2326 §7.1.1).
        status: u16,
        /// Its own words; escaped.
        reason: String,
        /// What it was asked for.
        method: &'static str,
    },
    /// The peer did not do in time what it had to.
    Timeout {
        /// What it had to do.
        what: &'static str,
        /// The time it had.
        after: Duration,
    },
}

impl RtspError {
    /// [`RtspError::LimitExceeded`] from sizes.
    pub(super) fn limit(limit: &'static str, max: usize, seen: u64) -> Self {
        // A usize has at most 64 bits on everything that Rust runs on.
        Self::LimitExceeded { limit, max: max as u64, seen }
    }
}

impl fmt::Display for RtspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "malformed {what} at byte {offset}"),
            Self::Misbehaved { state, got } => write!(f, "unexpected in {state}: {got}"),
            Self::LimitExceeded { limit, max, seen } => {
                write!(f, "limit exceeded: {limit} is {max}, the peer wanted {seen}")
            }
            Self::Unsupported { what } => write!(f, "unsupported: {what}"),
            Self::Refused { status, reason, method } => write!(f, "{method} was refused: {status} {reason}"),
            Self::Timeout { what, after } => write!(f, "{what} for {} s", after.as_secs_f64()),
        }
    }
}

impl std::error::Error for RtspError {}
