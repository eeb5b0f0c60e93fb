//! The memory of a viewer.

use std::time::Duration;

use super::stage::Stage;
use crate::server::{Contestant, Starter};
use crate::stream::Shape;

/// Low, so that what a server keeps of the stream weighs little beside a thousand viewers.
const BITS_PER_S: u64 = 200_000;
/// In which what it keeps fills up: 1024 frames are 14 seconds, and an HLS window as much.
const WARM_UP: Duration = Duration::from_secs(16);
/// In which the one viewer of each is served meanwhile.
const TURNS: u32 = 50;
const VIEWERS: usize = 1000;

/// KiB of resident memory for each of 1000 viewers, of all contestants at the same time: only one of them may be measured in CPU time,
/// but memory does not mind.
pub fn rss_per_viewer(starter: &Starter, contestants: &[Contestant]) -> Vec<Result<f64, String>> {
    let shape = Shape::of(BITS_PER_S);
    let mut stages: Vec<_> = contestants.iter().map(|&contestant| Stage::open(starter, contestant, shape)).collect();
    for stage in &mut stages {
        if let Ok(open) = stage
            && let Err(reason) = open.grow_to(1)
        {
            *stage = Err(reason);
        }
    }
    let turn = WARM_UP / TURNS / contestants.len() as u32;
    for _ in 0..TURNS {
        stages.iter_mut().flatten().for_each(|stage| stage.players.run_for(turn));
    }
    stages.into_iter().map(|stage| stage.and_then(grow)).collect()
}

fn grow(mut stage: Stage) -> Result<f64, String> {
    let before = stage.server.rss_bytes();
    stage.grow_to(VIEWERS)?;
    stage.measure(Duration::from_secs(1))?;
    let after = stage.server.rss_bytes();
    Ok((after as f64 - before as f64) / (VIEWERS - 1) as f64 / 1024.0)
}
