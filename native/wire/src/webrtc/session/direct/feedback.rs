//! What a viewer says: what it has lost, and what its path carries.

use std::time::Instant;

use super::{Direct, WAITING_MAX};
use crate::{
    rtp::rtcp::{Nack, ReportBlock, RtcpPacket, packets},
    webrtc::session::{Lane, event::Event},
};

impl Direct {
    /// Takes the packets of a datagram. What is malformed is passed over.
    pub(super) fn take_feedback(&mut self, datagram: &[u8], now: Instant) {
        let mut left = WAITING_MAX;
        for packet in packets(datagram).flatten() {
            match packet {
                RtcpPacket::SenderReport { reports, .. } | RtcpPacket::ReceiverReport { reports, .. } => {
                    reports.iter().for_each(|report| self.know(report));
                }
                RtcpPacket::Nack(nack) => self.repeat(&nack, &mut left, now),
                RtcpPacket::PictureLoss { media, .. } => self.want_key_frame(media),
                RtcpPacket::FullIntra(request) => {
                    request.requests.iter().for_each(|(ssrc, _)| self.want_key_frame(*ssrc));
                }
                RtcpPacket::Remb(remb) => self.events.push_back(Event::Estimate(remb.bit_rate_bps)),
                _ => {}
            }
        }
    }

    fn know(&mut self, report: &ReportBlock) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.source.ssrc == report.ssrc) {
            track.is_known = true;
            self.proof.named(report.last_sender_report);
        }
    }

    /// Repeats what was lost, `left` packets at most. Looks for room before it seals: what is sealed and dropped is work for nothing.
    fn repeat(&mut self, nack: &Nack, left: &mut usize, now: Instant) {
        let moment = self.clock.send_time(now);
        let Some(srtp) = &self.srtp else { return };
        let Some(track) = self.tracks.iter_mut().find(|track| track.source.ssrc == nack.media) else { return };
        for sequence in nack.sequences() {
            if *left == 0 || self.waiting.len() >= WAITING_MAX {
                return;
            }
            if let Some(datagram) = track.again(sequence, now, moment, srtp) {
                self.waiting.push_back((None, datagram));
                *left -= 1;
            }
        }
    }

    /// One wish in a datagram is as good as many.
    fn want_key_frame(&mut self, ssrc: u32) {
        let is_video = |track: &super::Track| track.lane() == Lane::Video && track.source.ssrc == ssrc;
        if self.tracks.iter().any(is_video) && !matches!(self.events.back(), Some(Event::KeyFrameWanted)) {
            self.events.push_back(Event::KeyFrameWanted);
        }
    }
}
