//! What is swept. A new target is a file here with a `TARGET`, and its two lines below.

mod amf0;
mod rtmp_chunk;
mod rtmp_conn;

use crate::mutate::Input;

/// Everything that reads a peer's bytes.
pub const ALL: &[Target] = &[amf0::TARGET, rtmp_chunk::TARGET, rtmp_conn::TARGET];

/// A parser or a state machine under test.
pub struct Target {
    /// As on the command line: the name of the file.
    pub name: &'static str,
    /// Valid inputs, to be broken. Small ones: an edit should hit something.
    pub vectors: fn() -> Vec<Vec<u8>>,
    /// What it may hold at a time, by its limits.
    pub buffered_bytes_max: usize,
    /// Runs it on an input, asserts what must be true of it, and says how many bytes it held at most.
    pub run: fn(&Input) -> usize,
}
