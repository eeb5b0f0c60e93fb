//! Recorded files on their way to players: what is where in them, segments, and parts of them as files. Blocks: for threads that may.
//!
//! - `source`: where the bytes of a file come from: the disk, or anything else that gives ranges of them.
//! - `outline`: what is where in it.
//! - `clip`: a part of a recording as a file that does not exist.
//! - `remux`: the same where the recorded files are no MP4.

mod clip;
mod outline;
mod remux;
mod source;

use std::{io, sync::Arc};

use arcly_pack::{
    PackError,
    vod::{Segment, Vod},
};

pub use clip::Clip;
pub use outline::{FileOutline, Known, outline, pack_outline};
pub use remux::Remuxed;
pub use source::{Opened, Source};

use super::whole::invalid;

/// Bytes of a segment: what nobody records in a few seconds. Stops a file without key frames from filling the memory.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// The bytes of a segment; `sources` are those of the pieces.
///
/// # Errors
/// The source's, or that the file is not what it was.
pub fn segment_bytes(vod: &Vod, sources: &[Arc<dyn Source>], segment: &Segment) -> io::Result<Vec<u8>> {
    if segment.range.bytes > SEGMENT_BYTES_MAX {
        let (limit, max, seen) = ("bytes of a segment", SEGMENT_BYTES_MAX as usize, segment.range.bytes as usize);
        return Err(invalid(PackError::LimitExceeded { limit, max, seen }));
    }
    let source = sources.get(segment.piece).ok_or(io::ErrorKind::NotFound)?;
    let file = source.open()?.read_exactly(segment.range)?;
    vod.segment_bytes(segment, &file).map_err(invalid)
}
