//! MP4 and fragmented MP4, read.
//!
//! - `movie`: `moov`: the tracks, their clocks, edit lists and tables.
//! - `entry`: sample entries to configurations; `descriptor`: the `esds` in one of them.
//! - `table`: the tables of `stbl`, a cursor over them. `fragment`: `moof`, a cursor over its runs.
//! - `track`: one track: its next sample, from either of them, as a frame in the form of the bus.
//! - `form`: a sample's bytes in the form of the bus.
//! - `event`: `emsg` to frames.
//! - `push`: a stream in pieces of any size. `index`: a file by random access, with seek. `outline`: what is where in a
//!   fragmented file.

mod descriptor;
mod entry;
mod event;
mod form;
mod fragment;
mod index;
mod movie;
mod outline;
mod push;
mod table;
mod track;

pub use index::{Mp4Index, Step};
pub use outline::{Fragment, Outline, OutlineReader, Span};
pub use push::Mp4Demuxer;

/// Tracks of a file that are looked at; of those behind, nothing is read. Stops a `moov` of thousands of them.
pub const MAX_READ_TRACKS: usize = 64;
/// Bytes of a `moov`, which must be held whole. A day of pictures and sound has some 60 MB.
pub const MAX_MOOV_BYTES: u64 = 128 << 20;
/// Bytes of a `moof`, which must be held whole: a million samples.
pub const MAX_MOOF_BYTES: u64 = 16 << 20;
/// Bytes of one sample. A larger one is left out, and all that follow it in its track.
pub const MAX_SAMPLE_BYTES: u32 = 32 << 20;

/// One access unit as the container describes it; times are those of the media, in ticks of its timescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sample {
    /// In the file.
    offset: u64,
    bytes: u32,
    dts: i64,
    composition_offset: i32,
    duration: u32,
    is_sync: bool,
    /// Index of the sample entry, from 0.
    description: u32,
    /// Samples of the container that this stands for: more than one of a waveform only.
    samples: u32,
}

impl Sample {
    /// Where in the file it ends.
    fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.bytes))
    }
}
