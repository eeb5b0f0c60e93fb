//! What a receiver reports of a source (RFC 3550 §6.4.1, Appendix A.3 and A.8).

use std::time::{Duration, Instant};

use super::{Header, counter::Sequences, rtcp::ReportBlock};

/// Counts of one source.
#[derive(Debug, Clone)]
pub struct Reception {
    clock_rate_hz: u32,
    sequences: Sequences,
    /// The first and the greatest number that came, unrolled.
    span: Option<(i64, i64)>,
    received: i64,
    /// Sixteen times the estimate, in ticks (§A.8).
    jitter_16: u64,
    /// Ticks between arrival and timestamp of the last packet, modulo 2³²; and that timestamp.
    transit: Option<(u32, u32)>,
    start: Option<Instant>,
    /// Expected and received at the last report.
    reported: (i64, i64),
    /// The middle 32 bits of the last sender report's NTP time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

impl Reception {
    /// Nothing has come yet.
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz,
            sequences: Sequences::default(),
            span: None,
            received: 0,
            jitter_16: 0,
            transit: None,
            start: None,
            reported: (0, 0),
            sender_report: None,
        }
    }

    /// Counts a packet that came at `now`.
    pub fn count(&mut self, now: Instant, header: &Header) {
        let sequence = self.sequences.unroll(header.sequence);
        let (first, last) = self.span.unwrap_or((sequence, sequence));
        self.span = Some((first.min(sequence), last.max(sequence)));
        self.received += 1;
        let start = *self.start.get_or_insert(now);
        self.estimate_jitter(now.saturating_duration_since(start), header.timestamp);
    }

    /// Appendix A.8. Packets of one picture have one timestamp, and say nothing (the second comes later by its place only).
    fn estimate_jitter(&mut self, since_start: Duration, timestamp: u32) {
        let arrival = since_start.as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000;
        let transit = (arrival as u32).wrapping_sub(timestamp);
        let Some((last_transit, last_timestamp)) = self.transit else {
            self.transit = Some((transit, timestamp));
            return;
        };
        if last_timestamp == timestamp {
            return;
        }
        self.transit = Some((transit, timestamp));
        let difference = u64::from((transit.wrapping_sub(last_transit) as i32).unsigned_abs());
        self.jitter_16 = (self.jitter_16 + difference).saturating_sub((self.jitter_16 + 8) >> 4);
    }

    /// Remembers a sender report with this NTP time, for the round trip that the sender computes of our report.
    pub fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// Jitter in ticks.
    pub fn jitter(&self) -> u32 {
        u32::try_from(self.jitter_16 >> 4).unwrap_or(u32::MAX)
    }

    /// Packets that should have come and did not; less than nothing when some came twice.
    pub fn lost(&self) -> i64 {
        self.expected() - self.received
    }

    /// Packets that came, duplicates included.
    pub fn received(&self) -> i64 {
        self.received
    }

    fn expected(&self) -> i64 {
        self.span.map_or(0, |(first, last)| last - first + 1)
    }

    /// The block of the next report about `ssrc`. What it says of losses since the last report is counted from here on.
    pub fn report(&mut self, now: Instant, ssrc: u32) -> ReportBlock {
        let (expected, received) = (self.expected(), self.received);
        let expected_since = expected - self.reported.0;
        let lost_since = expected_since - (received - self.reported.1);
        self.reported = (expected, received);
        let fraction = if expected_since > 0 { (lost_since.max(0) << 8) / expected_since } else { 0 };
        let (last_sender_report, since) =
            self.sender_report.map_or((0, Duration::ZERO), |(ntp, came)| (ntp, now.saturating_duration_since(came)));
        ReportBlock {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            // 24 bits with a sign.
            lost: self.lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.span.map_or(0, |(_, last)| last as u32),
            jitter: self.jitter(),
            last_sender_report,
            // In units of 1/65536 s.
            delay: u32::try_from(since.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header { sequence, timestamp, ..Header::default() }
    }

    #[test]
    fn losses_are_counted_over_the_wrap_and_since_the_last_report() {
        let (now, mut reception) = (Instant::now(), Reception::new(90_000));
        for sequence in [65_534, 65_535, 1, 2] {
            reception.count(now, &header(sequence, 0));
        }
        let report = reception.report(now, 7);
        assert_eq!((report.ssrc, report.lost, report.fraction_lost), (7, 1, 51));
        assert_eq!(report.highest_sequence, 65_538);
        assert_eq!((report.last_sender_report, report.delay), (0, 0));
        for sequence in [3, 3, 4] {
            reception.count(now, &header(sequence, 0));
        }
        let report = reception.report(now, 7);
        assert_eq!((report.lost, report.fraction_lost), (0, 0), "one came twice");
        assert_eq!(reception.report(now, 7).fraction_lost, 0, "nothing came");
    }

    /// Packets 10 ms apart that come 10 ms ± 5 ms apart: the estimate goes to the mean difference.
    #[test]
    fn jitter_goes_to_the_mean_difference() {
        let (start, mut reception) = (Instant::now(), Reception::new(90_000));
        for index in 0..1_000_u32 {
            let late = if index % 2 == 0 { 0 } else { 5 };
            let now = start + Duration::from_millis(u64::from(10 * index + late));
            reception.count(now, &header(index as u16, index.wrapping_mul(900).wrapping_sub(5_000)));
        }
        assert!((430..=450).contains(&reception.jitter()), "{}", reception.jitter());
    }

    #[test]
    fn a_report_says_when_the_senders_came() {
        let (now, mut reception) = (Instant::now(), Reception::new(8_000));
        reception.sender_report(now, 0x1234_5678_9abc_def0);
        let report = reception.report(now + Duration::from_millis(1_500), 1);
        assert_eq!((report.last_sender_report, report.delay), (0x5678_9abc, 98_304));
    }
}
