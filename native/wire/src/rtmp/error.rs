//! Why a connection came to its end, by who is at fault.

use std::{fmt, time::Duration};

use arcly_codec::CodecError;

/// Why a connection cannot go on. The machine is dead behind any of these.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtmpError {
    /// The bytes contradict the specification.
    Malformed {
        /// The structure, in the specification's own words.
        what: &'static str,
        /// Where it was seen: in a chunk header counted from the connection's first byte, otherwise
        /// (AMF0, control and aggregate messages) from the first byte of the message's body.
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
    /// Well-formed, but nothing that this server speaks.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The peer did not do in time what it had to.
    Timeout {
        /// What it had to do.
        what: &'static str,
        /// The time it had.
        after: Duration,
    },
}

impl RtmpError {
    /// [`RtmpError::LimitExceeded`] from sizes.
    pub(super) fn limit(limit: &'static str, max: usize, seen: usize) -> Self {
        // A usize has at most 64 bits on everything that Rust runs on.
        Self::LimitExceeded { limit, max: max as u64, seen: seen as u64 }
    }

    /// [`RtmpError::Malformed`] at an offset in a message.
    pub(super) fn malformed(what: &'static str, offset: usize) -> Self {
        Self::Malformed { what, offset: offset as u64 }
    }
}

/// What AMF says about the body of a message.
impl From<CodecError> for RtmpError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Malformed { what, offset } => Self::malformed(what, offset),
            CodecError::LimitExceeded { limit, max, seen } => Self::limit(limit, max, seen),
            CodecError::Unsupported { what } => Self::Unsupported { what },
            _ => Self::Unsupported { what: "AMF" },
        }
    }
}

impl fmt::Display for RtmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "malformed {what} at byte {offset}"),
            Self::Misbehaved { state, got } => write!(f, "unexpected in {state}: {got}"),
            Self::LimitExceeded { limit, max, seen } => {
                write!(f, "limit exceeded: {limit} is {max}, the peer wanted {seen}")
            }
            Self::Unsupported { what } => write!(f, "unsupported: {what}"),
            Self::Timeout { what, after } => write!(f, "{what} for {} s", after.as_secs_f64()),
        }
    }
}

impl std::error::Error for RtmpError {}
