//! A media file to the bus, its timestamps continued at each repetition.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use arcly_bus::{BusError, Frame, FrameFlags, Publisher, Track};
use arcly_codec::MediaKind;
use arcly_pack::Item;
use tokio::runtime::Handle;

use crate::{
    file::{
        pass::{Pass, Timed},
        read::{FileError, MediaReader},
    },
    lock,
};

/// How a file is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayOptions {
    /// Start again at the end, the times going on: to viewers it is one endless stream. Default true.
    pub looped: bool,
    /// Publish each frame when its time has come; else as fast as it can be read, and slow readers skip. Default true.
    pub real_time: bool,
}

impl Default for PlayOptions {
    fn default() -> Self {
        Self { looped: true, real_time: true }
    }
}

/// A file that is being published. Dropping it stops it.
pub struct Player {
    stop: Arc<Stop>,
    failure: Arc<OnceLock<FileError>>,
}

/// Ends a sleep early.
#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn stop(&self) {
        *lock(&self.stopped) = true;
        self.changed.notify_all();
    }

    /// Waits until `until`, which may be now; true when it was stopped.
    fn sleep_until(&self, until: Instant) -> bool {
        let stopped = lock(&self.stopped);
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(stopped, left, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Player {
    /// Stops at the next frame and ends the stream.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// What was wrong with the file, where the stream ended for that.
    pub fn failure(&self) -> Option<&FileError> {
        self.failure.get()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Publishes the file at `path` on a thread of the runtime that may block. What goes wrong later ends the stream, with the reason.
///
/// # Errors
/// [`FileError`] when it cannot be opened or is no media file.
pub fn play(runtime: &Handle, path: &Path, publisher: Publisher, options: PlayOptions) -> Result<Player, FileError> {
    let reader = MediaReader::open(path)?;
    let player = Player { stop: Arc::default(), failure: Arc::default() };
    let (stop, failure) = (player.stop.clone(), player.failure.clone());
    let (start, passed) = (Instant::now(), Duration::ZERO);
    let performance = Performance { reader, publisher, options, stop, failure, start, passed, room_ns: None };
    runtime.spawn_blocking(move || performance.run());
    Ok(player)
}

/// Why a performance ended before its end.
enum Cut {
    Stopped,
    Closed(BusError),
    Failed(FileError),
}

struct Performance {
    reader: MediaReader,
    publisher: Publisher,
    options: PlayOptions,
    stop: Arc<Stop>,
    failure: Arc<OnceLock<FileError>>,
    /// When the first frame was due.
    start: Instant,
    /// What the repetitions before this one have lasted.
    passed: Duration,
    /// Added to all times, for the first one not to be below 0; known from the first frame on.
    room_ns: Option<u64>,
}

impl Performance {
    fn run(mut self) {
        let reason = match self.repeat() {
            Ok(()) => "the end of the file".to_owned(),
            Err(Cut::Stopped) => "stopped".to_owned(),
            Err(Cut::Closed(error)) => error.to_string(),
            // Kept first: who sees the end of the stream may ask.
            Err(Cut::Failed(error)) => self.failure.get_or_init(|| error).to_string(),
        };
        self.publisher.end(reason);
    }

    fn repeat(&mut self) -> Result<(), Cut> {
        loop {
            let lasted = self.play_once()?;
            self.passed += lasted;
            // A file of no length would spin.
            if !self.options.looped || lasted.is_zero() {
                return self.wait(Duration::ZERO);
            }
            self.reader.rewind().map_err(Cut::Failed)?;
        }
    }

    /// Publishes every frame once; returns when a repetition is due, counted from the beginning.
    fn play_once(&mut self) -> Result<Duration, Cut> {
        let mut pass = Pass::default();
        while let Some(item) = self.reader.next_item().map_err(Cut::Failed)? {
            match item {
                Item::Tracks(tracks) => self.announce(tracks)?,
                Item::Frame(frame) => self.publish(&frame, &mut pass)?,
                Item::EndOfSequence => {}
            }
        }
        Ok(pass.duration())
    }

    /// The demuxer finds one track after the other, in each repetition: what says nothing new is no change.
    fn announce(&mut self, tracks: Vec<Track>) -> Result<(), Cut> {
        let present = self.publisher.tracks();
        if tracks.iter().all(|track| present.find(track.id) == Some(track)) {
            return Ok(());
        }
        self.publisher.set_tracks(tracks).map_err(Cut::Closed)
    }

    fn publish(&mut self, frame: &Frame, pass: &mut Pass) -> Result<(), Cut> {
        let tracks = self.publisher.tracks();
        let track = tracks.find(frame.track);
        let clock_rate_hz = track.map_or(90_000, |track| track.clock_rate_hz);
        let at_ns = nanoseconds(frame.dts, clock_rate_hz);
        // MP4 with an edit list: the first picture is shown at 0, and decoded before it where pictures are reordered. Not all who read the
        // bus have times for that.
        let room_ns = *self.room_ns.get_or_insert(at_ns.min(0).unsigned_abs());
        let place = pass.place(&Timed {
            track: frame.track,
            is_data: track.is_some_and(|track| track.kind() == MediaKind::Data),
            at_ns,
            duration_ns: nanoseconds(frame.duration.into(), clock_rate_hz),
        });
        self.wait(place.due)?;
        let mut moved =
            moved(frame, self.passed.as_nanos().saturating_add(room_ns.into()), place.offset_ns, clock_rate_hz);
        if place.is_break {
            moved.flags = moved.flags.with(FrameFlags::DISCONTINUITY);
        }
        self.publisher.publish(moved).map_err(Cut::Closed)
    }

    /// Waits until `offset` of this repetition.
    fn wait(&self, offset: Duration) -> Result<(), Cut> {
        let until = if self.options.real_time { self.start + self.passed + offset } else { self.start };
        if self.stop.sleep_until(until) { Err(Cut::Stopped) } else { Ok(()) }
    }
}

/// `frame`, its times moved by nanoseconds in ticks of its own track.
fn moved(frame: &Frame, passed_ns: u128, offset_ns: i64, clock_rate_hz: u32) -> Frame {
    // Rounded from the whole time passed, so that nothing adds up over a year of repetitions.
    let moved_ns = i128::try_from(passed_ns).unwrap_or(i128::MAX).saturating_add(offset_ns.into());
    let ticks = moved_ns.saturating_mul(clock_rate_hz.into()).saturating_add(500_000_000).div_euclid(1_000_000_000);
    let ticks = i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX });
    Frame { pts: frame.pts.saturating_add(ticks), dts: frame.dts.saturating_add(ticks), ..frame.clone() }
}

/// Ticks as time, within three centuries.
fn nanoseconds(ticks: i64, clock_rate_hz: u32) -> i64 {
    let nanos = i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate_hz.max(1));
    i64::try_from(nanos).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}
