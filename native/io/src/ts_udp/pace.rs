//! When each datagram leaves: a key picture of 200 KB at once is a burst of 150 datagrams, which small buffers on the way do not take.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

/// A picture is spread over this part of the time since the one before, so that it is out when the next comes.
const SPREAD_PERCENT: u32 = 75;
/// Pictures that are there at once, as those since the newest key picture are at the beginning, leave so many times as quick as they are
/// shown.
const CATCH_UP: u32 = 4;
const SPREAD_MAX: Duration = Duration::from_millis(40);
/// At a constant rate: what waits in front of the wire, so that it does not run dry between two pictures.
const CUSHION: Duration = Duration::from_millis(150);
/// By how much the rate is bent when the clock of the source and ours differ: more than any two clocks do, less than anybody minds.
const BEND_PPM: i64 = 500;
/// Where more than this waits, no more is taken.
const ROOM: Duration = CUSHION.saturating_mul(3);

/// Cuts packets into datagrams and says when each leaves.
#[derive(Debug)]
pub(super) struct Pacer {
    group_bytes: usize,
    rate_bps: Option<u32>,
    rest: BytesMut,
    waiting: VecDeque<(Instant, Bytes)>,
    /// When the datagram behind the last one would leave.
    next: Option<Instant>,
    /// When the last picture came, and its time in the stream.
    last_picture: Option<(Instant, Duration)>,
}

impl Pacer {
    /// `rate_bps`: bits a second of transport packets, where that is constant.
    pub(super) fn new(group_bytes: usize, rate_bps: Option<u32>) -> Self {
        Self { group_bytes, rate_bps, rest: BytesMut::new(), waiting: VecDeque::new(), next: None, last_picture: None }
    }

