//! Packets of a publisher.

use bytes::Bytes;
use str0m::{
    media::KeyframeRequestKind,
    rtp::{RtpPacket, Ssrc},
};

use super::{ArrivedPacket, SenderClock, Session, TrackKey, Way, WebRtcError};
use crate::webrtc::codecs::from_rtc;

/// Sources that are remembered; a publisher that changes them looks them up anew.
const SOURCES_MAX: usize = 16;

impl Session {
    /// Asks a publisher for a key frame in every encoding of its pictures.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn request_key_frame(&mut self, track: TrackKey) -> Result<(), WebRtcError> {
        self.guarded("asking for a key frame", |rtc| {
            if let Some(stream) = rtc.direct_api().stream_rx_by_mid(track.mid, track.rid) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
            Ok(())
        })
    }

    pub(super) fn arrived(&mut self, packet: RtpPacket) -> Option<ArrivedPacket> {
        if self.way != Way::FromPeer {
            return None;
        }
        let header = &packet.header;
        let params =
            self.rtc.as_ref()?.codec_config().params().iter().find(|params| params.pt() == header.payload_type)?;
        let spec = params.spec();
        let clock =
            packet.last_sender_info.map(|info| SenderClock { wall: info.ntp_time, timestamp: info.rtp_time.numer() });
        let track = self.track_of(header.ssrc)?;
        Some(ArrivedPacket {
            track,
            codec: from_rtc(spec.codec)?,
            clock_rate_hz: spec.clock_rate.get(),
            channels: spec.channels,
            sequence: *packet.seq_no,
            timestamp: packet.time.numer(),
            marker: header.marker,
            payload: Bytes::from_owner(packet.payload.clone()),
            at: packet.timestamp,
            clock,
        })
    }

    /// The encoding that a source sends: most packets do not say it, for the first ones did (RFC 8843 §9.2).
    fn track_of(&mut self, ssrc: Ssrc) -> Option<TrackKey> {
        if let Some((_, track)) = self.sources.iter().find(|(known, _)| *known == ssrc) {
            return Some(*track);
        }
        let mut direct = self.rtc.as_mut()?.direct_api();
        let stream = direct.stream_rx(&ssrc)?;
        let track = TrackKey { mid: stream.mid(), rid: stream.rid() };
        if self.sources.len() >= SOURCES_MAX {
            self.sources.remove(0);
        }
        self.sources.push((ssrc, track));
        Some(track)
    }
}
