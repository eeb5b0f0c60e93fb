//! Why the bus refused.

use std::fmt;

use crate::TrackId;

/// Why a frame was not published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusError {
    /// The stream has been ended; nothing can be published any more.
    Closed,
    /// The frame names a track that the stream does not have.
    UnknownTrack {
        /// The track named.
        track: TrackId,
    },
    /// One frame alone is larger than all that the log may hold.
    FrameTooLarge {
        /// [`crate::LogBounds::bytes`].
        limit: usize,
        /// Bytes of the frame.
        seen: usize,
    },
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "the stream has ended"),
            Self::UnknownTrack { track } => write!(f, "the stream has no track {}", track.0),
            Self::FrameTooLarge { limit, seen } => {
                write!(f, "a frame of {seen} bytes is larger than the stream's bound of {limit} bytes")
            }
        }
    }
}

impl std::error::Error for BusError {}
