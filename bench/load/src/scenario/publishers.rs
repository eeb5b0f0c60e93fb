//! Many streams with a viewer each.

use std::time::Duration;

use super::stage::{Sample, Stage};
use crate::players::Players;
use crate::publishers::{Conduct, Publishers};
use crate::server::{Contestant, Starter};
use crate::stream::Shape;

pub const STREAMS: usize = 100;

/// A sample of all of them together.
pub fn one_viewer_each(
    starter: &Starter,
    contestant: Contestant,
    shape: Shape,
    duration: Duration,
) -> Result<Sample, String> {
    let server = starter.start(contestant, shape)?;
    let names: Vec<_> = (0..STREAMS).map(|number| format!("live/load{number}")).collect();
    let publishers = Publishers::start(server.rtmp, names.clone(), shape, Conduct::Publish)
        .map_err(|fault| format!("publishing: {fault}"))?;
    let players = Players::new().map_err(|error| error.to_string())?;
    let source = contestant.source(&server, &names[0]);
    let is_strict = matches!(contestant, Contestant::Arcly(..));
    let mut stage = Stage { server, players, publishers: Some(publishers), source, is_strict };
    // So that each has a key frame to begin with.
    stage.players.run_for(Duration::from_millis(500));
    for name in &names {
        stage.players.join(&contestant.source(&stage.server, name)).map_err(|fault| fault.to_string())?;
        stage.players.run_for(Duration::from_millis(2));
    }
    stage.grow_to(STREAMS)?;
    stage.measure(duration)
}
