//! How the tracks of a publisher belong together in time.
//!
//! Each source of RTP counts from a beginning of its own. Sender reports say what that is by the sender's clock (RFC 3550 §6.4.1); before
//! they come, and where they lie or never come, the first packets are taken for simultaneous with their arrival. When all tracks have told
//! their times later, the tracks of sound are moved to where they belong, once.

use std::time::Duration;

use arcly_wire::rtp::rtcp::{RtcpPacket, packets};

/// Arrival and reports of a track disagree by more: then the reports lie. Cameras send key pictures in bursts and start tracks late, but not
/// by so much.
const DISAGREE_MAX_NS: i64 = 5_000_000_000;
/// Tracks that are apart by less are left as they are: nobody hears it, and moving is heard.
const APART_MIN_NS: i64 = 20_000_000;

/// The times of all tracks of one publisher.
#[derive(Debug, Default)]
pub(crate) struct Times {
    tracks: Vec<TrackTime>,
    /// By the sender's clock, where the time of the stream is 0: set by the first track that has a report.
    origin_ntp_ns: Option<i64>,
}

#[derive(Debug)]
struct TrackTime {
    clock_rate_hz: u32,
    is_video: bool,
    /// A time of RTP, unrolled, and the time of the stream that it stands for.
    anchor: Option<(i64, i64)>,
    report: Option<Report>,
    /// By reports, not by arrival.
    is_synchronised: bool,
}

/// What a sender report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// The sender's clock, in nanoseconds.
    pub(crate) ntp_ns: i64,
    /// The same moment in RTP.
    pub(crate) timestamp: u32,
}

impl Report {
    /// The first sender report of a compound packet; none when there is none, or its sender has no clock (RFC 3550 §6.4.1).
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        packets(datagram).find_map(|packet| match packet {
            Ok(RtcpPacket::SenderReport { info, .. }) if info.ntp != 0 => {
                let ntp_ns = i64::try_from((u128::from(info.ntp) * 1_000_000_000) >> 32).ok()?;
                Some(Self { ntp_ns, timestamp: info.rtp_timestamp })
            }
            _ => None,
        })
    }
}

impl Times {
    /// Adds a track; its place is its number.
    pub(crate) fn add(&mut self, clock_rate_hz: u32, is_video: bool) {
        let clock_rate_hz = clock_rate_hz.max(1);
        self.tracks.push(TrackTime { clock_rate_hz, is_video, anchor: None, report: None, is_synchronised: false });
    }

    /// A track has told its times.
    pub(crate) fn on_report(&mut self, place: usize, report: Report) {
        if let Some(track) = self.tracks.get_mut(place) {
            track.report = Some(report);
        }
    }

    /// Whether all tracks have told their times.
    pub(crate) fn are_told(&self) -> bool {
        self.tracks.iter().all(|track| track.report.is_some())
    }

    /// The time of the stream, in ticks of the track's clock, for a time of RTP that was unrolled; `arrived` is when its first packet came,
    /// by any clock.
    pub(crate) fn place(&mut self, place: usize, timestamp: i64, arrived: Duration) -> i64 {
        self.synchronise(place, timestamp, arrived);
        let Some(track) = self.tracks.get(place) else { return timestamp };
        let (from, to_ns) = track.anchor.unwrap_or((timestamp, 0));
        let rate = i128::from(track.clock_rate_hz);
        let at = (i128::from(to_ns) * rate + 500_000_000).div_euclid(1_000_000_000) + i128::from(timestamp - from);
        i64::try_from(at).unwrap_or(timestamp)
    }

    fn synchronise(&mut self, place: usize, timestamp: i64, arrived: Duration) {
        let arrived_ns = i64::try_from(arrived.as_nanos()).unwrap_or(i64::MAX);
        let origin = self.origin_ntp_ns;
        let Some(track) = self.tracks.get_mut(place) else { return };
        let by_report = track.report.map(|report| track.ntp_ns(report, timestamp));
        if track.anchor.is_none() {
            track.anchor = Some((timestamp, arrived_ns));
        }
        if track.is_synchronised {
            return;
        }
        let Some(ntp_ns) = by_report else { return };
        let here_ns = track.stream_ns(timestamp);
        track.is_synchronised = true;
        match origin {
            // The first one says what the others are measured by.
            None => self.origin_ntp_ns = Some(ntp_ns.saturating_sub(here_ns)),
            Some(origin) => {
                let there_ns = ntp_ns.saturating_sub(origin);
                let apart_ns = there_ns.saturating_sub(here_ns).saturating_abs();
                if (APART_MIN_NS..DISAGREE_MAX_NS).contains(&apart_ns) {
                    track.anchor = Some((timestamp, there_ns));
                }
            }
        }
    }

