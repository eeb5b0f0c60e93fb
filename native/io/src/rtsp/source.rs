//! One track of a publisher: packets to units, and what reports say of their times.

use std::time::Duration;

use arcly_bus::TrackId;
use arcly_codec::{CodecConfig, MediaKind};
use arcly_wire::{
    rtp::{
        self, AccessUnit, DecodingTimes, Format, Packet, Receiver, Sync, SyncTrack,
        rtcp::{RtcpPacket, SenderInfo, packets},
    },
    rtsp::{Lower, keys, sdp::Media},
    srtp::{Opener, SrtpError},
};
use bytes::Bytes;
use tokio::time::Instant;

use super::tracks::readable;

/// Ticks of 90 kHz between two pictures of which nothing is known.
const PICTURE_TICKS: u32 = 3_000;

/// One track.
pub(super) struct Source {
    pub(super) track: TrackId,
    pub(super) format: Format,
    /// All that can be read, where there are several: the first packet chooses.
    formats: Vec<Format>,
    /// What it was described as.
    media: Media,
    limits: rtp::Limits,
    /// It was chosen, and nobody knows yet.
    is_chosen: bool,
    pub(super) receiver: Receiver,
    /// Where it is encrypted.
    opener: Option<Opener>,
    pub(super) config: Option<CodecConfig>,
    pub(super) sync: SyncTrack,
    /// A sender report has come.
    pub(super) is_told: bool,
    /// It has said goodbye, and no other source has taken its place.
    pub(super) has_left: bool,
    /// One that came in front of the first packet.
    early: Option<(u32, SenderInfo)>,
    /// The time of the moment at which all tracks begin, before the first packet.
    pub(super) common: Option<u32>,
    pub(super) decoding: Option<DecodingTimes>,
    /// When the first packet of the unit that is being put together came.
    pub(super) begun: Option<Instant>,
    malformed: u64,
    pub(super) duration: u32,
}

/// What a packet is to its track.
pub(super) enum Kind {
    /// Of the format that is read.
    Read,
    /// Of a type that was described and is not read: comfort noise, repairs, the format that was not chosen.
    LeftOut,
    /// Of a type that was not described.
    Foreign,
}

/// Numbers of tracks: the first video is 0, the first audio 1, further ones follow.
#[derive(Default)]
pub(super) struct Numbers {
    has_video: bool,
    has_audio: bool,
    further: u8,
}

impl Numbers {
    fn next(&mut self, kind: MediaKind) -> TrackId {
        match kind {
            MediaKind::Video if !std::mem::replace(&mut self.has_video, true) => TrackId(0),
            MediaKind::Audio if !std::mem::replace(&mut self.has_audio, true) => TrackId(1),
            _ => {
                self.further = self.further.saturating_add(1);
                TrackId(1 + self.further)
            }
        }
    }
}

impl Source {
    /// The track of a description, which comes that way; else why it is left out.
    pub(super) fn of_media(
        media: &Media,
        lower: Lower,
        numbers: &mut Numbers,
        sync: &mut Sync,
    ) -> Result<Self, String> {
        let formats: Vec<_> = readable(media).collect();
        let source = formats.first().and_then(|format| Self::new(format.clone(), limits(lower), numbers, sync));
        let mut source = source.ok_or_else(|| left_out(media))?;
        if keys::is_secure(media) {
            let opener = keys::of_media(media).and_then(|told| told.opener().ok());
            let unknown = || format!("a track of {} is left out: its key is not known here", media.kind);
            source.opener = Some(opener.ok_or_else(unknown)?);
        }
        source.media = media.clone();
        if formats.len() > 1 {
            (source.formats, source.config) = (formats, None);
        }
        Ok(source)
    }

    fn new(format: Format, limits: rtp::Limits, numbers: &mut Numbers, sync: &mut Sync) -> Option<Self> {
        let receiver = Receiver::new(format.clone(), limits).ok()?;
        let kind = kind(&format);
        let config = receiver.config().cloned();
        let mut source = Self {
            track: numbers.next(kind),
            sync: sync.add_track(kind, format.clock_rate_hz),
            format,
            formats: Vec::new(),
            media: Media::default(),
            limits,
            is_chosen: false,
            receiver,
            opener: None,
            config: None,
            is_told: false,
            has_left: false,
            early: None,
            common: None,
            decoding: None,
            begun: None,
            malformed: 0,
            duration: 0,
        };
        config.into_iter().for_each(|config| source.configure(config));
        Some(source)
    }

    fn configure(&mut self, config: CodecConfig) {
        self.decoding = config.video().map(|video| {
            let rate = video.frame_rate.map(|(rate, per)| u64::from(per) * 90_000 / u64::from(rate.max(1)));
            let ticks = rate.and_then(|ticks| u32::try_from(ticks).ok()).unwrap_or(PICTURE_TICKS);
            DecodingTimes::new(video.max_reorder_frames, ticks)
        });
        let samples = config.audio().map_or(0, |audio| audio.samples_per_frame);
        (self.duration, self.config) = (samples, Some(config));
    }

