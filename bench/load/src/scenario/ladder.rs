//! More and more viewers of one stream.

use std::time::{Duration, Instant};

use super::stage::{Sample, Stage};
use crate::inspect::Tally;
use crate::server::{Contestant, Starter};
use crate::stream::Shape;

/// Joins for the time to the first frame: so many, so far apart, while others play.
const JOINS: usize = 200;
const JOIN_EVERY: Duration = Duration::from_millis(5);
/// A key frame comes every two seconds.
const KEY_FRAME_DEADLINE: Duration = Duration::from_millis(2500);

/// How many viewers come, and for how long they play.
pub struct Ladder<'a> {
    pub steps: &'a [usize],
    /// Of one step.
    pub duration: Duration,
    /// With one viewer, before the first step.
    pub warm_up: Duration,
}

/// A sample for each step of the ladder; ends with the first that fails.
pub fn climb(
    starter: &Starter,
    contestant: Contestant,
    shape: Shape,
    ladder: &Ladder<'_>,
    mut take: impl FnMut(usize, Sample, &mut Stage),
) -> Result<(), String> {
    let mut stage = Stage::open(starter, contestant, shape)?;
    stage.grow_to(1)?;
    stage.players.run_for(ladder.warm_up);
    for &viewers in ladder.steps {
        stage.grow_to(viewers)?;
        let sample = stage.measure(ladder.duration)?;
        take(viewers, sample, &mut stage);
    }
    Ok(())
}

/// Milliseconds from asking to play to the first key frame, of viewers who come one after the other and go as soon as they have it.
pub fn first_frames(stage: &mut Stage) -> Vec<f64> {
    stage.players.tally = Tally::default();
    let mut waiting = Vec::with_capacity(JOINS);
    for _ in 0..JOINS {
        let next = Instant::now() + JOIN_EVERY;
        waiting.extend(stage.players.join(&stage.source));
        stage.players.run_until(next, |_| false);
        dismiss(stage, &mut waiting);
    }
    let deadline = Instant::now() + KEY_FRAME_DEADLINE;
    while !waiting.is_empty() && Instant::now() < deadline {
        stage.players.run_for(JOIN_EVERY);
        dismiss(stage, &mut waiting);
    }
    waiting.iter().for_each(|&viewer| stage.players.leave(viewer));
    stage.players.tally.first_frame_us.iter().map(|&us| f64::from(us) / 1000.0).collect()
}

fn dismiss(stage: &mut Stage, waiting: &mut Vec<usize>) {
    waiting.retain(|&viewer| {
        let is_done = stage.players.has_key_frame(viewer);
        if is_done {
            stage.players.leave(viewer);
        }
        !is_done
    });
}
