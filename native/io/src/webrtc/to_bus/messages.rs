//! What a publisher says on its data channels: a track of messages beside pictures and sound.

use std::time::Duration;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::{CodecConfig, data::DataConfig};
use bytes::Bytes;

/// By convention behind the first pictures and the first sound; [`super::ToBus::id`] gives it to nothing else.
const TRACK: TrackId = TrackId(2);

/// The track of messages. It is there from the beginning, said or not: players dislike tracks that come later.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Ticks of the last message; 0 before the first.
    last: i64,
    count: u64,
}

impl Messages {
    pub(super) fn track(&self) -> Track {
        Track::new(TRACK, CodecConfig::Message(DataConfig::default()))
    }

    /// A message that came so long after the stream began. Times rise strictly, also of messages that come at once.
    pub(super) fn frame(&mut self, payload: Bytes, elapsed: Duration) -> Frame {
        let ticks = i64::try_from(elapsed.as_micros() * 9 / 100).unwrap_or(i64::MAX);
        self.last = ticks.max(self.last + 1);
        self.count += 1;
        Frame { track: TRACK, flags: FrameFlags::NONE, pts: self.last, dts: self.last, duration: 0, payload }
    }

    /// Whether the last message was the first.
    pub(super) fn is_first(&self) -> bool {
        self.count == 1
    }
}
