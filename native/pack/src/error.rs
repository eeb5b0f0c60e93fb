//! Why a container or a packager refused a frame, by who is at fault.

use std::fmt;

use arcly_codec::CodecError;

use crate::flv::{FlvError, Foreign};

/// Why a frame or a set of tracks was not packed. The packer is as it was before the call and takes the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackError {
    /// The publisher's bytes contradict the standard.
    Malformed {
        /// The structure, in the standard's own words.
        what: &'static str,
        /// Byte offset into the payload at which the contradiction was seen.
        offset: usize,
    },
    /// Well-formed, but nothing that this container can carry.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// More than the container or the configuration has room for.
    LimitExceeded {
        /// What is limited.
        limit: &'static str,
        /// The most that is taken.
        max: usize,
        /// What came.
        seen: usize,
    },
    /// The caller broke the rules of the interface.
    Misuse {
        /// The rule.
        what: &'static str,
    },
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "malformed {what} at byte {offset}"),
            Self::Unsupported { what } => write!(f, "unsupported {what}"),
            Self::LimitExceeded { limit, max, seen } => write!(f, "{limit}: {seen}, but the limit is {max}"),
            Self::Misuse { what } => write!(f, "misuse: {what}"),
        }
    }
}

impl std::error::Error for PackError {}

impl From<CodecError> for PackError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Malformed { what, offset } => Self::Malformed { what, offset },
            CodecError::Unsupported { what } => Self::Unsupported { what },
            CodecError::LimitExceeded { limit, max, seen } => Self::LimitExceeded { limit, max, seen },
            _ => Self::Unsupported { what: "codec data" },
        }
    }
}

impl From<FlvError> for PackError {
    fn from(error: FlvError) -> Self {
        match error {
            FlvError::Malformed { what, offset } => Self::Malformed { what, offset },
            FlvError::Unsupported { what: Foreign::Named(what) } => Self::Unsupported { what },
            FlvError::Unsupported { .. } => Self::Unsupported { what: "Enhanced RTMP FourCC" },
            FlvError::LimitExceeded { limit, max, seen } => Self::LimitExceeded { limit, max, seen },
        }
    }
}
