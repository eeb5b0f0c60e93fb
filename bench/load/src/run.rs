//! The measurements in their order: rounds in which all contestants take turns, so that what slows the machine for a while slows all.

use std::time::Duration;

use crate::options::Options;
use crate::results::Results;
use crate::scenario;
use crate::server::{Arcly, Contestant, Flush, Protocol, Starter};
use crate::stream::Shape;

/// What arcly is measured at when nothing is said.
pub const ARCLY_RTMP: Contestant = Contestant::Arcly(Protocol::Rtmp, Flush::Default);
pub const ARCLY_FLV: Contestant = Contestant::Arcly(Protocol::Flv, Flush::Default);
pub const ARCLY_PACKET: Contestant = Contestant::Arcly(Protocol::Rtmp, Flush::EveryPacket);
pub const ARCLY_MERGE: Contestant = Contestant::Arcly(Protocol::Rtmp, Flush::MergeMs(100));
pub const FLOOR_MERGE: Contestant = Contestant::FloorPerWindow(100);

pub const VIEWERS: [usize; 3] = [50, 200, 500];
pub const VIEWERS_ADAPTIVE: [usize; 5] = [10, 50, 200, 500, 1000];
pub const VIEWERS_MANY: usize = 2000;
pub const BITS_PER_S: u64 = 2_500_000;
pub const BITS_PER_S_MANY: u64 = 500_000;
/// Viewers that play while others join.
const VIEWERS_AT_JOINS: usize = 200;

pub fn run(options: &Options) -> Result<Results, String> {
    let starter = Starter { arcly: Arcly::find(options.arcly.clone()) };
    if starter.arcly.is_none() {
        eprintln!("{} cannot be run: its columns stay empty", options.arcly.display());
    }
    let mut bench = Bench { options, starter, results: Results::default() };
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        bench.round(round == 1);
    }
    bench.once();
    Ok(bench.results)
}

/// In which arcly's logs of frames and HLS windows fill: memory that is used for the first time costs a page fault each 4 KiB, memory that is used again
/// does not. They keep some 15 s.
const WARM_UP_STREAMS: Duration = Duration::from_secs(20);

/// The same for the logs of packets, which begin with the first viewer and keep some 7 s.
const WARM_UP_WATCHED: Duration = Duration::from_secs(9);

struct Bench<'a> {
    options: &'a Options,
    starter: Starter,
    results: Results,
}

