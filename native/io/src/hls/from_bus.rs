//! One task per stream: reads the log, packages, and shows each new view of the playlist.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use arcly_bus::{Batch, Frame, FrameFlags, Log, Read, Subscription, WakeSlot};
use arcly_pack::hls::{HlsConfig, HlsPackager};
use tokio::{runtime::Handle, sync::Notify};

use crate::{Inbox, hls::HlsOutput};

/// Frames handled between two chances for other tasks.
const BATCH_FRAMES: usize = 64;

/// Starts packaging `log` and returns where its playlist appears. `name` stands in front of warnings, `session` in front of
/// segment names: no two publishes of one key may share it.
pub fn package(
    runtime: &Handle,
    log: &Arc<Log>,
    config: HlsConfig,
    name: String,
    session: &str,
    inbox: Arc<Inbox>,
) -> Arc<HlsOutput> {
    let output = Arc::new(HlsOutput::new(log));
    let task =
        Task { packager: HlsPackager::new(config, session), output: output.clone(), name, inbox, refused_frames: 0 };
    // The cursor is placed now, not when the task first runs: nothing published meanwhile is missed.
    runtime.spawn(task.run(log.tap()));
    output
}

struct Task {
    packager: HlsPackager,
    output: Arc<HlsOutput>,
    name: String,
    inbox: Arc<Inbox>,
    refused_frames: u64,
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

enum Next {
    Wait,
    Again,
    End,
}

impl Task {
    async fn run(mut self, mut subscription: Subscription) {
        let woken = Arc::new(Woken(Notify::new()));
        // A segment ends at an entry: to look at each frame as it comes would be a hundred wake-ups for nothing.
        let slot = WakeSlot::for_entries(subscription.log(), Waker::from(woken.clone()));
        loop {
            match self.turn(&mut subscription) {
                Next::Again => tokio::task::yield_now().await,
                Next::End => break,
                Next::Wait => {
                    slot.arm();
                    // What was published between the last look and the arming wakes nobody.
                    if matches!(self.turn(&mut subscription), Next::Wait) {
                        woken.0.notified().await;
                    }
                }
            }
        }
        self.packager.finish();
        self.output.end(self.packager.view());
    }

    fn turn(&mut self, subscription: &mut Subscription) -> Next {
        match subscription.read(BATCH_FRAMES) {
            Read::Frames(batch) => {
                self.push(&batch);
                Next::Again
            }
            Read::Empty => Next::Wait,
            Read::Ended | Read::Evicted => Next::End,
        }
    }

    fn push(&mut self, batch: &Batch<'_>) {
        let mut changed = false;
        for (index, frame) in batch.frames.iter().enumerate() {
            let broken = index == 0 && batch.discontinuity;
            let marked = broken.then(|| mark_discontinuity(frame));
            match self.packager.push(batch.tracks, marked.as_ref().unwrap_or(frame)) {
                Ok(new_view) => changed |= new_view,
                Err(error) => self.warn_once(&error.to_string()),
            }
        }
        if changed {
            self.output.show(self.packager.view());
        }
    }

    fn warn_once(&mut self, error: &str) {
        self.refused_frames += 1;
        if self.refused_frames == 1 {
            self.inbox.warn(format!("{}: HLS leaves out a frame: {error} (said once)", self.name));
        }
    }
}

/// The reader was overtaken by the log: what follows does not continue what was packaged.
fn mark_discontinuity(frame: &Frame) -> Frame {
    Frame { flags: frame.flags.with(FrameFlags::DISCONTINUITY), ..frame.clone() }
}
