//! Why a tag was refused.

use std::fmt;

use arcly_codec::CodecError;

/// Why FLV was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlvError {
    /// The bytes contradict the specification.
    Malformed {
        /// The field or structure, in the specification's own words.
        what: &'static str,
        /// Byte offset: into the body of the tag (demuxer), into the file (reader).
        offset: usize,
    },
    /// Well-formed, but nothing that arcly can carry. The other track is not concerned: log it once and go on.
    Unsupported {
        /// What came.
        what: Foreign,
    },
    /// Well-formed, but more than arcly accepts.
    LimitExceeded {
        /// What is limited.
        limit: &'static str,
        /// The limit.
        max: usize,
        /// What was asked for.
        seen: usize,
    },
}

/// Something that FLV can carry and arcly cannot. Comparable, so that a caller can tell what it has logged already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Foreign {
    /// A codec or a feature that has a name.
    Named(&'static str),
    /// A codec of Enhanced RTMP, by its FourCC.
    FourCc([u8; 4]),
}

impl FlvError {
    /// What a codec says about the part of a tag's body that begins at `offset`.
    pub(super) fn at(offset: usize) -> impl Fn(CodecError) -> Self {
        move |error| Self::from(error.shifted(offset))
    }

    /// The same error about a structure that begins `bytes` into a larger one.
    pub(super) fn shifted(self, bytes: usize) -> Self {
        match self {
            Self::Malformed { what, offset } => Self::Malformed { what, offset: offset.saturating_add(bytes) },
            other => other,
        }
    }
}

impl From<CodecError> for FlvError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Malformed { what, offset } => Self::Malformed { what, offset },
            CodecError::Unsupported { what } => Self::Unsupported { what: Foreign::Named(what) },
            CodecError::LimitExceeded { limit, max, seen } => Self::LimitExceeded { limit, max, seen },
            _ => Self::Unsupported { what: Foreign::Named("codec configuration") },
        }
    }
}

impl fmt::Display for FlvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "malformed {what} at byte {offset}"),
            Self::Unsupported { what } => write!(f, "unsupported {what}"),
            Self::LimitExceeded { limit, max, seen } => write!(f, "{limit}: {seen}, but the limit is {max}"),
        }
    }
}

impl std::error::Error for FlvError {}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            // A peer's bytes go into a log: escaped.
            Self::FourCc(four_cc) => write!(f, "Enhanced RTMP FourCC {}", four_cc.escape_ascii()),
        }
    }
}
