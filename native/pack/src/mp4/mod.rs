//! MP4 (ISO/IEC 14496-12): fragmented files and CMAF written.
//!
//! | what | where | clause |
//! |---|---|---|
//! | `ftyp`, `moov`, `mvex`, edit lists | `movie`, `mux` | §4.3, §8.2 to §8.8; CMAF: ISO/IEC 23000-19 §7 |
//! | sample entries | `entry` | §8.5.2, and the bindings that are listed there |
//! | `moof`, `mdat` | `fragment` | §8.8.4 to §8.8.12 |
//! | `styp`, `sidx`, `prft`, `emsg` | `event` | §8.16; ISO/IEC 23009-1 §5.10.3.3 |
//!
//! Times are those of the frames in the clocks of their tracks. Encryption (ISO/IEC 23001-7) is a seam: see `entry`.

mod entry;
mod event;
mod fragment;
mod movie;
mod mux;
#[cfg(test)]
mod tests;
mod write;

pub use entry::BitRate;
pub use fragment::{Head, SegmentType};
pub use mux::{Fmp4Muxer, MAX_TRACKS, TrackOptions};