    /// What is to become of a packet; the first one that is whole and of a known type chooses among several.
    pub(super) fn judge(&mut self, packet: &Bytes, sync: &mut Sync) -> Kind {
        // What is too short is told as broken.
        let Some(payload_type) = packet.get(1).map(|byte| byte & 0x7f) else { return Kind::Read };
        if self.formats.is_empty() && self.format.payload_type == payload_type {
            return Kind::Read;
        }
        let chosen = self.formats.iter().find(|format| format.payload_type == payload_type).cloned();
        if let Some(format) = chosen {
            // What only opens a firewall or NAT chooses nothing (RFC 6263 §4).
            let is_whole = Packet::parse(packet.clone()).is_ok_and(|packet| !packet.payload.is_empty());
            return if is_whole && self.choose(format, sync) { Kind::Read } else { Kind::LeftOut };
        }
        if self.media.has_type(payload_type) { Kind::LeftOut } else { Kind::Foreign }
    }

    /// Reads the track in this format from now on; false when that cannot be.
    fn choose(&mut self, format: Format, sync: &mut Sync) -> bool {
        let Ok(receiver) = Receiver::new(format.clone(), self.limits) else { return false };
        receiver.config().cloned().into_iter().for_each(|config| self.configure(config));
        // Of another rate, maybe. The one before has placed nothing, and counts for nothing.
        self.sync = sync.add_track(kind(&format), format.clock_rate_hz);
        (self.format, self.receiver, self.formats, self.is_chosen) = (format, receiver, Vec::new(), true);
        true
    }

    /// Takes what a unit says of its configuration; whether that is another one than before.
    pub(super) fn note(&mut self, unit: &AccessUnit) -> bool {
        let config = unit.config.as_deref().filter(|config| self.config.as_ref() != Some(config)).cloned();
        let is_other = config.is_some() | std::mem::take(&mut self.is_chosen);
        config.into_iter().for_each(|config| self.configure(config));
        is_other
    }

    /// The packet, where it is encrypted.
    pub(super) fn open(&mut self, is_rtcp: bool, payload: Bytes) -> Result<Bytes, SrtpError> {
        match &mut self.opener {
            None => Ok(payload),
            Some(opener) if is_rtcp => opener.rtcp(&payload).map(Bytes::from),
            Some(opener) => opener.rtp(&payload).map(Bytes::from),
        }
    }

    pub(super) fn push(&mut self, payload: Bytes, now: Instant, sync: &mut Sync) -> Result<(), String> {
        let packet = Packet::parse(payload).map_err(|error| error.to_string())?;
        self.begun.get_or_insert(now);
        let before = self.receiver.ssrc();
        self.receiver.push(now.into(), packet);
        if before.is_some() && before != self.receiver.ssrc() {
            sync.restart(self.sync);
            self.has_left = false;
        }
        // Not before the first packet of the source: what opens a firewall or NAT may come in front of it (RFC 6263 §4.3).
        if self.receiver.ssrc().is_none() {
            return Ok(());
        }
        if let Some(timestamp) = self.common.take() {
            sync.common_moment(self.sync, self.receiver.unroll(timestamp));
        }
        if let Some((ssrc, info)) = self.early.take() {
            self.tell(ssrc, &info, now, sync);
        }
        let (malformed, error) = self.receiver.malformed();
        let is_worse = malformed > std::mem::replace(&mut self.malformed, malformed);
        error.filter(|_| is_worse).map_or(Ok(()), |error| Err(error.to_string()))
    }

    /// Takes a packet that is left out: nothing is missing at its number.
    pub(super) fn pass_over(&mut self, payload: Bytes, now: Instant) {
        if let Ok(packet) = Packet::parse(payload) {
            self.receiver.pass_over(now.into(), packet);
        }
    }

    pub(super) fn on_reports(&mut self, datagram: &[u8], now: Instant, sync: &mut Sync) {
        for packet in packets(datagram).flatten() {
            match packet {
                RtcpPacket::SenderReport { ssrc, info, .. } if self.receiver.ssrc().is_some() => {
                    self.tell(ssrc, &info, now, sync);
                }
                // Encoders begin with it, in front of the first packet.
                RtcpPacket::SenderReport { ssrc, info, .. } => self.early = Some((ssrc, info)),
                RtcpPacket::Goodbye { ssrcs, .. } => {
                    self.has_left |= self.receiver.ssrc().is_some_and(|ssrc| ssrcs.contains(&ssrc));
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, ssrc: u32, info: &SenderInfo, now: Instant, sync: &mut Sync) {
        if let Some(timestamp) = self.receiver.sender_report(now.into(), ssrc, info) {
            self.is_told = true;
            sync.sender_report(self.sync, info.ntp, timestamp);
        }
    }
}

/// What is said of a track that cannot be read.
pub(super) fn left_out(media: &Media) -> String {
    let encoding = media.format().map_or("nothing that is explained", |format| &format.encoding);
    let encoding: String = encoding.chars().filter(|c| !c.is_control()).take(32).collect();
    format!("a track of {} is left out: {encoding} is not known here", media.kind)
}

/// A number that is missing over a connection was mostly left out by the sender: it is not waited for before a packet of the source came late.
fn limits(lower: Lower) -> rtp::Limits {
    let limits = rtp::Limits::default();
    if lower == Lower::Tcp { rtp::Limits { reorder_time: Duration::ZERO, ..limits } } else { limits }
}

fn kind(format: &Format) -> MediaKind {
    match format.encoding.media() {
        "video" => MediaKind::Video,
        "audio" => MediaKind::Audio,
        _ => MediaKind::Data,
    }
}