    /// Whether what comes next would leave soon. If not, it stays where it is until the next [`deadline`](Self::deadline).
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let room = if self.rate_bps.is_some() { ROOM } else { SPREAD_MAX };
        self.waiting.back().is_none_or(|(at, _)| at.saturating_duration_since(now) <= room)
    }

    /// Takes the packets of a frame, and the time of a picture in its stream.
    pub(super) fn push(&mut self, now: Instant, packets: &[u8], picture: Option<Duration>) {
        self.rest.extend_from_slice(packets);
        match self.rate_bps {
            Some(rate_bps) => self.schedule_at_rate(now, rate_bps),
            None => self.schedule_spread(now, picture),
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
        self.waiting.front().is_some_and(|(at, _)| *at <= now).then(|| self.waiting.pop_front()).flatten()
    }

    fn schedule_spread(&mut self, now: Instant, picture: Option<Duration>) {
        // Sound waits for the packets of the next frame unless it fills a datagram: a picture is never far.
        let has_pictures = self.last_picture.is_some();
        let mut groups = Vec::with_capacity(self.rest.len() / self.group_bytes + 1);
        while self.rest.len() >= self.group_bytes {
            groups.push(self.rest.split_to(self.group_bytes).freeze());
        }
        if !self.rest.is_empty() && (picture.is_some() || !has_pictures) {
            groups.push(self.rest.split().freeze());
        }
        let spread = picture.map_or(Duration::ZERO, |time| self.spread(now, time));
        let start = self.waiting.back().map_or(now, |(at, _)| now.max(*at));
        let step = spread / u32::try_from(groups.len().max(1)).unwrap_or(u32::MAX);
        let times = (0..).map(|index| start + step * index);
        self.waiting.extend(times.zip(groups));
    }

    /// How long a picture takes that is at `time` in the stream.
    fn spread(&mut self, now: Instant, time: Duration) -> Duration {
        let Some((came, before)) = self.last_picture.replace((now, time)) else { return Duration::ZERO };
        let since = now.saturating_duration_since(came).max(time.saturating_sub(before) / CATCH_UP);
        since.min(SPREAD_MAX) * SPREAD_PERCENT / 100
    }

    fn schedule_at_rate(&mut self, now: Instant, rate_bps: u32) {
        let cushion = |next: Instant| next.saturating_duration_since(now);
        let mut next = match self.next {
            Some(next) if next > now => next,
            // The first, or the source had stopped.
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
        pacer.push(start, &[0; 1316], Some(Duration::ZERO));
        pacer.push(start + 40 * MS, &[0; 188 * 701], Some(40 * MS));
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
        pacer.push(start, &[0; 376], None);
        assert_eq!(all(&mut pacer), [(start, 2)]);
        pacer.push(start, &[0; 188], Some(Duration::ZERO));
        pacer.push(start + MS, &[0; 376], None);
        assert_eq!(all(&mut pacer), [(start, 1)]);
        pacer.push(start + 2 * MS, &[0; 188], Some(Duration::ZERO));
        assert_eq!(all(&mut pacer), [(start + 2 * MS, 3)]);
    }

    #[test]
    fn a_constant_rate_is_even_and_only_whole_datagrams_leave() {
        // 1316 bytes in 1 ms.
        let (mut pacer, start) = (Pacer::new(1316, Some(10_528_000)), Instant::now());
        for picture in 0..10 {
            pacer.push(start + 40 * MS * picture, &[0; 40 * 1316], Some(Duration::ZERO));
        }
        let out = all(&mut pacer);
        assert_eq!((out[0].0, out.len()), (start + CUSHION, 400));
        assert!(out.windows(2).all(|pair| pair[1].0 - pair[0].0 == MS));
        pacer.push(start + 400 * MS, &[0; 188], Some(Duration::ZERO));
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
                pacer.push(now, &[0; 40 * 1316], Some(Duration::ZERO));
                while pacer.due(now).is_some() {}
                now += Duration::from_micros(interval_us);
                let waits = pacer.waiting.len();
                assert!((20..500).contains(&waits), "{name}: {waits}");
            }
        }
    }

    /// Takes as much as there is room for, as a push does, until all pictures of 25 a second are out.
    fn all_at_once(pacer: &mut Pacer, start: Instant, pictures: u32, bytes: usize) -> Vec<(Instant, usize)> {
        let (mut now, mut taken, mut out) = (start, 0, Vec::new());
        while taken < pictures || pacer.deadline().is_some() {
            while taken < pictures && pacer.has_room(now) {
                pacer.push(now, &vec![0; bytes], Some(40 * MS * taken));
                taken += 1;
            }
            out.extend(std::iter::from_fn(|| pacer.due(now)).map(|(at, bytes)| (at, bytes.len() / 188)));
            now = pacer.deadline().unwrap_or(now);
        }
        out
    }

    /// All of it left at once, and what was more than 4 MiB was lost.
    #[test]
    fn what_is_there_at_the_beginning_is_no_burst() {
        let (mut pacer, start) = (Pacer::new(1316, None), Instant::now());
        let out = all_at_once(&mut pacer, start, 250, 128 * 188);
        assert_eq!(out.iter().map(|(_, packets)| packets).sum::<usize>(), 250 * 128);
        let took = out.last().unwrap().0 - start;
        assert!((1_500 * MS..2_500 * MS).contains(&took), "10 s of pictures in {took:?}");
        assert!(out.is_sorted_by_key(|(at, _)| *at));
        let most = out
            .iter()
            .map(|(at, _)| out.iter().filter(|(other, _)| (*at..*at + 10 * MS).contains(other)).count())
            .max();
        assert!(most.unwrap() < 60, "{most:?} datagrams in 10 ms");
    }

    /// The first second waited, and what was behind it was put in front.
    #[test]
    fn what_is_there_at_the_beginning_of_a_constant_rate_leaves_at_that_rate() {
        let (mut pacer, start) = (Pacer::new(1316, Some(10_528_000)), Instant::now());
        let out = all_at_once(&mut pacer, start, 100, 40 * 1316);
        assert_eq!(out.len(), 4_000);
        let gaps = out.windows(2).map(|pair| pair[1].0.checked_duration_since(pair[0].0).expect("in order"));
        assert!(gaps.into_iter().all(|gap| (999 * MS / 1_000..=1_001 * MS / 1_000).contains(&gap)));
    }

    #[test]
    fn a_source_that_stopped_begins_anew() {
        let (mut pacer, start) = (Pacer::new(1316, Some(10_528_000)), Instant::now());
        pacer.push(start, &[0; 1316], Some(Duration::ZERO));
        all(&mut pacer);
        pacer.push(start + 5_000 * MS, &[0; 1316], Some(Duration::ZERO));
        assert_eq!(all(&mut pacer), [(start + 5_000 * MS + CUSHION, 7)]);
    }
}
