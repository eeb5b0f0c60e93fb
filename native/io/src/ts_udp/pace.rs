//! When each datagram leaves: a key picture of 200 KB at once is a burst of 150 datagrams, which small buffers on the way do not take.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

/// A picture is spread over this part of the time since the one before, so that it is out when the next comes.
const SPREAD_PERCENT: u32 = 75;
const SPREAD_MAX: Duration = Duration::from_millis(40);
/// At a constant rate: what waits in front of the wire, so that it does not run dry between two pictures.
const CUSHION: Duration = Duration::from_millis(150);
/// By how much the rate is bent when the clock of the source and ours differ: more than any two clocks do, less than anybody minds.
const BEND_PPM: i64 = 500;
/// Datagrams that wait at most: over it, the oldest leave at once.
const WAITING_TIME_MAX: Duration = Duration::from_secs(1);

/// Cuts packets into datagrams and says when each leaves.
#[derive(Debug)]
pub(super) struct Pacer {
    group_bytes: usize,
    rate_bps: Option<u32>,
    rest: BytesMut,
    waiting: VecDeque<(Instant, Bytes)>,
    /// When the datagram behind the last one would leave.
    next: Option<Instant>,
    last_picture: Option<Instant>,
}

impl Pacer {
    /// `rate_bps`: bits a second of transport packets, where that is constant.
    pub(super) fn new(group_bytes: usize, rate_bps: Option<u32>) -> Self {
        Self { group_bytes, rate_bps, rest: BytesMut::new(), waiting: VecDeque::new(), next: None, last_picture: None }
    }

    /// Takes the packets of a frame.
    pub(super) fn push(&mut self, now: Instant, packets: &[u8], is_picture: bool) {
        self.rest.extend_from_slice(packets);
        match self.rate_bps {
            Some(rate_bps) => self.schedule_at_rate(now, rate_bps),
            None => self.schedule_spread(now, is_picture),
        }
    }

    /// Cuts off what is left of the last datagram too.
    pub(super) fn finish(&mut self, now: Instant) {
        if !self.rest.is_empty() {
            let at = self.next.map_or(now, |next| next.max(now));
            self.waiting.push_back((at, self.rest.split().freeze()));
        }
    }

