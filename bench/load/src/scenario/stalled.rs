//! A viewer that reads no more.

use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::server::{Contestant, Starter};
use crate::stream::Shape;

/// Long enough for a send queue that grows by itself to reach its limit at this rate.
const BITS_PER_S: u64 = 8_000_000;
const DURATION: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The most KiB that the kernel held for it in the server's send queue, until the server gave it up.
pub fn stalled_viewer(starter: &Starter, contestant: Contestant) -> Result<f64, String> {
    let mut stage = Stage::open(starter, contestant, Shape::of(BITS_PER_S))?;
    stage.grow_to(1)?;
    let viewer = stage.players.join(&stage.source).map_err(|fault| fault.to_string())?;
    let port = stage.players.local_port(viewer).ok_or("the viewer has no port")?;
    stage.players.run_until(Instant::now() + Duration::from_secs(5), |players| players.has_key_frame(viewer));
    stage.players.stop_reading(viewer);
    let server = stage.source.address();
    let (deadline, mut most) = (Instant::now() + DURATION, 0);
    while Instant::now() < deadline {
        stage.players.run_for(LOOK_EVERY);
        most = most.max(stage.server.send_queue_bytes(server, port));
    }
    if most == 0 {
        return Err("the viewer never had anything in its queue".to_owned());
    }
    Ok(most as f64 / 1024.0)
}
