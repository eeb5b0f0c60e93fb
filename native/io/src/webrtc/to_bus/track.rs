//! One encoding of a publisher.

use std::time::{Duration, Instant, SystemTime};

use arcly_bus::{Frame, FrameFlags, TrackId};
use arcly_codec::{Codec, CodecConfig, CodecError, MediaKind, opus};
use arcly_wire::{
    rtp::{
        AccessUnit, Depacketizer, Format, Header, Limits, Packet, Reorder, Sync, SyncTrack, Timestamps,
        rtcp::ntp_of_unix,
    },
    webrtc::{ArrivedPacket, SenderClock, TrackKey},
};

/// Pictures behind a loss are left out until the next key frame, but no longer than this: who sends none when asked is shown damaged.
const DAMAGE_MAX: Duration = Duration::from_secs(2);

pub(super) struct Incoming {
    pub(super) id: TrackId,
    pub(super) key: TrackKey,
    pub(super) codec: Codec,
    /// Its place on the timeline of the stream.
    pub(super) sync: SyncTrack,
    reorder: Reorder,
    depacketizer: Depacketizer,
    config: Option<CodecConfig>,
    /// The time of the first packet, and when it came: a key frame takes long to be whole.
    first: (i64, Instant),
    /// Times of packets, without their wraps.
    times: Timestamps,
    clock: Option<SenderClock>,
    /// Pictures are left out since then.
    damaged_since: Option<Instant>,
    has_begun: bool,
}

impl Incoming {
    /// The track that begins with `packet`, in the place of another one where that was `before`.
    pub(super) fn new(
        id: TrackId,
        packet: &ArrivedPacket,
        before: Option<SyncTrack>,
        sync: &mut Sync,
        now: Instant,
    ) -> Result<Self, CodecError> {
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
        let sync = match before {
            Some(before) => {
                sync.restart_at(before, packet.clock_rate_hz);
                before
            }
            None => sync.add_track(packet.codec.kind(), packet.clock_rate_hz),
        };
        Ok(Self {
            id,
            key: packet.track,
            codec: packet.codec,
            sync,
            reorder: Reorder::new(&limits),
            times,
            config: depacketizer.config().cloned(),
            depacketizer,
            first: (first, now),
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
    pub(super) fn push(&mut self, packet: ArrivedPacket, sync: &mut Sync, now: Instant) -> Result<(), CodecError> {
        self.times.unroll(packet.timestamp as u32);
        if let Some(clock) = packet.clock.filter(|clock| self.clock != Some(*clock)) {
            self.clock = Some(clock);
            sync.sender_report(self.sync, ntp(clock.wall), self.times.peek(clock.timestamp as u32));
        }
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
    pub(super) fn take_units(&mut self, now: Instant, sync: &mut Sync, frames: &mut Vec<Frame>) -> bool {
        let mut changed = false;
        while let Some(unit) = self.depacketizer.poll() {
            if let Some(config) = &unit.config {
                changed |= self.config.as_ref() != Some(&**config) || !self.has_begun;
                self.config = Some((**config).clone());
            }
            if self.kind() == MediaKind::Video && self.is_damaged(&unit, now) {
                continue;
            }
            if !std::mem::replace(&mut self.has_begun, true) {
                changed = true;
                let (first, came) = self.first;
                sync.place(self.sync, first, came);
            }
            frames.push(self.frame(unit, sync, now));
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

    fn frame(&self, unit: AccessUnit, sync: &mut Sync, now: Instant) -> Frame {
        let placed = sync.place(self.sync, unit.timestamp, now);
        let mut flags = if unit.is_key && self.kind() == MediaKind::Video { FrameFlags::KEY } else { FrameFlags::NONE };
        if placed.is_discontinuity {
            flags = flags.with(FrameFlags::DISCONTINUITY);
        }
        let pts = placed.ticks;
        let duration = match self.codec {
            Codec::Opus => opus::packet_samples(&unit.payload).unwrap_or_default(),
            Codec::G711A | Codec::G711U => unit.payload.len() as u32,
            _ => 0,
        };
        Frame { track: self.id, flags, pts, dts: pts, duration, payload: unit.payload }
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

/// A time of a sender report; 0 of a sender without a clock, of which str0m makes the beginning of 1970.
fn ntp(wall: SystemTime) -> u64 {
    let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since_1970.is_zero() { 0 } else { ntp_of_unix(since_1970) }
}
