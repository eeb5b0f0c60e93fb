//! MP4 (ISO/IEC 14496-12): fragmented files and CMAF written, files and streams of all kinds read, recordings made whole.
//!
//! | what | where | clause |
//! |---|---|---|
//! | boxes, written and read | `write`, `read` | §4.2 |
//! | `ftyp`, `moov`, `mvex`, edit lists | `movie`, `mux` | §4.3, §8.2 to §8.8; CMAF: ISO/IEC 23000-19 §7 |
//! | sample entries | `entry`, `demux/entry` | §8.5.2, and the bindings that are listed there |
//! | `moof`, `mdat` | `fragment`, `demux/fragment` | §8.8.4 to §8.8.12 |
//! | `styp`, `sidx`, `prft`, `emsg` | `event`, `demux/event` | §8.16; ISO/IEC 23009-1 §5.10.3.3 |
//! | `stbl` | `demux/table`, `finalize/tables` | §8.6, §8.7 |
//! | a file with `moov` in front of a recording; the end of one that was cut off | `finalize` | – |
//!
//! Written times are those of the frames in the clocks of their tracks: nothing is summed up. Read times are computed from the absolute
//! time of the media. Nothing here allocates by what a box claims: tables are read where they lie.
//!
//! Not done: encryption (ISO/IEC 23001-7), which is a seam (see `entry`) and is refused when read; edits behind the first one that shows
//! something; `sidx` and `mfra` when read: fragments are found by walking over boxes.

mod demux;
mod entry;
mod event;
mod finalize;
mod fragment;
mod movie;
mod mux;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use demux::{
    Fragment, MAX_MOOF_BYTES, MAX_MOOV_BYTES, MAX_READ_TRACKS, MAX_SAMPLE_BYTES, Mp4Demuxer, Mp4Index, Outline,
    OutlineReader, Span, Step,
};
pub use entry::BitRate;
pub use finalize::{Finalizer, Finalizing, Layout, MovieBuilder, Place, PlaceReader, PlaceStep, Range, WholeFragments};
pub use fragment::{Head, SegmentType};
pub use movie::is_written_here;
pub use mux::{Fmp4Muxer, MAX_TRACKS, TrackOptions};
