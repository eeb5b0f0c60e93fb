//! Why bytes were refused.

use std::fmt;

/// Why a parser refused its input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes contradict the standard.
    Malformed {
        /// The syntax element or structure, in the standard's own words.
        what: &'static str,
        /// Byte offset into the input at which the contradiction was seen.
        offset: usize,
    },
    /// Well-formed, but nothing that arcly can carry.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// Well-formed, but larger than arcly accepts.
    LimitExceeded {
        /// What is limited.
        limit: &'static str,
        /// The limit.
        max: usize,
        /// What the input asked for.
        seen: usize,
    },
}

impl CodecError {
    /// The same error about a structure that begins `bytes` into a larger input.
    #[must_use]
    pub fn shifted(self, bytes: usize) -> Self {
        match self {
            Self::Malformed { what, offset } => Self::Malformed { what, offset: offset.saturating_add(bytes) },
            other => other,
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "malformed {what} at byte {offset}"),
            Self::Unsupported { what } => write!(f, "unsupported {what}"),
            Self::LimitExceeded { limit, max, seen } => write!(f, "{limit}: {seen}, but the limit is {max}"),
        }
    }
}

impl std::error::Error for CodecError {}
