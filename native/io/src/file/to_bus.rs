//! A media file to the bus, its timestamps continued at each repetition.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arcly_bus::{BusError, Frame, Publisher, Track, TrackId};
use arcly_pack::Item;
use tokio::runtime::Handle;

use crate::{
    file::read::{FileError, MediaReader},
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
    let stop = Arc::new(Stop::default());
    let performance =
        Performance { reader, publisher, options, stop: stop.clone(), start: Instant::now(), passed: Duration::ZERO };
    runtime.spawn_blocking(move || performance.run());
    Ok(Player { stop })
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
    /// When the first frame was due.
    start: Instant,
    /// What the repetitions before this one have lasted.
    passed: Duration,
}

/// From the first to the last frame of one repetition.
#[derive(Default)]
struct Pass {
    /// The decoding time of the first frame, whatever its track, in nanoseconds.
    first_ns: Option<i64>,
    spans: Vec<Span>,
}

/// What is known of one track of a repetition, in nanoseconds.
struct Span {
    track: TrackId,
    first_ns: i64,
    last_ns: i64,
    /// Between the last two frames: how long the last one lasts.
    last_step_ns: i64,
}

impl Performance {
    fn run(mut self) {
        let reason = match self.repeat() {
            Ok(()) => "the end of the file".to_owned(),
            Err(Cut::Stopped) => "stopped".to_owned(),
            Err(Cut::Closed(error)) => error.to_string(),
            Err(Cut::Failed(error)) => error.to_string(),
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
        let clock_rate_hz = self.publisher.tracks().find(frame.track).map_or(90_000, |track| track.clock_rate_hz);
        let at_ns = nanoseconds(frame.dts, clock_rate_hz);
        let first_ns = *pass.first_ns.get_or_insert(at_ns);
        pass.extend(frame.track, at_ns);
        self.wait(span(first_ns, at_ns))?;
        self.publisher.publish(later(frame, self.passed, clock_rate_hz)).map_err(Cut::Closed)
    }

    /// Waits until `offset` of this repetition.
    fn wait(&self, offset: Duration) -> Result<(), Cut> {
        let until = if self.options.real_time { self.start + self.passed + offset } else { self.start };
        if self.stop.sleep_until(until) { Err(Cut::Stopped) } else { Ok(()) }
    }
}

impl Pass {
    fn extend(&mut self, track: TrackId, at_ns: i64) {
        match self.spans.iter_mut().find(|span| span.track == track) {
            Some(span) => {
                span.last_step_ns = at_ns.saturating_sub(span.last_ns);
                span.last_ns = at_ns;
            }
            None => self.spans.push(Span { track, first_ns: at_ns, last_ns: at_ns, last_step_ns: 0 }),
        }
    }

    /// The longest track, its last frame included.
    fn duration(&self) -> Duration {
        let lasted = |track: &Span| span(track.first_ns, track.last_ns.saturating_add(track.last_step_ns));
        self.spans.iter().map(lasted).max().unwrap_or_default()
    }
}

/// From one time to a later one; nothing when it is earlier.
fn span(from_ns: i64, to_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0))
}

/// `frame`, its times moved by `passed` in ticks of its own track.
fn later(frame: &Frame, passed: Duration, clock_rate_hz: u32) -> Frame {
    // Rounded from the whole time passed, so that nothing adds up over a year of repetitions.
    let ticks = (passed.as_nanos() * u128::from(clock_rate_hz) + 500_000_000) / 1_000_000_000;
    let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
    Frame { pts: frame.pts.saturating_add(ticks), dts: frame.dts.saturating_add(ticks), ..frame.clone() }
}

/// Ticks as time, within three centuries.
fn nanoseconds(ticks: i64, clock_rate_hz: u32) -> i64 {
    let nanos = i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate_hz.max(1));
    i64::try_from(nanos).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}
