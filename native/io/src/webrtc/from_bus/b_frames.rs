//! Pictures that are not sent in the order in which they are shown (B-frames): RTP has no decoding time, and browsers show pictures as they
//! come.
//!
//! What Chromium makes of 12 s of them, x264 with two B-frames in a row: sent as they are, it decodes 12 pictures of 305 and asks for 60 key
//! frames, for it takes a decoder that expects more of the kind for an error; without them, 118 of 116 that came, and asks for none. Of a
//! pyramid (`b-pyramid=normal`), without those only that no other needs, 21 of 163, and the picture stands for 11 s; without all, 94 of 95.

use arcly_bus::Frame;

/// What a stream's viewers are sent of such pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BFrames {
    /// None, also of those that others need: it costs at worst a smear until the next key frame.
    #[default]
    Drop,
    /// All, in decoding order, each under the time at which it is shown: for receivers that put them into order, which no browser does.
    Pass,
}

/// Says which pictures are sent.
#[derive(Debug)]
pub(super) struct Order {
    policy: BFrames,
    /// The latest of the pictures that were sent, in presentation.
    latest_pts: i64,
}

impl Order {
    pub(super) fn new(policy: BFrames) -> Self {
        Self { policy, latest_pts: i64::MIN }
    }

    pub(super) fn takes(&mut self, frame: &Frame) -> bool {
        let in_order = frame.is_key() || frame.is_discontinuity() || frame.pts > self.latest_pts;
        if in_order {
            self.latest_pts = frame.pts;
        }
        in_order || self.policy == BFrames::Pass
    }
}
