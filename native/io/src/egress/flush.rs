//! When packets are written: with each picture, what sound waits along with it. Half the writes of one for each packet, and no picture is later.

use std::time::{Duration, Instant};

use super::EgressOptions;

/// How long sound waits for a picture that does not come, and for more sound where there are no pictures.
pub(crate) const SOUND_AGE_MAX: Duration = Duration::from_millis(60);

/// Pictures have ceased to come when none has for so long. While they come nobody looks for sound: such a look is a wake-up that mostly finds
/// nothing. When they cease the log wakes us for sound (`WakeSlot::for_pictures`).
const PICTURE_LATE: Duration = Duration::from_millis(250);

/// Pictures that merge wait for at most so many intervals more than they should: the source may stop.
const GRACE_INTERVALS: u32 = 2;

/// Merging begins when a pass takes more than this part of the time between two flushes ...
const BUSY_HIGH_PERCENT: u32 = 25;

/// ... and ends when it would take less than this with one picture fewer. Far apart, so that the two do not alternate.
const BUSY_LOW_PERCENT: u32 = 12;

/// Time between two pictures, as far as it is believed: a burst at the start and a pause are not a rate.
const INTERVAL_MIN: Duration = Duration::from_millis(4);
const INTERVAL_MAX: Duration = Duration::from_millis(200);

/// Decides when a pass is due. Told the time; does nothing by itself.
pub(crate) struct Flush {
    every_packet: bool,
    merge: Duration,
    merge_max: Duration,
    /// Packets wait since then.
    since: Option<Instant>,
    /// Pictures among them.
    pictures: u32,
    /// Pictures that leave together because of the load: 1, or more.
    window: u32,
    last_picture: Option<Instant>,
    /// Smoothed.
    interval: Duration,
    /// Smoothed time of a pass.
    pass: Duration,
}

/// When a pass is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Instant),
    /// Nothing waits.
    Never,
}

impl Flush {
    pub(crate) fn new(options: &EgressOptions) -> Self {
        let EgressOptions { every_packet, merge, merge_max, .. } = *options;
        let (interval, pass) = (Duration::from_millis(33), Duration::ZERO);
        Self { every_packet, merge, merge_max, since: None, pictures: 0, window: 1, last_picture: None, interval, pass }
    }

    /// Pictures that leave together.
    fn window(&self) -> u32 {
        // Rounded: a window that is no multiple of the interval would make each second flush come a picture late.
        let wanted = (self.merge + self.interval / 2).as_micros() / self.interval.as_micros().max(1);
        self.window.max(u32::try_from(wanted).unwrap_or(u32::MAX))
    }

    /// A packet has come.
    pub(crate) fn arrived(&mut self, now: Instant, is_picture: bool) {
        self.since.get_or_insert(now);
        if is_picture {
            self.pictures += 1;
            if let Some(last) = self.last_picture.replace(now) {
                let gap = now.duration_since(last).clamp(INTERVAL_MIN, INTERVAL_MAX);
                self.interval = (self.interval * 15 + gap) / 16;
            }
        }
    }

    /// Whether pictures come so often that sound which leaves with them is not too old.
    pub(crate) fn has_pictures(&self, now: Instant) -> bool {
        let is_recent = self.last_picture.is_some_and(|last| now.duration_since(last) < PICTURE_LATE);
        is_recent && self.interval <= SOUND_AGE_MAX
    }

    pub(crate) fn due(&self, now: Instant) -> Due {
        let Some(since) = self.since else { return Due::Never };
        if self.every_packet || self.pictures >= self.window() {
            return Due::Now;
        }
        let patience = match self.pictures {
            0 => SOUND_AGE_MAX,
            _ => self.interval.saturating_mul(self.window().saturating_add(GRACE_INTERVALS)),
        };
        if now >= since + patience { Due::Now } else { Due::At(since + patience) }
    }

    /// A pass over all viewers has ended that has taken `pass` of a core.
    pub(crate) fn flushed(&mut self, pass: Duration) {
        (self.since, self.pictures) = (None, 0);
        self.pass = (self.pass * 7 + pass) / 8;
        let busy = |window: u32, percent: u32| self.interval * window * percent / 100;
        if self.pass > busy(self.window, BUSY_HIGH_PERCENT) && self.interval * (self.window + 1) <= self.merge_max {
            self.window += 1;
        } else if self.window > 1 && self.pass < busy(self.window - 1, BUSY_LOW_PERCENT) {
            self.window -= 1;
        }
    }

