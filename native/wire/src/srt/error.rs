//! Why a datagram or a connection is no good.

use std::{fmt, time::Duration};

/// What is wrong, by who is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SrtError {
    /// The bytes contradict the draft.
    Malformed {
        /// The structure, in the draft's own words.
        what: &'static str,
        /// Where in the datagram or the structure it was seen.
        offset: usize,
    },
    /// Well-formed, but nothing that is spoken here.
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// The passphrase is another one.
    BadSecret,
    /// The peer did not do in time what it had to.
    Timeout {
        /// What it had to do.
        what: &'static str,
        /// The time that it had.
        after: Duration,
    },
    /// The library that ciphers failed: no memory, no random numbers.
    Crypto,
}

impl SrtError {
    pub(super) fn malformed(what: &'static str, offset: usize) -> Self {
        Self::Malformed { what, offset }
    }
}

impl From<aws_lc_rs::error::Unspecified> for SrtError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}

impl fmt::Display for SrtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "malformed {what} at byte {offset}"),
            Self::Unsupported { what } => write!(f, "unsupported: {what}"),
            Self::BadSecret => f.write_str("the passphrase is another one"),
            Self::Timeout { what, after } => write!(f, "{what} for {} s", after.as_secs_f64()),
            Self::Crypto => f.write_str("the cipher library failed"),
        }
    }
}

impl std::error::Error for SrtError {}
