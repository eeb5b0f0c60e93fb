//! What a sender says of its sources: reports (RFC 3550 §6.4.1), and goodbye.

use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;

use super::{Direct, Track};
use crate::rtp::rtcp::{Chunk, RtcpPacket, SenderInfo, ntp_of_unix};

/// Between two reports, more or less.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// A moment on both clocks of ours.
#[derive(Debug, Clone, Copy)]
pub(in crate::webrtc) struct WallClock {
    moment: Instant,
    since_1970: Duration,
}

impl WallClock {
    /// Of now.
    pub(in crate::webrtc) fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { moment: Instant::now(), since_1970 }
    }

    fn ntp(&self, at: Instant) -> u64 {
        ntp_of_unix(self.since_1970 + at.saturating_duration_since(self.moment))
    }

    /// As `abs-send-time` has it: 24 bits, 18 of them behind the point.
    pub(super) fn send_time(&self, at: Instant) -> [u8; 3] {
        let [_, _, _, _, _, bytes @ ..] = (self.ntp(at) >> 14).to_be_bytes();
        bytes
    }
}

impl Direct {
    /// Each source in a datagram of its own: receivers that part the sources before they read look at the first of a datagram.
    pub(super) fn report(&mut self, now: Instant) {
        let ntp = self.clock.ntp(now);
        if let Some(path) = self.paths.chosen() {
            let packets = self.tracks.iter().fold(0, |sum, track| track.packets.wrapping_add(sum));
            self.proof.report(ntp, path, packets);
        }
        let reports: Vec<_> = self.tracks.iter().filter_map(|track| report_of(track, ntp, now)).collect();
        reports.into_iter().for_each(|report| self.seal_and_wait(&report));
    }

    pub(super) fn say_goodbye(&mut self) {
        let ssrcs: Vec<_> = self.tracks.iter().map(|track| track.source.ssrc).collect();
        let Some(ssrc) = ssrcs.first().copied() else { return };
        // RFC 3550 §6.1: the first packet of a datagram is a report.
        let report = RtcpPacket::ReceiverReport { ssrc, reports: Vec::new() };
        self.seal_and_wait(&[report, RtcpPacket::Goodbye { ssrcs, reason: String::new() }]);
    }

    fn seal_and_wait(&mut self, packets: &[RtcpPacket]) {
        let Some(srtp) = &mut self.srtp else { return };
        let mut plain = BytesMut::new();
        packets.iter().for_each(|packet| packet.write(&mut plain));
        let mut datagram = plain.to_vec();
        if srtp.seal_rtcp(&mut datagram) {
            self.wait(datagram);
        }
    }
}

fn report_of(track: &Track, ntp: u64, now: Instant) -> Option<[RtcpPacket; 2]> {
    let (timestamp, wall) = track.latest?;
    // The moment that is named is now: the viewer measures the way by it.
    let elapsed = now.saturating_duration_since(wall).as_micros() * u128::from(track.clock_rate_hz) / 1_000_000;
    let info = SenderInfo {
        ntp,
        rtp_timestamp: timestamp.wrapping_add(elapsed as u32),
        packets: track.packets,
        octets: track.octets,
    };
    let ssrc = track.source.ssrc;
    let chunk = Chunk { ssrc, cname: track.cname.clone() };
    Some([RtcpPacket::SenderReport { ssrc, info, reports: Vec::new() }, RtcpPacket::SourceDescription(vec![chunk])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_sending_counts_64_seconds_in_steps_of_four_microseconds() {
        let clock = WallClock { moment: Instant::now(), since_1970: Duration::from_secs(64 * 1000) };
        let at = |millis| {
            let [a, b, c] = clock.send_time(clock.moment + Duration::from_millis(millis));
            u32::from_be_bytes([0, a, b, c])
        };
        assert_eq!(at(0), 0);
        assert_eq!(at(1500), 3 << 17);
        assert_eq!(at(64_250), 1 << 16);
    }
}