    /// Smoothed time of a pass.
    pub(crate) fn pass(&self) -> Duration {
        self.pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn flush() -> Flush {
        Flush::new(&EgressOptions { merge_max: MS * 100, ..EgressOptions::default() })
    }

    #[test]
    fn sound_waits_for_the_next_picture() {
        let (mut flush, start) = (flush(), Instant::now());
        assert_eq!(flush.due(start), Due::Never);
        flush.arrived(start, false);
        assert_eq!(flush.due(start + MS * 20), Due::At(start + SOUND_AGE_MAX));
        flush.arrived(start + MS * 20, true);
        assert_eq!(flush.due(start + MS * 20), Due::Now);
        flush.flushed(MS);
        assert_eq!(flush.due(start + MS * 20), Due::Never);
    }

    #[test]
    fn sound_is_looked_for_once_pictures_have_ceased() {
        let (mut flush, start) = (flush(), Instant::now());
        assert!(!flush.has_pictures(start), "there were none yet");
        flush.arrived(start, true);
        assert!(flush.has_pictures(start + PICTURE_LATE - MS) && !flush.has_pictures(start + PICTURE_LATE));
        for second in 1..60 {
            flush.arrived(start + MS * 1000 * second, true);
        }
        assert!(!flush.has_pictures(start + MS * 59_001), "a picture a second is none to wait for");
    }

    #[test]
    fn sound_alone_leaves_at_an_age() {
        let (mut flush, start) = (flush(), Instant::now());
        flush.arrived(start, false);
        flush.arrived(start + MS * 21, false);
        assert_eq!(flush.due(start + SOUND_AGE_MAX), Due::Now);
    }

    /// Runs `seconds` of 30 pictures a second with passes of that length; pictures per pass at the end, and how often that has changed.
    fn run(flush: &mut Flush, start: Instant, seconds: u32, pass: Duration) -> (u32, u32) {
        let mut changes = 0;
        for picture in 0..seconds * 30 {
            let now = start + MS * 33 * picture;
            flush.arrived(now, true);
            if flush.due(now) == Due::Now {
                let before = flush.window;
                flush.flushed(pass);
                changes += u32::from(flush.window != before);
            }
        }
        (flush.window, changes)
    }

    #[test]
    fn merging_begins_under_load_is_bounded_and_ends_with_it() {
        let (mut flush, start) = (flush(), Instant::now());
        assert_eq!(run(&mut flush, start, 10, MS * 6), (1, 0), "a light pass merges nothing");
        assert_eq!(run(&mut flush, start + MS * 10_000, 10, MS * 10).0, 2);
        assert_eq!(run(&mut flush, start + MS * 20_000, 10, MS * 100).0, 3, "as many pictures as fit into 100 ms");
        assert_eq!(run(&mut flush, start + MS * 30_000, 10, MS * 2).0, 1);
    }

    #[test]
    fn a_load_at_the_threshold_does_not_make_it_alternate() {
        for pass in 1..60 {
            let (mut flush, start) = (flush(), Instant::now());
            let (_, changes) = run(&mut flush, start, 60, MS * pass);
            assert!(changes <= 2, "{changes} changes at {pass} ms");
        }
    }

    #[test]
    fn a_window_that_is_not_filled_leaves_anyhow() {
        let (mut flush, start) = (flush(), Instant::now());
        run(&mut flush, start, 10, MS * 100);
        let now = start + MS * 20_000;
        flush.arrived(now, true);
        let Due::At(at) = flush.due(now) else { panic!("it waits for others") };
        assert!(at - now < MS * 400 && flush.due(at) == Due::Now);
    }

    #[test]
    fn whoever_wants_it_gets_every_packet_at_once_or_some_pictures_together() {
        let start = Instant::now();
        let mut every = Flush::new(&EgressOptions { every_packet: true, ..EgressOptions::default() });
        every.arrived(start, false);
        assert_eq!(every.due(start), Due::Now);
        let mut merged = Flush::new(&EgressOptions { merge: MS * 100, ..EgressOptions::default() });
        let flushes = (0..300).filter(|picture| {
            let now = start + MS * 33 * *picture;
            merged.arrived(now, true);
            let is_due = merged.due(now) == Due::Now;
            if is_due {
                merged.flushed(MS);
            }
            is_due
        });
        assert_eq!(flushes.count(), 100, "three of 33 ms");
    }
}
