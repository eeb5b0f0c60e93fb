//! One task per stream: reads the log, packages, and shows each new view.

use std::{sync::Arc, task::Waker};

use arcly_bus::{Batch, Frame, FrameFlags, Log, Read, Subscription, WakeSlot};
use arcly_pack::{
    GroupClock, PackError,
    cmaf::{CmafConfig, CmafPackager},
    hls::{HlsConfig, HlsPackager},
};
use tokio::runtime::Handle;

use crate::{
    Inbox,
    bell::Bell,
    bug::BugReport,
    clock::unix_time,
    hls::{
        HlsOutput,
        output::Made,
        spill::{Shelf, Spill},
    },
};

/// Frames handled between two chances for other tasks.
const BATCH_FRAMES: usize = 64;

/// Is told of what failed of a stream that goes on.
pub type OnFailure = Arc<dyn Fn(&str) + Send + Sync>;

/// What is made of a stream.
#[derive(Clone, Default)]
pub struct PackageConfig {
    /// CMAF: HLS with low latency, and DASH.
    pub cmaf: Option<CmafConfig>,
    /// HLS with MPEG-TS.
    pub ts: Option<HlsConfig>,
    /// The wall clock of its group ([`super::Clocks`]). Default: its own.
    pub clock: Arc<GroupClock>,
    /// Where segments go that are no longer to be in memory; it decides about [`CmafConfig::memory`] and [`HlsConfig::memory`].
    pub spill: Option<Arc<Spill>>,
    /// Is told when that does not work.
    pub on_failure: Option<OnFailure>,
}

/// Starts packaging `log` and returns where its playlists appear. `name` stands in front of warnings, `session` in front of
/// segment names: no two publishes of one key may share it.
pub fn package(
    runtime: &Handle,
    log: &Arc<Log>,
    mut config: PackageConfig,
    name: String,
    session: &str,
    inbox: Arc<Inbox>,
) -> Arc<HlsOutput> {
    if let Some(cmaf) = &mut config.cmaf {
        cmaf.memory = config.spill.as_ref().map(|spill| spill.memory());
    }
    if let Some(ts) = &mut config.ts {
        ts.memory = config.spill.as_ref().map(|spill| spill.memory());
    }
    let shelf = config.spill.map(|spill| Shelf::new(spill, runtime, session));
    let has_dash = config.cmaf.as_ref().is_some_and(|cmaf| cmaf.encryption.is_none());
    let made = Made { cmaf: config.cmaf.is_some(), dash: has_dash, ts: config.ts.is_some() };
    let output = Arc::new(HlsOutput::new(log, made, shelf.clone()));
    let report = BugReport::of(format!("HLS and DASH of {name}"), inbox.clone());
    let clock = config.clock;
    let task = Task {
        cmaf: config.cmaf.map(|config| CmafPackager::new(config, session).with_clock(clock.clone())),
        ts: config.ts.map(|config| HlsPackager::new(config, session).with_clock(clock.clone())),
        output: output.clone(),
        shelf,
        on_failure: config.on_failure,
        name,
        inbox,
        refused_frames: 0,
        has_told_shortened: false,
    };
    // The cursor is placed now, not when the task first runs: nothing published meanwhile is missed.
    let running = task.run(log.tap());
    runtime.spawn(report.over(running));
    output
}

struct Task {
    cmaf: Option<CmafPackager>,
    ts: Option<HlsPackager>,
    output: Arc<HlsOutput>,
    shelf: Option<Arc<Shelf>>,
    on_failure: Option<OnFailure>,
    name: String,
    inbox: Arc<Inbox>,
    refused_frames: u64,
    has_told_shortened: bool,
}

async fn written(shelf: Option<&Shelf>) {
    match shelf {
        Some(shelf) => shelf.written().await,
        None => std::future::pending().await,
    }
}

enum Next {
    Wait,
    Again,
    End,
}

impl Task {
    async fn run(mut self, mut subscription: Subscription) {
        let bell = Arc::<Bell>::default();
        let slot = self.slot(&subscription, Waker::from(bell.clone()));
        loop {
            match self.turn(&mut subscription) {
                Next::Again => tokio::task::yield_now().await,
                Next::End => break,
                Next::Wait => {
                    slot.arm();
                    // What was published between the last look and the arming wakes nobody.
                    if matches!(self.turn(&mut subscription), Next::Wait) {
                        tokio::select! {
                            () = bell.heard() => {}
                            () = written(self.shelf.as_deref()) => self.spill(),
                        }
                    }
                }
            }
        }
        self.finish();
    }