impl Bench<'_> {
    fn round(&mut self, is_first: bool) {
        if self.options.wants("viewers") {
            for contestant in
                [Contestant::FloorPerMessage, Contestant::Nginx, ARCLY_RTMP, ARCLY_FLV, ARCLY_PACKET, ARCLY_MERGE]
            {
                self.viewers(contestant);
            }
            // Told, not judged: once will do.
            if is_first && !self.options.quick {
                self.viewers(Contestant::FloorPerPicture);
                self.viewers(FLOOR_MERGE);
            }
        }
        if self.options.wants("many") {
            for contestant in [Contestant::FloorPerMessage, Contestant::Nginx, ARCLY_RTMP] {
                self.climb(contestant, "many", BITS_PER_S_MANY, &[VIEWERS_MANY]);
            }
        }
    }

    /// What takes long to come to rest, or is not spoilt by others on the machine.
    fn once(&mut self) {
        if self.options.wants("streams") {
            // In turns: of one reading each, whoever met a busy machine would lose.
            for _ in 0..self.options.rounds {
                for contestant in [Contestant::Nginx, Contestant::ArclyAlone, ARCLY_RTMP] {
                    self.streams(contestant);
                }
            }
        }
        if self.options.wants("idle") {
            for contestant in [Contestant::Nginx, ARCLY_RTMP] {
                self.say("1000 silent streams", contestant);
                let figure =
                    scenario::idle(&self.starter, contestant, self.options.duration.max(Duration::from_secs(3)));
                self.results.add_figure(contestant, "idle", figure);
            }
        }
        let contestants = [Contestant::Nginx, ARCLY_RTMP, ARCLY_FLV];
        if self.options.wants("memory") {
            eprintln!("  memory of 1000 viewers");
            for (contestant, figure) in contestants.iter().zip(scenario::rss_per_viewer(&self.starter, &contestants)) {
                self.results.add_figure(*contestant, "rss", figure);
            }
        }
        if self.options.wants("stalled") {
            for contestant in contestants {
                self.say("a viewer that does not read", contestant);
                let figure = scenario::stalled_viewer(&self.starter, contestant);
                self.results.add_figure(contestant, "stalled", figure);
            }
        }
    }

    fn viewers(&mut self, contestant: Contestant) {
        let steps: &[usize] = if contestant == ARCLY_RTMP { &VIEWERS_ADAPTIVE } else { &VIEWERS };
        self.climb(contestant, "viewers", BITS_PER_S, steps);
    }

    fn climb(&mut self, contestant: Contestant, group: &'static str, bits_per_s: u64, steps: &[usize]) {
        if self.results.is_absent(contestant, group) {
            return;
        }
        self.say(&format!("{steps:?} viewers of {} Mbit/s", bits_per_s as f64 / 1e6), contestant);
        let warm_up = self.warm_up(contestant, WARM_UP_STREAMS);
        let ladder = scenario::Ladder { steps, duration: self.options.duration, warm_up };
        let results = &mut self.results;
        let done =
            scenario::climb(&self.starter, contestant, Shape::of(bits_per_s), &ladder, |viewers, sample, stage| {
                tell(viewers, &sample);
                results.add_sample(contestant, group, viewers, sample);
                if viewers == VIEWERS_AT_JOINS && [Contestant::Nginx, ARCLY_RTMP, ARCLY_FLV].contains(&contestant) {
                    results.add_figures(contestant, "first frame", scenario::first_frames(stage));
                }
            });
        if let Err(reason) = done {
            self.results.set_absent(contestant, group, &reason);
        }
    }

    fn streams(&mut self, contestant: Contestant) {
        self.say("100 streams, first without viewers, then with one each", contestant);
        let warm_up = [WARM_UP_STREAMS, WARM_UP_WATCHED].map(|time| self.warm_up(contestant, time));
        let (shape, duration) = (Shape::of(BITS_PER_S), self.options.duration);
        match scenario::many_streams(&self.starter, contestant, shape, warm_up, duration) {
            Ok((unwatched, watched)) => {
                self.take_streams(contestant, "ingest", 0, Ok(unwatched));
                self.take_streams(contestant, "streams", 1, watched);
            }
            Err(reason) => self.results.set_absent(contestant, "ingest", &reason),
        }
    }

    /// Only arcly keeps something of a stream that has to fill first.
    fn warm_up(&self, contestant: Contestant, time: Duration) -> Duration {
        if contestant.is_ours() && !self.options.quick { time } else { Duration::from_secs(1) }
    }

    fn take_streams(
        &mut self,
        contestant: Contestant,
        group: &'static str,
        viewers: usize,
        sample: Result<scenario::Sample, String>,
    ) {
        match sample {
            Ok(sample) => {
                tell(viewers * scenario::STREAMS, &sample);
                self.results.add_sample(contestant, group, viewers, sample);
            }
            Err(reason) => self.results.set_absent(contestant, group, &reason),
        }
    }

    fn say(&self, what: &str, contestant: Contestant) {
        eprintln!("  {}: {what}", contestant.name());
    }
}

fn tell(viewers: usize, sample: &scenario::Sample) {
    let [p50, p99] = [0.5, 0.99].map(|at| sample.latency_ms(at).unwrap_or(f64::NAN));
    let cost = match viewers {
        0 => format!("{:.3} of a core", sample.server_cpu_s / sample.seconds),
        _ => format!(
            "{:.3} s/Gbit, with players {:.3}; {:.0} Mbit/s; latency {p50:.1} / {p99:.1} ms; lost {}, other faults {}",
            sample.server_s_per_gbit(),
            sample.together_s_per_gbit(),
            sample.gbit * 1000.0 / sample.seconds,
            sample.tally.lost,
            sample.tally.faults() - sample.tally.lost,
        ),
    };
    eprintln!("    {viewers:>5}: {cost}; others took {:.1} cores", sample.others_cores);
}
