//! A clip to the bus in real time, its timestamps continued at each repetition.

use std::time::Duration;

use arcly_bus::{BusError, Frame, Publisher, Track};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::file::clip::{Clip, Item};

/// A clip that is being published. Dropping it stops it.
pub struct Player {
    stop: CancellationToken,
}

impl Player {
    /// Stops at the next frame and ends the stream.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Publishes `clip` in real time, over and over when `looped`.
pub fn play(runtime: &Handle, clip: Clip, mut publisher: Publisher, looped: bool) -> Player {
    let stop = CancellationToken::new();
    let player = Player { stop: stop.clone() };
    runtime.spawn(async move {
        let reason = tokio::select! {
            result = run(&clip, &mut publisher, looped) => match result {
                Ok(()) => "the end of the file".to_owned(),
                Err(error) => error.to_string(),
            },
            () = stop.cancelled() => "stopped".to_owned(),
        };
        publisher.end(reason);
    });
    player
}

async fn run(clip: &Clip, publisher: &mut Publisher, looped: bool) -> Result<(), BusError> {
    let start = Instant::now();
    let mut passed = Duration::ZERO;
    loop {
        play_once(clip, publisher, start, passed).await?;
        passed += clip.duration;
        // A clip of no length would spin.
        if !looped || clip.duration.is_zero() {
            sleep_until(start + passed).await;
            return Ok(());
        }
    }
}

/// Publishes every frame once, each when its time has come: `passed` later than the file says.
async fn play_once(clip: &Clip, publisher: &mut Publisher, start: Instant, passed: Duration) -> Result<(), BusError> {
    for item in &clip.items {
        match item {
            Item::Tracks(tracks) if *tracks != publisher.tracks().tracks => publisher.set_tracks(tracks.clone())?,
            Item::Tracks(_) => {}
            Item::Frame(frame, at) => {
                sleep_until(start + passed + *at).await;
                publisher.publish(later(frame, passed, &publisher.tracks().tracks))?;
            }
        }
    }
    Ok(())
}

/// `frame`, its times moved by `passed` in ticks of its own track.
fn later(frame: &Frame, passed: Duration, tracks: &[Track]) -> Frame {
    let clock_rate_hz = tracks.iter().find(|track| track.id == frame.track).map_or(0, |track| track.clock_rate_hz);
    // Rounded from the whole time passed, so that nothing adds up over a year of repetitions.
    let ticks = (passed.as_nanos() * u128::from(clock_rate_hz) + 500_000_000) / 1_000_000_000;
    let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
    Frame { pts: frame.pts.saturating_add(ticks), dts: frame.dts.saturating_add(ticks), ..frame.clone() }
}