    /// A source was replaced by another: its times have nothing to do with those before.
    pub(crate) fn reset(&mut self, place: usize) {
        if let Some(track) = self.tracks.get_mut(place) {
            (track.anchor, track.report, track.is_synchronised) = (None, None, false);
        }
        if self.tracks.iter().all(|track| !track.is_synchronised) {
            self.origin_ntp_ns = None;
        }
    }

    /// Whether a track shows pictures.
    pub(crate) fn is_video(&self, place: usize) -> bool {
        self.tracks.get(place).is_some_and(|track| track.is_video)
    }
}

impl TrackTime {
    /// The sender's clock at a time of RTP.
    fn ntp_ns(&self, report: Report, timestamp: i64) -> i64 {
        // The difference modulo 2^32, as the nearest of the two that it can be.
        let ticks = (timestamp as u32).wrapping_sub(report.timestamp) as i32;
        report.ntp_ns.saturating_add(i64::from(ticks) * 1_000_000_000 / i64::from(self.clock_rate_hz))
    }

    /// The time of the stream at a time of RTP, by the present anchor.
    fn stream_ns(&self, timestamp: i64) -> i64 {
        let (from, to_ns) = self.anchor.unwrap_or((timestamp, 0));
        let ticks = i128::from(timestamp - from) * 1_000_000_000 / i128::from(self.clock_rate_hz);
        to_ns.saturating_add(i64::try_from(ticks).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn times() -> Times {
        let mut times = Times::default();
        times.add(90_000, true);
        times.add(48_000, false);
        times
    }

    fn report(ntp_ms: i64, timestamp: u32) -> Report {
        Report { ntp_ns: ntp_ms * 1_000_000, timestamp }
    }

    #[test]
    fn before_reports_what_comes_together_belongs_together() {
        let mut times = times();
        assert_eq!(times.place(0, 1_000_000, MS * 100), 9_000);
        assert_eq!(times.place(1, 7_000, MS * 200), 9_600);
        assert_eq!(times.place(1, 8_024, MS * 900), 10_624, "arrival counts once");
    }

    #[test]
    fn reports_say_it_better() {
        let mut times = times();
        times.on_report(0, report(50_000, 1_000_000));
        times.on_report(1, report(50_000, 7_000));
        assert!(times.are_told());
        assert_eq!(times.place(0, 1_000_000, MS * 100), 9_000);
        assert_eq!(times.place(1, 7_000 + 4_800, MS * 700), 9_600, "200 ms, whenever it came");
    }

    #[test]
    fn a_report_that_comes_late_moves_the_sound() {
        let mut times = times();
        times.place(0, 0, Duration::ZERO);
        assert_eq!(times.place(1, 0, MS * 300), 14_400);
        times.on_report(0, report(50_000, 90_000));
        times.on_report(1, report(50_000, 48_000));
        times.place(0, 90_000, MS * 1_000);
        assert_eq!(times.place(1, 48_000, MS * 1_300), 48_000);
        assert_eq!(times.place(1, 49_024, MS * 1_320), 49_024);
    }

    #[test]
    fn reports_that_lie_are_not_believed() {
        let mut times = times();
        times.on_report(0, report(50_000, 0));
        times.on_report(1, report(90_000, 0));
        times.place(0, 0, Duration::ZERO);
        assert_eq!(times.place(1, 0, MS * 20), 960);
    }

    #[test]
    fn a_report_is_read_and_nonsense_is_not() {
        let mut packet = vec![0x80, 200, 0, 6, 0, 0, 0, 1];
        packet.extend(((2_u64 << 32) | (1 << 31)).to_be_bytes());
        packet.extend([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        let expected = Some(Report { ntp_ns: 2_500_000_000, timestamp: 9 });
        assert_eq!(Report::parse(&packet), expected);
        let receiver = [&[0x80, 201, 0, 1, 0, 0, 0, 1][..], &packet].concat();
        assert_eq!(Report::parse(&receiver), expected, "behind another");
        for end in 0..packet.len() {
            assert_eq!(Report::parse(&packet[..end]), None, "{end}");
        }
        packet[8..16].fill(0);
        assert_eq!(Report::parse(&packet), None, "a sender without a clock");
    }
}
