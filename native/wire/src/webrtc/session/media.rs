//! Packets on either side of a session.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arcly_codec::Codec;
use bytes::Bytes;
use str0m::media::{Mid, Rid};

/// An encoding that a publisher sends: a media section and, with simulcast, one of its `rid`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackKey {
    pub(super) mid: Mid,
    pub(super) rid: Option<Rid>,
}

impl TrackKey {
    /// The encoding of that name in the section of that name.
    pub fn new(mid: &str, rid: Option<&str>) -> Self {
        Self { mid: mid.into(), rid: rid.map(Into::into) }
    }

    /// The name of the simulcast encoding (RFC 8851), when there are several.
    pub fn rid(&self) -> Option<&str> {
        self.rid.as_deref()
    }
}

/// The publisher's clocks, as its last sender report (RFC 3550 §6.4.1) relates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// A point in time on the clock that all its tracks share.
    pub wall: SystemTime,
    /// The same on the clock of this track: an RTP timestamp, unrolled as [`ArrivedPacket::timestamp`] is.
    pub timestamp: u64,
}

/// A packet of a publisher.
#[derive(Debug, Clone)]
pub struct ArrivedPacket {
    /// Of which encoding.
    pub track: TrackKey,
    /// What it carries.
    pub codec: Codec,
    /// Ticks per second of its timestamps.
    pub clock_rate_hz: u32,
    /// Channels, where the format says it.
    pub channels: Option<u8>,
    /// Counts packets, unrolled.
    pub sequence: u64,
    /// In ticks, unrolled.
    pub timestamp: u64,
    /// The last packet of a picture.
    pub marker: bool,
    /// What it carries, without header.
    pub payload: Bytes,
    /// When it came.
    pub at: Instant,
    /// What the last sender report said.
    pub clock: Option<SenderClock>,
}

/// Pictures, sound or messages, on the way to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Messages, on a data channel: a packet is a whole one, and only its payload counts.
    Data,
}

impl Lane {
    /// Packets that are kept at most for a viewer who asks for them again: of pictures a second of 38 Mbit/s. Their bytes are shared by all
    /// viewers.
    pub(super) fn kept_packets(self) -> usize {
        if self == Self::Video { 4096 } else { 16 }
    }
}

/// A packet for a viewer: all but the header, which is different for each.
#[derive(Debug, Clone)]
pub struct OutgoingPacket {
    /// Time in ticks of the lane's clock, from any beginning; the viewer's own beginning is added.
    pub timestamp: u32,
    /// The last packet of a picture.
    pub marker: bool,
    /// Shared by all viewers.
    pub payload: Arc<[u8]>,
    /// When it should be seen, on the clock that pictures and sound share: what sender reports say. Must not be in the future.
    pub wall: Instant,
}

/// How a viewer is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlayOptions {
    /// What the path carries is found out and told by [`super::Event::Estimate`], and packets are sent no faster than that. For streams
    /// that come in several encodings: it costs 90 KiB a session, and feedback twenty times a second.
    pub estimates: bool,
    /// How long the viewer should keep pictures back, at least and at most (the playout-delay extension of libwebrtc), in steps of 10 ms up
    /// to 40.95 s. None leaves it to the viewer, who then waits as long as the path jitters.
    pub playout_delay: Option<(Duration, Duration)>,
}

impl PlayOptions {
    /// The delay as the extension has it: hundredths of a second, in 12 bits.
    pub(super) fn delay_steps(delay: Duration) -> u16 {
        const STEPS_MAX: u128 = 0xfff;
        (delay.as_millis() / 10).min(STEPS_MAX) as u16
    }
}
