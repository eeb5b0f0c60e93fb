//! One encoding of a publisher.

use std::time::{Duration, Instant, SystemTime};

use arcly_bus::{Frame, FrameFlags, TrackId};
use arcly_codec::{Codec, CodecConfig, CodecError, MediaKind, opus};
use arcly_wire::{
    rtp::{AccessUnit, Depacketizer, Format, Header, Limits, Packet, Reorder, Timestamps},
    webrtc::{ArrivedPacket, SenderClock, TrackKey},
};

/// Pictures behind a loss are left out until the next key frame, but no longer than this: who sends none when asked is shown damaged.
const DAMAGE_MAX: Duration = Duration::from_secs(2);

/// Tracks that are apart by less than this are as the sender wants them.
const APART_MAX_MICROS: i64 = 5_000;

pub(super) struct Incoming {
    pub(super) id: TrackId,
    pub(super) key: TrackKey,
    pub(super) codec: Codec,
    rate_hz: u32,
    reorder: Reorder,
    depacketizer: Depacketizer,
    config: Option<CodecConfig>,
    /// What is added to times of packets, in ticks: the stream begins when the connection does.
    shift: i64,
    /// Times of packets, without their wraps.
    times: Timestamps,
    clock: Option<SenderClock>,
    /// Pictures are left out since then.
    damaged_since: Option<Instant>,
    has_begun: bool,
}

impl Incoming {
    /// The track that begins with `packet`, `begun` being time 0.
    pub(super) fn new(id: TrackId, packet: &ArrivedPacket, begun: Instant, now: Instant) -> Result<Self, CodecError> {
        let rtpmap = match packet.channels {
            Some(channels) => format!("{}/{}/{channels}", encoding_name(packet.codec), packet.clock_rate_hz),
            None => format!("{}/{}", encoding_name(packet.codec), packet.clock_rate_hz),
        };
        // Mode 1 is what was answered; single NAL units are read all the same.
        let fmtp = (packet.codec == Codec::H264).then_some("packetization-mode=1");
        let format = Format::parse(96, Some(&rtpmap), fmtp)?;
        let limits = Limits::default();
        let depacketizer = Depacketizer::new(&format, limits)?;
        let mut times = Timestamps::default();
        let first = times.unroll(packet.timestamp as u32);
        let elapsed = now.saturating_duration_since(begun).as_micros() as i64;
        let rate_hz = packet.clock_rate_hz;
        Ok(Self {
            id,
            key: packet.track,
            codec: packet.codec,
            rate_hz,
            reorder: Reorder::new(&limits),
            times,
            config: depacketizer.config().cloned(),
            depacketizer,
            shift: ticks(elapsed, rate_hz) - first,
            clock: None,
            damaged_since: None,
            has_begun: false,
        })
    }

    pub(super) fn kind(&self) -> MediaKind {
        self.codec.kind()
    }

    pub(super) fn config(&self) -> Option<&CodecConfig> {
        self.config.as_ref()
    }

    /// Takes a packet.
    pub(super) fn push(&mut self, packet: ArrivedPacket, now: Instant) -> Result<(), CodecError> {
        self.clock = packet.clock.or(self.clock);
        self.times.unroll(packet.timestamp as u32);
        let header = Header {
            marker: packet.marker,
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp as u32,
            ..Header::default()
        };
        self.reorder.push(now, Packet { header, payload: packet.payload, ..Packet::default() });
        self.feed(now)
    }

    /// Gives holes up that have been waited for long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        // What is malformed was told of when it came.
        let _ = self.feed(now);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.reorder.poll_timeout()
    }

    fn feed(&mut self, now: Instant) -> Result<(), CodecError> {
        self.reorder.handle_timeout(now);
        let mut result = Ok(());
        while let Some(ordered) = self.reorder.poll() {
            if ordered.restarts {
                self.depacketizer.reset();
            }
            result = result.and(self.depacketizer.push(&ordered.packet, ordered.lost > 0));
        }
        result
    }

    /// Takes what is whole; true when the configuration is another one from there on.
    pub(super) fn take_units(&mut self, now: Instant, frames: &mut Vec<Frame>) -> bool {
        let mut changed = false;
        while let Some(unit) = self.depacketizer.poll() {
            if let Some(config) = &unit.config {
                changed |= self.config.as_ref() != Some(&**config) || !self.has_begun;
                self.config = Some((**config).clone());
            }
            if self.kind() == MediaKind::Video && self.is_damaged(&unit, now) {
                continue;
            }
            changed |= !std::mem::replace(&mut self.has_begun, true);
            frames.push(self.frame(unit));
        }
        changed
    }

    /// Whether a picture cannot be decoded, as far as is known.
    fn is_damaged(&mut self, unit: &AccessUnit, now: Instant) -> bool {
        if unit.is_key {
            self.damaged_since = None;
            return false;
        }
        if unit.follows_loss || !self.has_begun {
            self.damaged_since.get_or_insert(now);
        }
        let Some(since) = self.damaged_since else { return false };
        let is_too_long = now.saturating_duration_since(since) >= DAMAGE_MAX && self.has_begun;
        if is_too_long {
            self.damaged_since = None;
        }
        !is_too_long
    }

    /// Whether nothing can go on without a key frame.
    pub(super) fn waits_for_key(&self) -> bool {
        self.kind() == MediaKind::Video && (self.damaged_since.is_some() || !self.has_begun)
    }

    fn frame(&self, unit: AccessUnit) -> Frame {
        let pts = unit.timestamp.wrapping_add(self.shift);
        let flags = if unit.is_key && self.kind() == MediaKind::Video { FrameFlags::KEY } else { FrameFlags::NONE };
        let duration = match self.codec {
            Codec::Opus => opus::packet_samples(&unit.payload).unwrap_or_default(),
            Codec::G711A | Codec::G711U => unit.payload.len() as u32,
            _ => 0,
        };
        Frame { track: self.id, flags, pts, dts: pts, duration, payload: unit.payload }
    }

    /// The sender's clock when the time of the stream was 0, once it has told it.
    pub(super) fn wall_at_zero(&self) -> Option<SystemTime> {
        let clock = self.clock?;
        let here = micros(self.times.peek(clock.timestamp as u32).wrapping_add(self.shift), self.rate_hz);
        if here >= 0 {
            clock.wall.checked_sub(Duration::from_micros(here as u64))
        } else {
            clock.wall.checked_add(Duration::from_micros(here.unsigned_abs()))
        }
    }

    /// Shifts this track so that the sender's clock was `reference` when the time of the stream was 0.
    pub(super) fn align(&mut self, reference: SystemTime) {
        let Some(own) = self.wall_at_zero() else { return };
        let apart = match own.duration_since(reference) {
            Ok(later) => later.as_micros() as i64,
            Err(earlier) => -(earlier.duration().as_micros() as i64),
        };
        if apart.abs() > APART_MAX_MICROS {
            self.shift += ticks(apart, self.rate_hz);
        }
    }
}

fn encoding_name(codec: Codec) -> &'static str {
    match codec {
        Codec::G711A => "PCMA",
        Codec::G711U => "PCMU",
        Codec::Opus => "opus",
        codec => codec.name(),
    }
}

fn ticks(micros: i64, rate_hz: u32) -> i64 {
    (i128::from(micros) * i128::from(rate_hz) / 1_000_000) as i64
}

fn micros(ticks: i64, rate_hz: u32) -> i64 {
    (i128::from(ticks) * 1_000_000 / i128::from(rate_hz.max(1))) as i64
}
