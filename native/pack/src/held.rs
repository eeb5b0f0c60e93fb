//! Where the bytes of a complete segment are: in memory, or where the host has moved them.

use std::{any::Any, sync::Arc};

use bytes::Bytes;

/// What the host needs to find a segment that it has moved out of memory. Dropped when nobody can ask for that any more.
pub type Away = Arc<dyn Any + Send + Sync>;

/// What there is of a complete segment.
#[derive(Debug)]
pub enum Held {
    /// Its bytes, piece by piece.
    Here(Vec<Bytes>),
    /// The host has moved them away.
    Away(Away),
}

impl Held {
    /// Its bytes in one piece; none when they are not in memory.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Here(mut pieces) if pieces.len() == 1 => pieces.pop(),
            Self::Here(pieces) => Some(pieces.concat().into()),
            Self::Away(_) => None,
        }
    }
}

/// A complete segment, whose bytes may be somewhere else.
pub trait Movable: Send + Sync {
    /// The last part of its URI, which no other segment has.
    fn name(&self) -> &str;

    /// Its bytes, or where they are.
    fn held(&self) -> Held;

    /// Its bytes are somewhere else now, for all who hold it.
    fn move_away(&self, away: Away);
}

/// How late the host may be with what it moves out of memory.
pub(crate) const LATE_US: i64 = 10_000_000;
