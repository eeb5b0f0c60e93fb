//! CMAF (ISO/IEC 23000-19) for HLS and DASH: frames to parts, parts to segments, each made once. No I/O, no clock.
//!
//! | what | where | clause |
//! |---|---|---|
//! | which frames are let in | `crate::gate` | RFC 8216bis §3 |
//! | one track: parts and segments, and where they end | `lane`, `open` | RFC 8216bis §4.4.4.1, §4.4.4.9; ISO/IEC 23000-19 §7.3 |
//! | how long parts are | `pace` | RFC 8216bis §4.4.3.7 |
//! | all tracks together: changes, what leads | `packager` | RFC 8216bis §4.4.4.3 |
//! | breaks, and the wall clock | `timeline`; that of a group: `crate::group_clock` | RFC 8216bis §4.4.4.6, §6.2.1 |
//! | listed, still available, freed | `window` | RFC 8216bis §6.2.1, §6.2.2 |
//! | cues of SCTE-35 | `cue` | RFC 8216bis §4.4.5.1 |
//! | what players can fetch at a moment | `view`, `segment` | RFC 8216bis §6.2.5 |
//!
//! The texts that tell players of it are `hls::media`, `hls::multivariant` and `dash::mpd`.
//!
//! Each track is a CMAF track of its own, cut by itself: into parts by its own frames, into segments where the leading track (the first
//! video) was cut, at its own next frame. Their sequence numbers are their own; what they share is the time of the media, the wall clock,
//! and the number of breaks.

pub(crate) mod cue;
mod lane;
mod open;
mod pace;
mod packager;
mod segment;
#[cfg(test)]
mod tests;
mod timeline;
mod view;
mod window;

use std::time::Duration;

use crate::hls::Encryption;

/// Of a packager; on its own for the fuzzing of it.
#[doc(hidden)]
pub use self::cue::Cues;
pub use self::{
    packager::CmafPackager,
    segment::{Init, Part, Segment},
    view::{Awaited, CmafView, Epoch, Found, OpenView, TrackView},
};
pub(crate) use self::{
    packager::is_carried,
    view::{DateRange, Report},
};

/// How a stream is cut, and how much of it is kept.
///
/// Memory of a stream: bit rate × (the window, at least six target durations, and what has just left it: an eighth more, or six target
/// durations), and never more than `max_window_bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmafConfig {
    /// Parts last about so long (see `pace`). Players stay three of them behind the live edge. Default: 200 ms. 0: no parts, and so no
    /// low latency.
    pub part_target: Duration,
    /// A segment ends at the first key picture from here on. With parts it does not matter to latency: it is how soon a player who
    /// comes can begin, and how many requests one without parts makes. Default: 1 s.
    pub segment_target: Duration,
    /// How far players can go back. Six target durations at least, whatever this says. Default: 15 s.
    pub window: Duration,
    /// Segments never leave the playlist (`EXT-X-PLAYLIST-TYPE:EVENT`). At `max_window_bytes` the presentation ends. Default: false.
    pub is_event: bool,
    /// The first segment is cut here, key picture or not. Stops a publisher who never sends a second one from keeping the
    /// stream out of sight. Default: 10 s.
    pub first_segment_max: Duration,
    /// A segment is cut before it has more bytes, key picture or not. Stops a publisher of a monstrous bit rate.
    /// Default: 64 MiB, 2 s of 268 Mbit/s.
    pub max_segment_bytes: usize,
    /// Memory of the stream, all tracks together, with what is in the making. The oldest segments are dropped first, whichever track they
    /// are of, and the newest of each track never; a segment is cut before it has an eighth of it. Default: 256 MiB.
    pub max_window_bytes: usize,
    /// So much of the window stays in memory, six target durations at least: what is older the host moves away
    /// ([`TrackView::movable`]). What it has not moved when as much again has come, and 10 s, is dropped with all that is older: the window
    /// shortens. Default: none, all of it.
    pub memory: Option<Duration>,
    /// AES-128 of segments and parts. Default: none.
    pub encryption: Option<Encryption>,
}

impl Default for CmafConfig {
    fn default() -> Self {
        Self {
            part_target: Duration::from_millis(200),
            segment_target: Duration::from_secs(1),
            window: Duration::from_secs(15),
            is_event: false,
            first_segment_max: Duration::from_secs(10),
            max_segment_bytes: 64 << 20,
            max_window_bytes: 256 << 20,
            memory: None,
            encryption: None,
        }
    }
}

/// Whole microseconds, a day at most: sums of such times cannot overflow.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(Duration::from_secs(86_400)).as_micros()).unwrap_or(i64::MAX)
}