    /// When the next datagram leaves.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, _)| *at)
    }

    /// The next datagram whose time has come, and that time.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Instant, Bytes)> {
        let is_due = |at: &Instant| *at <= now || at.saturating_duration_since(now) > WAITING_TIME_MAX;
        self.waiting.front().is_some_and(|(at, _)| is_due(at)).then(|| self.waiting.pop_front()).flatten()
    }

    fn schedule_spread(&mut self, now: Instant, is_picture: bool) {
        // Sound waits for the packets of the next frame unless it fills a datagram: a picture is never far.
        let has_pictures = self.last_picture.is_some();
        let mut groups = Vec::with_capacity(self.rest.len() / self.group_bytes + 1);
        while self.rest.len() >= self.group_bytes {
            groups.push(self.rest.split_to(self.group_bytes).freeze());
        }
        if !self.rest.is_empty() && (is_picture || !has_pictures) {
            groups.push(self.rest.split().freeze());
        }
        let since = self.last_picture.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if is_picture {
            self.last_picture = Some(now);
        }
        let spread = if is_picture { since.min(SPREAD_MAX) * SPREAD_PERCENT / 100 } else { Duration::ZERO };
        let start = self.waiting.back().map_or(now, |(at, _)| now.max(*at));
        let step = spread / u32::try_from(groups.len().max(1)).unwrap_or(u32::MAX);
        let times = (0..).map(|index| start + step * index);
        self.waiting.extend(times.zip(groups));
    }

    fn schedule_at_rate(&mut self, now: Instant, rate_bps: u32) {
        let cushion = |next: Instant| next.saturating_duration_since(now);
        let mut next = match self.next {
            Some(next) if next > now && cushion(next) < WAITING_TIME_MAX => next,
            // The first, or the source had stopped, or it is far ahead of its own clock.
            _ => now + CUSHION,
        };
        let step = self.step(rate_bps, cushion(next));
        while self.rest.len() >= self.group_bytes {
            self.waiting.push_back((next, self.rest.split_to(self.group_bytes).freeze()));
            next += step;
        }
        self.next = Some(next);
    }

    /// The time of one datagram on the wire.
    fn step(&self, rate_bps: u32, cushion: Duration) -> Duration {
        let nanos = self.group_bytes as u64 * 8 * 1_000_000_000 / u64::from(rate_bps);
        let bend_ppm = match cushion {
            cushion if cushion > CUSHION * 2 => -BEND_PPM,
            cushion if cushion < CUSHION / 2 => BEND_PPM,
            _ => 0,
        };
        Duration::from_nanos(nanos.saturating_add_signed(nanos as i64 * bend_ppm / 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn all(pacer: &mut Pacer) -> Vec<(Instant, usize)> {
        let mut out = Vec::new();
        while let Some(at) = pacer.deadline() {
            out.extend(pacer.due(at).map(|(at, bytes)| (at, bytes.len() / 188)));
        }
        out
    }

    #[test]
    fn a_large_picture_is_spread_and_is_out_before_the_next() {
        let (mut pacer, start) = (Pacer::new(1316, None), Instant::now());
        pacer.push(start, &[0; 1316], true);
        pacer.push(start + 40 * MS, &[0; 188 * 701], true);
        let out = all(&mut pacer);
        assert_eq!(out.len(), 102);
        assert_eq!(out.iter().map(|(_, packets)| packets).sum::<usize>(), 708);
        assert_eq!(out[101].1, 1, "the last datagram of a picture is short");
        assert_eq!(out[1].0, start + 40 * MS);
        assert!((start + 68 * MS..start + 70 * MS).contains(&out[101].0));
        assert!(out.is_sorted());
    }

    #[test]
    fn sound_waits_for_a_picture_where_there_are_some_and_leaves_at_once_where_not() {
        let (mut pacer, start) = (Pacer::new(1316, None), Instant::now());
        pacer.push(start, &[0; 376], false);
        assert_eq!(all(&mut pacer), [(start, 2)]);
        pacer.push(start, &[0; 188], true);
        pacer.push(start + MS, &[0; 376], false);
        assert_eq!(all(&mut pacer), [(start, 1)]);
        pacer.push(start + 2 * MS, &[0; 188], true);
        assert_eq!(all(&mut pacer), [(start + 2 * MS, 3)]);
    }

    #[test]
    fn a_constant_rate_is_even_and_only_whole_datagrams_leave() {
        // 1316 bytes in 1 ms.
        let (mut pacer, start) = (Pacer::new(1316, Some(10_528_000)), Instant::now());
        for picture in 0..10 {
            pacer.push(start + 40 * MS * picture, &[0; 40 * 1316], true);
        }
        let out = all(&mut pacer);
        assert_eq!((out[0].0, out.len()), (start + CUSHION, 400));
        assert!(out.windows(2).all(|pair| pair[1].0 - pair[0].0 == MS));
        pacer.push(start + 400 * MS, &[0; 188], true);
        assert!(all(&mut pacer).is_empty());
        pacer.finish(start + 400 * MS);
        assert_eq!(all(&mut pacer).len(), 1);
    }

    #[test]
    fn a_source_whose_clock_is_fast_or_slow_is_followed() {
        for (interval_us, name) in [(39_992, "fast"), (40_008, "slow")] {
            let (mut pacer, start) = (Pacer::new(1316, Some(10_528_000)), Instant::now());
            let mut now = start;
            for _ in 0..100_000 {
                pacer.push(now, &[0; 40 * 1316], true);
                while pacer.due(now).is_some() {}
                now += Duration::from_micros(interval_us);
                let waits = pacer.waiting.len();
                assert!((20..500).contains(&waits), "{name}: {waits}");
            }
        }
    }

    #[test]
    fn a_source_that_stopped_begins_anew() {
        let (mut pacer, start) = (Pacer::new(1316, Some(10_528_000)), Instant::now());
        pacer.push(start, &[0; 1316], true);
        all(&mut pacer);
        pacer.push(start + 5_000 * MS, &[0; 1316], true);
        assert_eq!(all(&mut pacer), [(start + 5_000 * MS + CUSHION, 7)]);
    }
}
