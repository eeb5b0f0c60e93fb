//! What is let in: a stream begins where a player can begin.

use arcly_bus::Frame;
use arcly_codec::MediaKind;

/// Segments of a stream after which it is shown without the tracks that have none yet.
pub(crate) const PATIENCE_SEGMENTS: u64 = 3;

/// Holds pictures back until a key picture, and sound until there are pictures.
///
/// Players show nothing of a stream whose tracks are announced and do not come, so sound waits for the first key
/// picture, but not for ever: after `patience` of it the stream goes on as sound, and pictures join at their first key.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    video_is_open: bool,
    audio_is_open: bool,
    /// When the first sound came that was held back.
    waiting_since_us: Option<i64>,
}

impl Gate {
    /// Pictures of this stream come only from the next key picture on: their configuration is new.
    pub(crate) fn await_key(&mut self) {
        self.video_is_open = false;
    }

    /// The stream has no pictures.
    pub(crate) fn expect_no_video(&mut self) {
        *self = Self { audio_is_open: true, ..Self::default() };
    }

    /// Whether pictures are let in.
    pub(crate) fn video_is_open(&self) -> bool {
        self.video_is_open
    }

    /// Whether this frame, decoded at `dts_us`, is let in.
    pub(crate) fn admits(&mut self, frame: &Frame, kind: MediaKind, dts_us: i64, patience_us: i64) -> bool {
        match kind {
            MediaKind::Video => {
                self.video_is_open |= frame.is_key();
                self.audio_is_open |= self.video_is_open;
                self.video_is_open
            }
            MediaKind::Audio | MediaKind::Data => {
                let since_us = self.waiting_since_us.unwrap_or(dts_us).min(dts_us);
                self.waiting_since_us = Some(since_us);
                self.audio_is_open |= dts_us - since_us >= patience_us;
                self.audio_is_open
            }
        }
    }
}
