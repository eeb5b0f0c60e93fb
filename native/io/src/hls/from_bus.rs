//! One task per stream: reads the log, packages, and shows each new view.

use std::{sync::Arc, task::Waker, time::Duration};

use arcly_bus::{Batch, Frame, FrameFlags, Log, Read, Subscription, TrackSet, WakeSlot};
use arcly_pack::{
    PackError,
    cmaf::{CmafConfig, CmafPackager},
    hls::{HlsConfig, HlsPackager},
    rescale,
};
use tokio::{runtime::Handle, time::sleep};

use crate::{
    Inbox,
    bell::Bell,
    bug::BugReport,
    clock::unix_time,
    hls::{
        HlsOutput,
        groups::Group,
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
    /// What it has in common with those that show the same ([`super::Groups`]). Default: nothing.
    pub group: Arc<Group>,
    /// Package on demand: from the first viewer of the group on, until nobody has asked for a playlist or manifest of it for so long, three
    /// target durations at least. Not for an event, and not together with `spill` or an encryption: then it is as none. Default none: from
    /// the start on.
    pub idle: Option<Duration>,
    /// Where segments go that are no longer to be in memory; it decides about [`CmafConfig::memory`] and [`HlsConfig::memory`].
    pub spill: Option<Arc<Spill>>,
    /// Is told when that does not work.
    pub on_failure: Option<OnFailure>,
}

impl PackageConfig {
    /// Whether what nobody watches is to be kept too.
    fn keeps_all(&self) -> bool {
        let of_cmaf = |cmaf: &CmafConfig| cmaf.is_event || cmaf.encryption.is_some();
        self.cmaf.as_ref().is_some_and(of_cmaf) || self.ts.as_ref().is_some_and(|ts| ts.encryption.is_some())
    }
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
    let shelf = config.spill.take().map(|spill| Shelf::new(spill, runtime, session));
    let has_dash = config.cmaf.as_ref().is_some_and(|cmaf| cmaf.encryption.is_none());
    let made = Made { cmaf: config.cmaf.is_some(), dash: has_dash, ts: config.ts.is_some() };
    if shelf.is_some() || config.keeps_all() {
        config.idle = None;
    }
    let demand = config.idle.map(|_| config.group.clone());
    let output = Arc::new(HlsOutput::new(log, made, shelf.clone(), demand));
    let report = BugReport::of(format!("HLS and DASH of {name}"), inbox.clone());
    let task = Task {
        cmaf: config.cmaf.take().map(|it| CmafPackager::new(it, session).with_clock(config.group.clock.clone())),
        ts: config.ts.take().map(|it| HlsPackager::new(it, session).with_clock(config.group.clock.clone())),
        output: output.clone(),
        shelf,
        config,
        newest_us: None,
        name,
        inbox,
        refused_frames: 0,
        has_told_shortened: false,
    };
    match task.config.idle {
        Some(idle) => runtime.spawn(report.over(task.run_on_demand(log.clone(), idle))),
        // The cursor is placed now, not when the task first runs: nothing published meanwhile is missed.
        None => runtime.spawn(report.over(task.run(log.tap()))),
    };
    output
}

struct Task {
    cmaf: Option<CmafPackager>,
    ts: Option<HlsPackager>,
    output: Arc<HlsOutput>,
    shelf: Option<Arc<Shelf>>,
    config: PackageConfig,
    /// Of what was there already when it began: up to here frames came earlier than now.
    newest_us: Option<i64>,
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
    async fn run(mut self, subscription: Subscription) {
        self.follow(subscription, None).await;
        self.finish();
    }

    /// Sleeps while nobody watches.
    async fn run_on_demand(mut self, log: Arc<Log>, idle: Duration) {
        while self.is_wanted(&log, idle).await {
            self.newest_us = newest_us(&log);
            if !self.follow(log.tap(), Some(idle)).await {
                break;
            }
            self.cmaf.iter_mut().for_each(CmafPackager::rest);
            self.ts.iter_mut().for_each(HlsPackager::rest);
            self.output.rest();
        }
        self.finish();
    }

    /// Waits until somebody watches; false when the stream ends before.
    async fn is_wanted(&self, log: &Arc<Log>, idle: Duration) -> bool {
        let bell = Arc::<Bell>::default();
        let slot = WakeSlot::for_entries(log, Waker::from(bell.clone()));
        loop {
            slot.arm();
            if log.is_closed() {
                return false;
            }
            tokio::select! {
                () = self.config.group.demand.wanted(idle) => return true,
                () = bell.heard() => {}
            }
        }
    }

    /// Whether somebody asks, or has not long ago: players come for playlists as often as these have a new segment.
    fn is_watched(&self, idle: Duration) -> bool {
        let cmaf = self.cmaf.as_ref().and_then(CmafPackager::view).map(|view| view.target_duration_s);
        let ts = self.ts.as_ref().and_then(HlsPackager::view).map(|view| view.target_duration_s());
        let least = Duration::from_secs(cmaf.max(ts).unwrap_or(0).saturating_mul(3));
        self.config.group.demand.is_within(idle.max(least))
    }

    /// Packages until the stream ends (false) or nobody has watched for `idle`.
    async fn follow(&mut self, mut subscription: Subscription, idle: Option<Duration>) -> bool {
        let bell = Arc::<Bell>::default();
        let slot = self.slot(&subscription, Waker::from(bell.clone()));
        loop {
            match self.turn(&mut subscription) {
                Next::Again => tokio::task::yield_now().await,
                Next::End => return false,
                Next::Wait if idle.is_some_and(|idle| !self.is_watched(idle)) => return true,
                Next::Wait => {
                    slot.arm();
                    // What was published between the last look and the arming wakes nobody.
                    if matches!(self.turn(&mut subscription), Next::Wait) {
                        tokio::select! {
                            () = bell.heard() => {}
                            () = written(self.shelf.as_deref()) => self.spill(),
                            // Where no frames come nobody else looks whether somebody watches.
                            () = sleep(idle.unwrap_or_default()), if idle.is_some() => {}
                        }
                    }
                }
            }
        }
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
        for (index, frame) in batch.frames.iter().enumerate() {
            let broken = index == 0 && batch.discontinuity;
            let now = now.saturating_sub(self.age(frame, batch.tracks));
            let marked = broken.then(|| mark_discontinuity(frame));
            let frame = marked.as_ref().unwrap_or(frame);
            self.pack_cmaf(batch.tracks, frame, now);
            self.pack_ts(batch.tracks, frame, now);
        }
        self.show();
    }

    fn pack_cmaf(&mut self, tracks: &Arc<TrackSet>, frame: &Frame, now: Duration) {
        let Some(cmaf) = self.cmaf.as_mut().filter(|cmaf| !cmaf.has_ended()) else { return };
        let pushed = cmaf.push(tracks, frame, now);
        match pushed {
            Err(_) if cmaf.has_ended() => {
                self.inbox.warn(format!("{}: the event is full and over: what comes is not in it", self.name));
            }
            pushed => self.check(pushed),
        }
    }

    fn pack_ts(&mut self, tracks: &Arc<TrackSet>, frame: &Frame, now: Duration) {
        let Some(ts) = &mut self.ts else { return };
        ts.tell_time(now);
        let pushed = ts.push(tracks, frame);
        self.check(pushed);
    }

    /// Shows what is new, whatever the frames were found to be with which it came.
    fn show(&mut self) {
        let cmaf = self.cmaf.as_ref().and_then(CmafPackager::view);
        let ts = self.ts.as_ref().and_then(HlsPackager::view);
        let has_new_cmaf = is_another(cmaf.as_ref(), self.output.cmaf_view().as_ref());
        let has_new_ts = is_another(ts.as_ref(), self.output.ts_view().as_ref());
        if has_new_cmaf {
            self.output.show_cmaf(cmaf);
            let is_shortened = self.cmaf.as_ref().is_some_and(CmafPackager::is_shortened);
            if is_shortened && !std::mem::replace(&mut self.has_told_shortened, true) {
                self.inbox.warn(format!("{}: the window is shorter than it should be: its memory is full", self.name));
            }
        }
        if has_new_ts {
            self.output.show(ts);
        }
        if has_new_cmaf || has_new_ts {
            self.spill();
        }
    }

    /// How long ago `frame` came, by the time of the media: what is there at the beginning is read at once.
    fn age(&mut self, frame: &Frame, tracks: &TrackSet) -> Duration {
        let Some(newest_us) = self.newest_us else { return Duration::ZERO };
        let age_us = newest_us.saturating_sub(media_us(frame, tracks));
        if age_us <= 0 {
            self.newest_us = None;
        }
        Duration::from_micros(u64::try_from(age_us).unwrap_or(0))
    }

    /// Has moved to the disk what is old; tells what did not work.
    fn spill(&self) {
        let Some(shelf) = &self.shelf else { return };
        let (cmaf, ts) =
            (self.cmaf.as_ref().and_then(CmafPackager::view), self.ts.as_ref().and_then(HlsPackager::view));
        if let Some(failed) = shelf.look(cmaf.as_deref(), ts.as_deref()) {
            self.inbox.warn(format!("{}: {failed}; until it does, viewers cannot go back so far", self.name));
            self.config.on_failure.iter().for_each(|tell| tell(&failed));
        }
    }

    fn check(&mut self, pushed: Result<bool, PackError>) {
        match pushed {
            Ok(_) => {}
            // What one of the two cannot carry, the other one may.
            Err(PackError::Unsupported { .. }) if self.cmaf.is_some() && self.ts.is_some() => {}
            Err(error) => self.warn_once(&error.to_string()),
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

/// Whether `made` is there, and not what is `shown`.
fn is_another<View>(made: Option<&Arc<View>>, shown: Option<&Arc<View>>) -> bool {
    made.is_some_and(|made| shown.is_none_or(|shown| !Arc::ptr_eq(made, shown)))
}

/// The time of the media of the newest frame.
fn newest_us(log: &Arc<Log>) -> Option<i64> {
    let (mut cursor, mut newest_us) = (log.tap(), None);
    while let Read::Frames(batch) = cursor.read(BATCH_FRAMES) {
        newest_us = batch.frames.iter().map(|frame| media_us(frame, batch.tracks)).max().max(newest_us);
    }
    newest_us
}

fn media_us(frame: &Frame, tracks: &TrackSet) -> i64 {
    let rate_hz = tracks.find(frame.track).map_or(1, |track| track.clock_rate_hz);
    rescale(frame.dts, rate_hz, 1_000_000)
}

/// The reader was overtaken by the log: what follows does not continue what was packaged.
fn mark_discontinuity(frame: &Frame) -> Frame {
    Frame { flags: frame.flags.with(FrameFlags::DISCONTINUITY), ..frame.clone() }
}

#[cfg(test)]
mod tests {
    use arcly_bus::{LogBounds, LogWriter, Publisher, Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};

    use super::*;
    use crate::Notice;

    const IDLE: Duration = Duration::from_secs(10);

    struct Stage {
        publisher: Publisher,
        output: Arc<HlsOutput>,
        inbox: Arc<Inbox>,
        next: i64,
    }

    impl Stage {
        fn new() -> Self {
            let (cmaf, ts) = (Some(CmafConfig::default()), Some(HlsConfig::default()));
            Self::with(PackageConfig { cmaf, ts, idle: Some(IDLE), ..PackageConfig::default() })
        }

        fn with(config: PackageConfig) -> Self {
            let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
            let sound = CodecConfig::parse(Codec::Aac, vec![0x11, 0x90].into()).unwrap();
            publisher.set_tracks(vec![Track::new(TrackId(0), sound)]).unwrap();
            let inbox = Inbox::new(Waker::noop().clone());
            let output = package(&Handle::current(), publisher.log(), config, "live/cam".into(), "abc", inbox.clone());
            Self { publisher, output, inbox, next: 0 }
        }

        /// Sound of four seconds, whoever wants it.
        async fn go_on(&mut self) {
            for _ in 0..200 {
                let (pts, payload) = (self.next * 1024, vec![0x21; 100].into());
                let frame =
                    Frame { track: TrackId(0), flags: FrameFlags::NONE, pts, dts: pts, duration: 1024, payload };
                self.publisher.publish(frame).unwrap();
                self.next += 1;
                tokio::task::yield_now().await;
            }
        }

        /// Goes on until `condition` holds.
        async fn until(&mut self, condition: impl Fn(&HlsOutput) -> bool) {
            for _ in 0..100 {
                if condition(&self.output) {
                    return;
                }
                self.go_on().await;
            }
            panic!("it does not come about");
        }

        fn has_both(output: &HlsOutput) -> bool {
            output.cmaf_view().is_some() && output.ts_view().is_some()
        }

        fn playlist(&self) -> String {
            String::from_utf8(self.output.cmaf_view().unwrap().tracks[0].playlist().to_vec()).unwrap()
        }
    }

    fn segments(playlist: &str) -> Vec<&str> {
        playlist.lines().filter(|line| line.ends_with(".m4s")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_packaged_on_demand_rests_while_nobody_watches() {
        let mut stage = Stage::new();
        stage.go_on().await;
        assert!(stage.output.cmaf_view().is_none() && stage.output.ts_view().is_none(), "nobody has asked");
        drop(stage.output.question());
        stage.until(Stage::has_both).await;
        let before = stage.playlist();
        assert!(stage.output.track_view("a0").is_some());
        tokio::time::sleep(IDLE / 2).await;
        drop(stage.output.question());
        tokio::time::sleep(IDLE / 2).await;
        stage.go_on().await;
        assert!(Stage::has_both(&stage.output), "somebody has asked half that time ago");
        tokio::time::sleep(IDLE).await;
        stage.until(|output| output.cmaf_view().is_none() && output.ts_view().is_none()).await;
        assert!(stage.output.track_view("a0").is_none());
        drop(stage.output.question());
        stage.until(Stage::has_both).await;
        let after = stage.playlist();
        assert!(segments(&after).iter().all(|name| !segments(&before).contains(name)), "{before}\n{after}");
        // To whoever has slept meanwhile it is a break, not a stream that begins anew (RFC 8216bis §6.2.2).
        let number = |playlist: &str, tag: &str| {
            let line = playlist.lines().find_map(|line| line.strip_prefix(tag)).unwrap_or("0");
            line.parse::<usize>().unwrap()
        };
        let media = "#EXT-X-MEDIA-SEQUENCE:";
        assert!(number(&after, media) >= number(&before, media) + segments(&before).len(), "{before}\n{after}");
        assert_eq!(number(&after, "#EXT-X-DISCONTINUITY-SEQUENCE:"), 1, "{after}");
        let target = "#EXT-X-TARGETDURATION:";
        assert_eq!(number(&after, target), number(&before, target));
    }

    /// Found by a reader: the frames of a long GOP, which are there at once when somebody comes, were dated as if they had come just then.
    #[tokio::test(start_paused = true)]
    async fn who_comes_in_the_middle_of_a_long_gop_is_told_when_it_was() {
        let mut stage = Stage::new();
        let picture = CodecConfig::parse(Codec::Vp9, vec![0, 10, 0x82, 2, 2, 2, 0, 0].into()).unwrap();
        stage.publisher.set_tracks(vec![Track::new(TrackId(0), picture)]).unwrap();
        let mut publish = |second: i64| {
            let flags = if second % 20 == 0 { FrameFlags::KEY } else { FrameFlags::NONE };
            let (pts, payload) = (second * 90_000, vec![0x21; 100].into());
            stage
                .publisher
                .publish(Frame { track: TrackId(0), flags, pts, dts: pts, duration: 90_000, payload })
                .unwrap();
        };
        (0..=18).for_each(&mut publish);
        drop(stage.output.question());
        tokio::task::yield_now().await;
        let now_us = i64::try_from(unix_time().as_micros()).unwrap();
        (19..=20).for_each(&mut publish);
        let view = stage.output.first_cmaf_view(IDLE).await.unwrap();
        let off_us = view.epochs[0].wall_offset_us - (now_us - 18_000_000);
        assert!(off_us.abs() < 1_500_000, "{off_us} us");
    }

    /// Found by a reader: nobody was shown the end, and each later frame was one that HLS leaves out.
    #[tokio::test(start_paused = true)]
    async fn an_event_that_is_full_is_over_for_its_viewers() {
        let cmaf = CmafConfig { is_event: true, max_window_bytes: 100_000, ..CmafConfig::default() };
        let (cmaf, ts) = (Some(cmaf), Some(HlsConfig::default()));
        let mut stage = Stage::with(PackageConfig { cmaf, ts, ..PackageConfig::default() });
        stage.until(|output| output.track_view("a0").is_some_and(|track| track.ended())).await;
        let view = stage.output.cmaf_view().unwrap();
        assert!(view.ended && view.window_bytes() >= 100_000);
        let before = stage.output.ts_view().unwrap();
        stage.until(|output| !Arc::ptr_eq(&output.ts_view().unwrap(), &before)).await;
        assert!(stage.playlist().ends_with("#EXT-X-ENDLIST\n") && !stage.output.is_stale(Duration::ZERO));
        let notices: Vec<_> = std::iter::from_fn(|| stage.inbox.pop()).collect();
        let [Notice::Warning(told)] = &notices[..] else { panic!("said once: {}", notices.len()) };
        assert!(told.starts_with("live/cam: the event is full and over"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ends_while_nobody_watches_has_ended() {
        let mut stage = Stage::new();
        stage.go_on().await;
        drop(stage.publisher);
        tokio::time::sleep(IDLE).await;
        assert!(stage.output.is_stale(Duration::ZERO));
    }
}
