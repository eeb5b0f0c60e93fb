//! The log of a stream and its cursors: the hot path.
//!
//! A publisher appends [`Frame`]s to a log; a subscriber is a cursor over it. No runtime, no I/O, no clock.

mod frame;
mod track;

pub use frame::{Frame, FrameFlags};
pub use track::{Track, TrackId, TrackSet};
