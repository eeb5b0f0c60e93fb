//! MPEG-DASH (ISO/IEC 23009-1) of the segments of `cmaf`: one MPD for a stream, or for several that show the same in other sizes.
//!
//! | what | where | clause of ISO/IEC 23009-1 |
//! |---|---|---|
//! | what is available when, the end | `mpd` | §5.3.1 |
//! | a Period for each run of segments without a break | `mpd` | §5.3.2 |
//! | pictures and sounds, in sets among which a player may switch | `set` | §5.3.3, §5.3.5 |
//! | the segments, those in the making too | `set` | §5.3.9.6; low latency: DASH-IF IOP part 5, §9 |
//!
//! Segments are named by number, the same as in HLS, so that a cache has them once.

mod mpd;
pub(crate) mod picture;
mod set;
pub(crate) mod sound;
#[cfg(test)]
mod tests;

pub use mpd::mpd;
