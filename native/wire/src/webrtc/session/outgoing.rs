//! Packets for a viewer; by way of str0m, which finds out how much its path carries, where that is to be known.

use std::time::{Duration, Instant};

use arcly_codec::{Codec, MediaKind};
use str0m::{
    bwe::{Bitrate, BweKind},
    media::{MediaKind as RtcKind, MediaTime, Mid, Pt},
    rtp::{ExtensionValues, RtpWrite, SeqNo, Ssrc},
};

use super::{Lane, OutgoingPacket, PlayOptions, PlayedCodec, Section, Session, Sink, WebRtcError};

/// Packets that are kept for a viewer who asks for them again, and until somebody has asked for the first time, for what each costs here is
/// 430 bytes: half a second of 2.5 Mbit/s, and of a key frame, which is sent at twice the rate or so, more than it takes to ask on most paths.
/// And for how long.
const RESEND_PACKETS: usize = 512;
const RESEND_PACKETS_AT_FIRST: usize = 128;
const RESEND_AGE: Duration = Duration::from_millis(1000);

/// The part of what is sent that may be repetition; above it the path is full, and repeating makes that worse.
const RESEND_SHARE_MAX: f32 = 0.3;

/// How often str0m says what has come of a session: which address ICE has chosen, whether packets are asked for again.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Where packets of one lane go.
#[derive(Debug)]
pub(super) struct Sender {
    mid: Mid,
    ssrc: Ssrc,
    pt: Pt,
    /// Unrolled, from a random beginning (RFC 3550 §5.1) below 2¹⁶, which is where a receiver's rollover counter begins.
    sequence: u64,
    timestamp: u32,
    /// The viewer has asked for packets again.
    is_asked_again: bool,
    /// The next packet begins a picture.
    is_first: bool,
}

impl Session {
    /// The section and payload type of a lane: the first section that was agreed on for what is played of that kind.
    pub(super) fn choose(&self, lane: Lane, media: &[Section], played: &[PlayedCodec]) -> Option<(Mid, Pt)> {
        let (kind, rtc_kind) = match lane {
            Lane::Video => (MediaKind::Video, RtcKind::Video),
            Lane::Audio => (MediaKind::Audio, RtcKind::Audio),
            Lane::Data => return None,
        };
        let played = played.iter().find(|played| played.codec.kind() == kind)?;
        let (rtc, single) = (self.rtc.as_ref()?, self.offer.single_unit_types());
        media.iter().filter(|(_, kind)| *kind == rtc_kind).find_map(|(mid, _)| {
            let media = rtc.media(*mid).filter(|media| media.direction().is_sending())?;
            let takes = |pt: &Pt| played.codec != Codec::H264 || !single.contains(&**pt);
            let agreed: Vec<_> = media.remote_pts().iter().copied().filter(takes).collect();
            Some((*mid, played.choose(&agreed, rtc.codec_config().params())?))
        })
    }