    /// A part may end at any picture; sound waits for one, which costs it less than a frame. A segment ends at an entry: where there are no
    /// parts, to look at each frame as it comes would be a hundred wake-ups for nothing.
    fn slot(&self, subscription: &Subscription, waker: Waker) -> WakeSlot {
        match self.cmaf {
            Some(_) => WakeSlot::for_pictures(subscription.log(), waker).behind(),
            None => WakeSlot::for_entries(subscription.log(), waker),
        }
    }

    fn turn(&mut self, subscription: &mut Subscription) -> Next {
        loop {
            match subscription.read(BATCH_FRAMES) {
                Read::Frames(batch) => {
                    let is_full = batch.frames.len() == BATCH_FRAMES;
                    self.push(&batch);
                    // Others get their turn where there is much to do; after each picture that would only wake a thread for nothing.
                    if is_full {
                        return Next::Again;
                    }
                }
                Read::Empty => return Next::Wait,
                Read::Ended | Read::Evicted => return Next::End,
            }
        }
    }

    fn push(&mut self, batch: &Batch<'_>) {
        let now = unix_time();
        let (mut has_new_cmaf, mut has_new_ts) = (false, false);
        for (index, frame) in batch.frames.iter().enumerate() {
            let broken = index == 0 && batch.discontinuity;
            let marked = broken.then(|| mark_discontinuity(frame));
            let frame = marked.as_ref().unwrap_or(frame);
            if let Some(pushed) = self.cmaf.as_mut().map(|cmaf| cmaf.push(batch.tracks, frame, now)) {
                has_new_cmaf |= self.check(pushed);
            }
            if let Some(pushed) = self.ts.as_mut().map(|ts| {
                ts.tell_time(now);
                ts.push(batch.tracks, frame)
            }) {
                has_new_ts |= self.check(pushed);
            }
        }
        if has_new_cmaf && let Some(cmaf) = &self.cmaf {
            let view = cmaf.view();
            self.output.show_cmaf(view);
            if cmaf.is_shortened() && !std::mem::replace(&mut self.has_told_shortened, true) {
                self.inbox.warn(format!("{}: the window is shorter than it should be: its memory is full", self.name));
            }
        }
        if has_new_ts && let Some(ts) = &self.ts {
            self.output.show(ts.view());
        }
        if has_new_cmaf || has_new_ts {
            self.spill();
        }
    }

    /// Has moved to the disk what is old; tells what did not work.
    fn spill(&self) {
        let Some(shelf) = &self.shelf else { return };
        let (cmaf, ts) =
            (self.cmaf.as_ref().and_then(CmafPackager::view), self.ts.as_ref().and_then(HlsPackager::view));
        if let Some(failed) = shelf.look(cmaf.as_deref(), ts.as_deref()) {
            self.inbox.warn(format!("{}: {failed}; until it does, viewers cannot go back so far", self.name));
            self.on_failure.iter().for_each(|tell| tell(&failed));
        }
    }

    /// Whether there is a new view.
    fn check(&mut self, pushed: Result<bool, PackError>) -> bool {
        match pushed {
            Ok(is_new) => is_new,
            // What one of the two cannot carry, the other one may.
            Err(PackError::Unsupported { .. }) if self.cmaf.is_some() && self.ts.is_some() => false,
            Err(error) => {
                self.warn_once(&error.to_string());
                false
            }
        }
    }

    fn warn_once(&mut self, error: &str) {
        self.refused_frames += 1;
        if self.refused_frames == 1 {
            self.inbox.warn(format!("{}: HLS leaves out a frame: {error} (said once)", self.name));
        }
    }

    fn finish(mut self) {
        let cmaf = self.cmaf.as_mut().and_then(|cmaf| {
            cmaf.finish();
            cmaf.view()
        });
        let ts = self.ts.as_mut().and_then(|ts| {
            ts.finish();
            ts.view()
        });
        self.output.end(cmaf, ts);
    }
}

/// The reader was overtaken by the log: what follows does not continue what was packaged.
fn mark_discontinuity(frame: &Frame) -> Frame {
    Frame { flags: frame.flags.with(FrameFlags::DISCONTINUITY), ..frame.clone() }
}
