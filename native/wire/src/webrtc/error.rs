//! Why a session is refused or ends, by who is at fault.

use std::fmt;

/// Why an offer is refused, or a session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebRtcError {
    /// The text is no SDP, or breaks its rules; for people.
    Malformed {
        /// What is wrong, safe to show.
        what: String,
        /// The line, counted from 1; 0 where it is the whole.
        line: usize,
    },
    /// Well-formed, but nothing that can be carried.
    Unsupported {
        /// What was asked for, safe to show.
        what: String,
    },
    /// More than [`Limits`](super::Limits) allows.
    LimitExceeded {
        /// The limit, by the name of its field.
        limit: &'static str,
        /// Its value.
        max: usize,
    },
    /// The transport of a session broke: DTLS failed, a fingerprint did not match.
    Broken(String),
    /// A bug below us showed; the session is dead.
    Bug(&'static str),
}

impl WebRtcError {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), line: 0 }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

impl fmt::Display for WebRtcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, line: 0 } => write!(f, "{what}"),
            Self::Malformed { what, line } => write!(f, "{what} (line {line})"),
            Self::Unsupported { what } => write!(f, "{what}"),
            Self::LimitExceeded { limit, max } => write!(f, "more than {max} {}", limit.replace('_', " ")),
            Self::Broken(text) => write!(f, "{text}"),
            Self::Bug(doing) => write!(f, "a bug of the server while {doing}"),
        }
    }
}

impl std::error::Error for WebRtcError {}