    pub(super) fn sender(&mut self, lane: Lane, mid: Mid, pt: Pt) -> Option<Sender> {
        let mut direct = self.rtc.as_mut()?.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None)?;
        let packets = lane.kept_packets().min(RESEND_PACKETS_AT_FIRST);
        stream.set_rtx_cache(packets, RESEND_AGE, Some(RESEND_SHARE_MAX));
        let ssrc = stream.ssrc();
        let random = *ssrc;
        let sequence = u64::from(random & 0x3fff);
        Some(Sender {
            mid,
            ssrc,
            pt,
            sequence,
            timestamp: random.rotate_left(16),
            is_asked_again: false,
            is_first: true,
        })
    }

    fn sender_of(&mut self, lane: Lane) -> Option<&mut Sender> {
        match lane {
            Lane::Video => self.video.as_mut(),
            Lane::Audio => self.audio.as_mut(),
            Lane::Data => None,
        }
    }

    /// Whether packets of this lane are sent.
    pub fn plays(&self, lane: Lane) -> bool {
        match lane {
            Lane::Video | Lane::Audio if self.direct.is_some() => {
                self.direct.as_ref().is_some_and(|direct| direct.plays(lane))
            }
            Lane::Video => self.video.is_some(),
            Lane::Audio => self.audio.is_some(),
            Lane::Data => self.has_channels(),
        }
    }

    /// Sends a packet of a lane: into `sink`, or into a queue where the session [is stirred](Self::is_stirred) by it. Nothing happens where the
    /// lane is not played, or nobody is there yet.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn send(
        &mut self,
        lane: Lane,
        packet: OutgoingPacket,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<(), WebRtcError> {
        if lane == Lane::Data {
            // Who does not take them is not sent them later.
            return self.send_message(&packet.payload).map(|_| ());
        }
        match self.direct.as_mut().filter(|_| !self.is_over) {
            Some(direct) => {
                self.is_stirred |= direct.send(lane, packet, self.playout_delay, now, sink);
                Ok(())
            }
            None => self.queue(lane, packet),
        }
    }

    /// Puts a packet into the queue of a lane of str0m.
    fn queue(&mut self, lane: Lane, packet: OutgoingPacket) -> Result<(), WebRtcError> {
        let delay = self.playout_delay.filter(|_| lane == Lane::Video);
        let Some(sender) = self.sender_of(lane) else { return Ok(()) };
        let (ssrc, timestamp) = (sender.ssrc, packet.timestamp.wrapping_add(sender.timestamp));
        let mut write = RtpWrite::new(sender.pt, SeqNo::from(sender.sequence), timestamp, packet.wall, packet.payload)
            .marker(packet.marker)
            .nackable(true);
        // Receivers look at the first packet of a picture.
        if let Some((min, max)) = delay.filter(|_| sender.is_first) {
            let (play_delay_min, play_delay_max) = (Some(hundredths(min)), Some(hundredths(max)));
            write = write.ext_vals(ExtensionValues { play_delay_min, play_delay_max, ..ExtensionValues::default() });
        }
        sender.is_first = packet.marker;
        sender.sequence += 1;
        self.is_stirred = true;
        self.guarded("writing a packet", |rtc| {
            if let Some(stream) = rtc.direct_api().stream_tx(&ssrc) {
                stream.write_rtp(write);
            }
            Ok(())
        })
    }

    /// Says what the best encoding takes, in bits per second: capacity is looked for up to there. Only where estimates were asked for.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn want_bitrate(&mut self, bits_per_s: u64) -> Result<(), WebRtcError> {
        self.guarded("wanting a bitrate", |rtc| {
            rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::bps(bits_per_s));
            Ok(())
        })
    }

    /// Finds out anew what the path carries, from this estimate on, in bits per second. Only where estimates were asked for.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn estimate_anew(&mut self, bits_per_s: u64) -> Result<(), WebRtcError> {
        self.guarded("estimating anew", |rtc| {
            rtc.bwe().reset(Bitrate::bps(bits_per_s));
            Ok(())
        })
    }

    /// Keeps more for a viewer who has lost packets: who has lost one loses others, and may be far away.
    pub(super) fn asked_again(&mut self, mid: Mid) {
        let Some(video) = self.video.as_mut().filter(|video| video.mid == mid && !video.is_asked_again) else { return };
        video.is_asked_again = true;
        let ssrc = video.ssrc;
        let Some(rtc) = &mut self.rtc else { return };
        if let Some(stream) = rtc.direct_api().stream_tx(&ssrc) {
            stream.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, Some(RESEND_SHARE_MAX));
        }
    }
}

/// What an estimate says.
pub(super) fn bits_per_s(estimate: &BweKind) -> Option<u64> {
    match estimate {
        // Without feedback it only repeats what we began with.
        BweKind::Twcc { estimate, can_probe: true } | BweKind::Remb { estimate, .. } => Some(estimate.as_u64()),
        _ => None,
    }
}

fn hundredths(delay: Duration) -> MediaTime {
    MediaTime::from_hundredths(PlayOptions::delay_steps(delay).into())
}
