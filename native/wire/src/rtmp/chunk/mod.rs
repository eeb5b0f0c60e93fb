//! The chunk stream (RTMP §5.3): messages cut into chunks and put together again.

mod header;
mod reader;
mod writer;

pub use reader::ChunkReader;
pub use writer::ChunkWriter;

/// What both sides begin with (RTMP §5.4.1).
const DEFAULT_CHUNK_BYTES: usize = 128;
/// In the 24-bit timestamp field: the value follows in 32 bits (RTMP §5.3.1.3).
const EXTENDED_TIMESTAMP: u32 = 0xff_ffff;
