//! What a stream carries by the second, measured from its counters.

use std::{collections::VecDeque, time::Duration};

use arcly_bus::Counters;

/// Measured rates of a stream. They fall to zero a few seconds after its last frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Qos {
    /// Payload bits per second, all tracks.
    pub bits_per_s: f64,
    /// Those of them that are video.
    pub video_bits_per_s: f64,
    /// Video frames per second.
    pub frames_per_s: f64,
}

/// Samples kept: long enough to smooth key frames, short enough to show a stop.
const SAMPLES: usize = 5;

#[derive(Default)]
pub(crate) struct Meter {
    samples: VecDeque<(Duration, Counters)>,
    /// When the counters were last seen to have changed.
    changed_at: Option<Duration>,
    pub(crate) qos: Qos,
}

impl Meter {
    /// Takes a sample; `now` is time since any fixed origin. Returns how long the counters have stood still.
    pub(crate) fn sample(&mut self, now: Duration, counters: Counters) -> Duration {
        let frames = |counters: &Counters| counters.video_frames + counters.other_frames;
        if self.samples.back().is_none_or(|(_, last)| frames(last) != frames(&counters)) {
            self.changed_at = Some(now);
        }
        self.keep(now, counters);
        now.saturating_sub(self.changed_at.unwrap_or(now))
    }

    /// Counts standing still from `now` on.
    pub(crate) fn touch(&mut self, now: Duration) {
        self.changed_at = Some(now);
    }

    fn keep(&mut self, now: Duration, counters: Counters) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, counters));
        let Some(&(then, old)) = self.samples.front() else { return };
        let elapsed_s = now.saturating_sub(then).as_secs_f64();
        if elapsed_s > 0.0 {
            let per_s = |new: u64, old: u64| (new - old) as f64 / elapsed_s;
            self.qos = Qos {
                bits_per_s: per_s(counters.bytes, old.bytes) * 8.0,
                video_bits_per_s: per_s(counters.video_bytes, old.video_bytes) * 8.0,
                frames_per_s: per_s(counters.video_frames, old.video_frames),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_measured_and_decay() {
        let mut meter = Meter::default();
        let mut counters = Counters::default();
        for s in 0..10 {
            assert_eq!(meter.sample(Duration::from_secs(s), counters), Duration::ZERO);
            counters.bytes += 125_000;
            counters.video_bytes += 100_000;
            counters.video_frames += 25;
        }
        assert_eq!(meter.qos, Qos { bits_per_s: 1e6, video_bits_per_s: 8e5, frames_per_s: 25.0 });
        let still: Vec<u64> = (10..16).map(|s| meter.sample(Duration::from_secs(s), counters).as_secs()).collect();
        assert_eq!(still, [0, 1, 2, 3, 4, 5]);
        assert_eq!(meter.qos, Qos::default());
    }
}
