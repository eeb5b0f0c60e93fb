//! From PES packets of one stream to access units in the form of the bus.
//!
//! - `coding`: which coding a line of the Program Map means; `unread`: what it is else.
//! - `video`: pictures behind start codes; `splitter`: where PES packets do not begin with them; `cadence`: those without a time.
//! - `av1`: temporal units.
//! - `frames`, `framing`: sound whose frames begin with a sync word. `latm`, `opus`: other sound. `grid`: its times.
//! - `data`: timed data.

mod av1;
mod cadence;
mod coding;
mod data;
mod frames;
mod framing;
mod grid;
mod latm;
mod opus;
mod splitter;
mod unread;
mod video;

use arcly_bus::{Frame, FrameFlags, TrackId};
use arcly_codec::CodecConfig;
use bytes::Bytes;

pub(super) use self::{coding::Coding, unread::unread};
use super::timeline::Times;

/// A PES packet as a coding sees it.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) content: Bytes,
    /// `None` when the PES packet has no PTS.
    pub(super) times: Option<Times>,
    /// The newest decoding time of the program.
    pub(super) now_90k: Option<i64>,
}

/// What reads the PES packets of one stream.
pub(super) trait Essence: std::fmt::Debug + Send + Sync {
    /// Takes the next PES packet.
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet);

    /// Something is missing in front of the next one.
    fn lose(&mut self, _outlet: &mut Outlet) {}

    /// Nothing more comes.
    fn finish(&mut self, _outlet: &mut Outlet) {}

    fn buffered_bytes(&self) -> usize {
        0
    }
}

/// What came of PES packets, in order.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    pub(super) outputs: Vec<Output>,
    /// Frames, or what should be some, that were dropped: malformed, or without a time or a configuration.
    pub(super) dropped_frames: u64,
    /// Something was lost in front of the next frame.
    pub(super) is_broken: bool,
}

#[derive(Debug)]
pub(super) enum Output {
    Config(CodecConfig),
    /// The track is not known here.
    Frame(Frame),
}

impl Outlet {
    pub(super) fn config(&mut self, config: CodecConfig) {
        self.outputs.push(Output::Config(config));
    }

    pub(super) fn frame(&mut self, times: (i64, i64), duration: u32, flags: FrameFlags, payload: Bytes) {
        let (pts, dts) = times;
        let is_broken = std::mem::take(&mut self.is_broken);
        let flags = if is_broken { flags.with(FrameFlags::DISCONTINUITY) } else { flags };
        self.outputs.push(Output::Frame(Frame { track: TrackId(0), flags, pts, dts, duration, payload }));
    }

    pub(super) fn drop_frame(&mut self) {
        self.dropped_frames += 1;
    }
}
