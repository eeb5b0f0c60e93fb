//! Streams on which nothing happens.

use std::time::{Duration, Instant};

use crate::publishers::{Conduct, Publishers};
use crate::server::{Contestant, Starter};
use crate::stream::Shape;

pub const STREAMS: usize = 1000;
/// Until what publishing started has come to rest.
const SETTLE: Duration = Duration::from_secs(2);

/// Per cent of a core that the server takes for 1000 streams that are announced and silent.
pub fn idle(starter: &Starter, contestant: Contestant, duration: Duration) -> Result<f64, String> {
    let shape = Shape::of(500_000);
    let server = starter.start(contestant, shape)?;
    let names = (0..STREAMS).map(|number| format!("live/idle{number}")).collect();
    let _publishers = Publishers::start(server.rtmp, names, shape, Conduct::BeSilent)
        .map_err(|fault| format!("publishing: {fault}"))?;
    std::thread::sleep(SETTLE);
    let (begin, before_ns) = (Instant::now(), server.cpu_ns());
    std::thread::sleep(duration);
    let cpu_ns = server.cpu_ns() - before_ns;
    Ok(100.0 * cpu_ns as f64 / begin.elapsed().as_nanos() as f64)
}
