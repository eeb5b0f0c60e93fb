//! A server with a stream and viewers.

use std::time::{Duration, Instant};

use crate::clock::{self, quantile, thread_cpu_ns};
use crate::inspect::Tally;
use crate::players::{Players, Source};
use crate::publishers::{Conduct, Publishers};
use crate::server::{Contestant, Server, Starter};
use crate::stream::Shape;

pub struct Stage {
    pub server: Server,
    pub players: Players,
    pub publishers: Option<Publishers>,
    pub source: Source,
    /// Whether a viewer whose pictures stop ends the measurement. Of others one in ten may be told and no more: what
    /// a server costs that does not deliver says nothing.
    pub is_strict: bool,
}

/// One stretch of time in which everybody played.
#[derive(Clone, Debug)]
pub struct Sample {
    pub server_cpu_s: f64,
    /// Of players and publishers.
    pub generator_cpu_s: f64,
    pub seconds: f64,
    /// Cores that others on this machine kept busy meanwhile: what they delay is no fault of the server.
    pub others_cores: f64,
    /// Of media that reached viewers.
    pub gbit: f64,
    pub tally: Tally,
}

/// Until a stream that was just published can be played.
const PLAYABLE_DEADLINE: Duration = Duration::from_secs(5);
/// After the last viewer has come.
const SETTLE: Duration = Duration::from_millis(700);
const NAME: &str = "live/load";
/// A publisher that is later than this measures the machine, not the server.
const LATE: Duration = Duration::from_millis(100);

impl Stage {
    /// The server runs, the stream is published, and a first viewer has played it and gone.
    pub fn open(starter: &Starter, contestant: Contestant, shape: Shape) -> Result<Self, String> {
        let server = starter.start(contestant, shape)?;
        let publishers = contestant
            .wants_publisher()
            .then(|| Publishers::start(server.rtmp, vec![NAME.into()], shape, Conduct::Publish));
        let publishers = publishers.transpose().map_err(|fault| format!("publishing: {fault}"))?;
        let players = Players::new().map_err(|error| error.to_string())?;
        let source = contestant.source(&server, NAME);
        let is_strict = contestant.is_ours();
        let mut stage = Self { server, players, publishers, source, is_strict };
        stage.wait_until_playable()?;
        Ok(stage)
    }

    /// Servers may take a moment from the publish to the first picture: they are asked again.
    fn wait_until_playable(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PLAYABLE_DEADLINE;
        loop {
            let viewer = self.players.join(&self.source).map_err(|fault| fault.to_string())?;
            self.players.run_until(deadline, |players| players.has_key_frame(viewer) || !players.faults.is_empty());
            self.players.leave(viewer);
            let faults = std::mem::take(&mut self.players.faults);
            match faults.first() {
                None if Instant::now() < deadline => return Ok(()),
                None => return Err("no key frame comes".to_owned()),
                Some(fault) if Instant::now() > deadline - PLAYABLE_DEADLINE / 2 => {
                    return Err(format!("playing: {fault}"));
                }
                Some(_) => self.players.run_for(Duration::from_millis(200)),
            }
        }
    }

    /// More viewers come, until there are so many and all have pictures.
    pub fn grow_to(&mut self, viewers: usize) -> Result<(), String> {
        self.players.grow_to(viewers, &self.source).map_err(|fault| format!("a viewer was lost: {fault}"))?;
        let deadline = Instant::now() + PLAYABLE_DEADLINE;
        let publishers = self.publishers.as_ref();
        self.players
            .run_until(deadline, |players| players.playing(late(publishers)) == viewers || !players.faults.is_empty());
        self.players.run_for(SETTLE);
        self.check(viewers)
    }

    /// Everybody plays for so long.
    pub fn measure(&mut self, duration: Duration) -> Result<Sample, String> {
        let viewers = self.players.count();
        self.players.tally = Tally::default();
        if let Some(publishers) = &self.publishers {
            publishers.forget();
        }
        let (begin, before, machine_before_s) = (Instant::now(), self.cpu_s(), clock::machine_cpu_s());
        self.players.run_for(duration);
        let (seconds, after, machine_s) =
            (begin.elapsed().as_secs_f64(), self.cpu_s(), clock::machine_cpu_s() - machine_before_s);
        self.check(viewers)?;
        let tally = std::mem::take(&mut self.players.tally);
        let gbit = tally.media_bytes as f64 * 8.0 / 1e9;
        let (server_cpu_s, generator_cpu_s) = (after.0 - before.0, after.1 - before.1);
        let others_cores = ((machine_s - server_cpu_s - generator_cpu_s) / seconds).max(0.0);
        Ok(Sample { server_cpu_s, generator_cpu_s, seconds, others_cores, gbit, tally })
    }

    /// Of the server, and of players and publishers.
    fn cpu_s(&self) -> (f64, f64) {
        let generator_ns = thread_cpu_ns() + self.publishers.as_ref().map_or(0, Publishers::cpu_ns);
        (self.server.cpu_ns() as f64 / 1e9, generator_ns as f64 / 1e9)
    }

    fn check(&self, viewers: usize) -> Result<(), String> {
        let late = late(self.publishers.as_ref());
        if let Some(publishers) = &self.publishers {
            self.check_publishers(publishers)?;
        }
        match (self.players.faults.first(), self.players.playing(late)) {
            (Some(fault), _) => Err(format!("a viewer was lost: {fault}")),
            (None, playing) if playing < viewers && (self.is_strict || playing * 10 < viewers * 9) => {
                Err(self.who_plays(playing, viewers, late))
            }
            (None, playing) => {
                if playing < viewers {
                    eprintln!("    {}", self.who_plays(playing, viewers, late));
                }
                Ok(())
            }
        }
    }

    fn check_publishers(&self, publishers: &Publishers) -> Result<(), String> {
        if publishers.broken() > 0 {
            return Err(format!("the server disconnected a publisher: {}", self.server.log()));
        }
        let (late, kept) = (publishers.worst_late(), publishers.kept_waiting());
        if late > LATE {
            let why =
                if kept == 0 { "this machine is busy".into() } else { format!("the server had no room {kept} times") };
            eprintln!("    the publisher was {} ms late: {why}", late.as_millis());
        }
        publishers.forget();
        Ok(())
    }

    fn who_plays(&self, playing: usize, viewers: usize, late: Duration) -> String {
        let (unseen, longest) = self.players.waits();
        format!(
            "{playing} of {viewers} viewers play: {unseen} have seen no picture, the longest wait for one is {} ms, publishers were {} ms late",
            longest.as_millis(),
            late.as_millis()
        )
    }
}

/// By how much pictures may be late without a fault of the server: their publishers were, and nothing but a busy machine kept them.
fn late(publishers: Option<&Publishers>) -> Duration {
    publishers.filter(|publishers| publishers.kept_waiting() == 0).map_or(Duration::ZERO, Publishers::worst_late)
}

impl Sample {
    pub fn server_s_per_gbit(&self) -> f64 {
        self.server_cpu_s / self.gbit
    }

    pub fn together_s_per_gbit(&self) -> f64 {
        (self.server_cpu_s + self.generator_cpu_s) / self.gbit
    }

    /// Milliseconds that a share `at` of the pictures stayed below.
    pub fn latency_ms(&self, at: f64) -> Option<f64> {
        quantile(self.tally.latency_us.iter().map(|&us| f64::from(us) / 1000.0), at)
    }
}
