//! Many streams with a viewer each.

use std::time::Duration;

use super::stage::{Sample, Stage};
use crate::players::Players;
use crate::publishers::{Conduct, Publishers};
use crate::server::{Contestant, Starter};
use crate::stream::Shape;

pub const STREAMS: usize = 100;

/// A sample of all of them together while nobody watches, and one with a viewer each; how long they run before each.
pub fn many_streams(
    starter: &Starter,
    contestant: Contestant,
    shape: Shape,
    [warm_up, warm_up_watched]: [Duration; 2],
    duration: Duration,
) -> Result<(Sample, Result<Sample, String>), String> {
    let mut stage = open(starter, contestant, shape, warm_up)?;
    let unwatched = stage.measure(duration)?;
    Ok((unwatched, watch(&mut stage, contestant, warm_up_watched, duration)))
}

fn watch(stage: &mut Stage, contestant: Contestant, warm_up: Duration, duration: Duration) -> Result<Sample, String> {
    for number in 0..STREAMS {
        let source = contestant.source(&stage.server, &name(number));
        stage.players.join(&source).map_err(|fault| fault.to_string())?;
        stage.players.run_for(Duration::from_millis(2));
    }
    stage.grow_to(STREAMS)?;
    stage.players.run_for(warm_up);
    stage.measure(duration)
}

fn open(starter: &Starter, contestant: Contestant, shape: Shape, warm_up: Duration) -> Result<Stage, String> {
    let server = starter.start(contestant, shape)?;
    let names = (0..STREAMS).map(name).collect();
    let publishers = Publishers::start(server.rtmp, names, shape, Conduct::Publish)
        .map_err(|fault| format!("publishing: {fault}"))?;
    let players = Players::new().map_err(|error| error.to_string())?;
    let source = contestant.source(&server, &name(0));
    let is_strict = contestant.is_ours();
    let mut stage = Stage { server, players, publishers: Some(publishers), source, is_strict };
    stage.players.run_for(warm_up);
    Ok(stage)
}

fn name(number: usize) -> String {
    format!("live/load{number}")
}
