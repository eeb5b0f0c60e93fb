//! Many streams with a viewer each.

use std::time::Duration;

use super::stage::{Sample, Stage};
use crate::players::Players;
use crate::publishers::{Conduct, Publishers};
use crate::server::{Contestant, Starter};
use crate::stream::Shape;

pub const STREAMS: usize = 100;
/// From the first picture to the first viewer.
const SETTLE: Duration = Duration::from_millis(500);

/// A sample of all of them together, each with one viewer.
pub fn one_viewer_each(
    starter: &Starter,
    contestant: Contestant,
    shape: Shape,
    duration: Duration,
) -> Result<Sample, String> {
    let mut stage = open(starter, contestant, shape)?;
    for number in 0..STREAMS {
        stage.players.join(&contestant.source(&stage.server, &name(number))).map_err(|fault| fault.to_string())?;
        stage.players.run_for(Duration::from_millis(2));
    }
    stage.grow_to(STREAMS)?;
    stage.measure(duration)
}

/// A sample of all of them together, without any viewer.
pub fn no_viewer(
    starter: &Starter,
    contestant: Contestant,
    shape: Shape,
    duration: Duration,
) -> Result<Sample, String> {
    open(starter, contestant, shape)?.measure(duration)
}

fn open(starter: &Starter, contestant: Contestant, shape: Shape) -> Result<Stage, String> {
    let server = starter.start(contestant, shape)?;
    let names = (0..STREAMS).map(name).collect();
    let publishers = Publishers::start(server.rtmp, names, shape, Conduct::Publish)
        .map_err(|fault| format!("publishing: {fault}"))?;
    let players = Players::new().map_err(|error| error.to_string())?;
    let source = contestant.source(&server, &name(0));
    let is_strict = matches!(contestant, Contestant::Arcly(..));
    let mut stage = Stage { server, players, publishers: Some(publishers), source, is_strict };
    // So that each has a key frame to begin with.
    stage.players.run_for(SETTLE);
    Ok(stage)
}

fn name(number: usize) -> String {
    format!("live/load{number}")
}
