//! One access unit on its way through the bus.

use bytes::Bytes;

use crate::TrackId;

/// What a log holds: [`Frame`]s, or what was made of them for readers of another kind.
pub trait Entry: Send + Sync + 'static {
    /// The frame that it is, or was made of: its times and its track are the entry's.
    fn frame(&self) -> &Frame;

    /// The same, for its times to be repaired.
    fn frame_mut(&mut self) -> &mut Frame;

    /// Payload bytes, counted against the bounds of the log.
    fn bytes(&self) -> usize;
}

impl Entry for Frame {
    #[inline]
    fn frame(&self) -> &Frame {
        self
    }

    #[inline]
    fn frame_mut(&mut self) -> &mut Frame {
        self
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.payload.len()
    }
}

/// One access unit (video) or one audio frame, in the bus' canonical form.
///
/// The payload holds
/// - H.264, H.265, H.266: NAL units, each behind a 4-byte big-endian length, without parameter sets and access unit
///   delimiters (the parameter sets live in the track's configuration);
/// - AV1: a temporal unit as OBUs in the low-overhead format, each with its size, without temporal delimiters;
/// - VP8, VP9: one frame, or one superframe;
/// - AAC: one raw access unit, without ADTS or LATM;
/// - Opus: one packet; MP2, MP3, AC-3, E-AC-3, FLAC: one frame with its header;
/// - G.711, G.722, PCM: any number of samples of all channels;
/// - ID3, SCTE-35, KLV, messages: one or more tags, one section, one or more packets, one message.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The track that this belongs to.
    pub track: TrackId,
    /// See [`FrameFlags`].
    pub flags: FrameFlags,
    /// Presentation time in ticks of the track's clock.
    pub pts: i64,
    /// Decoding time in ticks of the track's clock; strictly increasing within a track, except behind [`FrameFlags::DISCONTINUITY`].
    pub dts: i64,
    /// Length in ticks of the track's clock; 0 when the sender did not say.
    pub duration: u32,
    /// The bytes, shared and never changed.
    pub payload: Bytes,
}

/// What a frame is, besides its bytes. A set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameFlags(u8);

impl FrameFlags {
    /// Nothing set.
    pub const NONE: Self = Self(0);
    /// A video frame at which decoding can begin.
    pub const KEY: Self = Self(0b01);
    /// The timeline or the data breaks in front of this frame.
    pub const DISCONTINUITY: Self = Self(0b10);
    /// Together with [`Self::DISCONTINUITY`]: it is the timeline that breaks, for all tracks, and not the data of this one. For readers of
    /// other tracks, who are told at their next frame; no binding shows it.
    pub const NEW_TIMELINE: Self = Self(0b110);

    /// Whether every bit of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits as a number, for bindings.
    pub fn bits(self) -> u8 {
        self.0 & 0b11
    }

    /// The set bits of `bits`; unknown bits are dropped.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0b11)
    }
}

impl Frame {
    /// Whether decoding of the video can begin here.
    pub fn is_key(&self) -> bool {
        self.flags.contains(FrameFlags::KEY)
    }

    /// Whether the timeline or the data breaks in front of this frame.
    pub fn is_discontinuity(&self) -> bool {
        self.flags.contains(FrameFlags::DISCONTINUITY)
    }
}
