//! Timed data beside pictures and sound.

use bytes::Bytes;

/// Configuration of a data track. None of the formats has a record: it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataConfig {
    /// Empty.
    pub record: Bytes,
}
