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
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "malformed {what} at byte {offset}"),
            Self::Unsupported { what } => write!(f, "unsupported {what}"),
        }
    }
}

impl std::error::Error for CodecError {}
