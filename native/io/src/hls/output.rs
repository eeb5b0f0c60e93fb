//! What viewers of one stream are given: the newest views, who is watching, how much was sent.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arcly_bus::Log;
use arcly_codec::MediaKind;
use arcly_pack::{
    cmaf::{CmafView, TrackView},
    hls::HlsView,
};
use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use crate::{
    hls::{
        sent::Client,
        sessions::{SessionInfo, Sessions},
        spill::Shelf,
    },
    http::{quick::pages::Hot, text::Text},
};

/// Name of the playlist of MPEG-TS: that of no track.
const TS: &str = "ts";

/// So often viewers who stopped asking are looked for, as long as there are any.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The HLS and DASH of one publish.
pub struct HlsOutput {
    ts: watch::Sender<Shown<HlsView>>,
    cmaf: watch::Sender<Shown<CmafView>>,
    /// A channel for each track: who waits for a part of one is not woken for those of the others.
    tracks: Mutex<HashMap<String, watch::Sender<Arc<TrackView>>>>,
    made: Made,
    shelf: Option<Arc<Shelf>>,
    others: Mutex<Arc<[Other]>>,
    /// Playlists as they were last asked for, by track: the whole one, and the delta update.
    texts: Mutex<HashMap<String, [Option<Told>; 2]>>,
    hot: Hot,
    sessions: Mutex<Sessions>,
    sent_bytes: AtomicU64,
}

/// What is made of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) cmaf: bool,
    /// Of the same segments; not where they are encrypted in the way of HLS, which DASH does not know.
    pub(crate) dash: bool,
    pub(crate) ts: bool,
}

/// A stream that shows the same in another size.
#[derive(Clone)]
pub(crate) struct Other {
    /// From a playlist of this stream to its own: `../cam~720p/`.
    pub(crate) base: String,
    /// The sound of the group is that of the stream that names it.
    pub(crate) has_sound: bool,
    pub(crate) output: Weak<HlsOutput>,
}

/// A playlist, and of what it was made.
struct Told {
    /// What the packager says: known by where it lies.
    playlist: Bytes,
    /// What is said of other streams.
    reports: String,
    text: Arc<Text>,
}

struct Shown<View> {
    view: Option<Arc<View>>,
    /// When the stream ended.
    ended_at: Option<Instant>,
}

impl<View> Shown<View> {
    fn nothing() -> watch::Sender<Self> {
        watch::Sender::new(Self { view: None, ended_at: None })
    }
}

impl HlsOutput {
    /// Nothing yet, made of `log`.
    pub(crate) fn new(log: &Arc<Log>, made: Made, shelf: Option<Arc<Shelf>>) -> Self {
        Self {
            ts: Shown::nothing(),
            cmaf: Shown::nothing(),
            tracks: Mutex::default(),
            made,
            shelf,
            others: Mutex::default(),
            texts: Mutex::default(),
            hot: Hot::default(),
            sessions: Mutex::new(Sessions::new(log)),
            sent_bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn show(&self, view: Option<Arc<HlsView>>) {
        self.ts.send_modify(|shown| shown.view = view);
    }

    pub(crate) fn show_cmaf(&self, view: Option<Arc<CmafView>>) {
        if let Some(view) = &view {
            self.show_tracks(view);
        }
        self.cmaf.send_modify(|shown| shown.view = view);
    }

    fn show_tracks(&self, view: &CmafView) {
        let mut tracks = self.lock_tracks();
        // Who waits for a track that is gone is told by the end of its channel.
        tracks.retain(|name, _| view.track(name).is_some());
        for track in &view.tracks {
            match tracks.get(&track.name) {
                Some(channel) if Arc::ptr_eq(&channel.borrow(), track) => {}
                Some(channel) => drop(channel.send_replace(track.clone())),
                None => drop(tracks.insert(track.name.clone(), watch::Sender::new(track.clone()))),
            }
        }
    }

    pub(crate) fn end(&self, cmaf: Option<Arc<CmafView>>, ts: Option<Arc<HlsView>>) {
        if let Some(view) = &cmaf {
            self.show_tracks(view);
        }
        let ended_at = Some(Instant::now());
        self.cmaf.send_replace(Shown { view: cmaf, ended_at });
        self.ts.send_replace(Shown { view: ts, ended_at });
        self.sessions(Sessions::end);
        self.hot.clear();
    }

    /// What many fetch of it.
    pub(crate) fn hot(&self) -> &Hot {
        &self.hot
    }

    /// Whether CMAF is made of it.
    pub fn has_cmaf(&self) -> bool {
        self.made.cmaf
    }

    /// Whether there is a manifest of DASH.
    pub fn has_dash(&self) -> bool {
        self.made.dash
    }

    /// How often segments could not be moved to the disk, or not in time.
    pub fn spill_failures(&self) -> u64 {
        self.shelf.as_ref().map_or(0, |shelf| shelf.failures())
    }

    /// Whether MPEG-TS is made of it.
    pub(crate) fn has_ts(&self) -> bool {
        self.made.ts
    }

    /// The newest view of MPEG-TS; none before the first segment is complete.
    pub(crate) fn ts_view(&self) -> Option<Arc<HlsView>> {
        self.ts.borrow().view.clone()
    }

    /// The newest view of CMAF; none before the first segment is complete.
    pub fn cmaf_view(&self) -> Option<Arc<CmafView>> {
        self.cmaf.borrow().view.clone()
    }

    /// Waits for the first view; none when the stream ends without one or the deadline passes.
    pub(crate) async fn first_ts_view(&self, deadline: Duration) -> Option<Arc<HlsView>> {
        first(&self.ts, deadline).await
    }

    /// The same of CMAF.
    pub(crate) async fn first_cmaf_view(&self, deadline: Duration) -> Option<Arc<CmafView>> {
        first(&self.cmaf, deadline).await
    }

    /// The track of that name, and what comes of it.
    pub(crate) fn track(&self, name: &str) -> Option<watch::Receiver<Arc<TrackView>>> {
        self.lock_tracks().get(name).map(watch::Sender::subscribe)
    }

    /// These show the same in other sizes.
    pub(crate) fn set_others(&self, others: Vec<Other>) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = others.into();
    }

    /// The playlist of a track, or its delta update, with how far the other streams of the group are.
    pub(crate) fn playlist(&self, view: &TrackView, is_delta: bool) -> Arc<Text> {
        let playlist = if is_delta { view.delta_update() } else { view.playlist() };
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let has_reports = !others.is_empty() && view.reports_others();
        let reports = if has_reports { reports(&others) } else { String::new() };
        self.text(&view.name, is_delta, playlist, reports)
    }

    /// The playlist of MPEG-TS.
    pub(crate) fn ts_playlist(&self, view: &HlsView) -> Arc<Text> {
        self.text(TS, false, view.media_playlist(), String::new())
    }

    fn text(&self, name: &str, is_delta: bool, playlist: &Bytes, reports: String) -> Arc<Text> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |told: &&Told| {
            let known = &told.playlist;
            known.as_ptr() == playlist.as_ptr() && known.len() == playlist.len() && told.reports == reports
        };
        if let Some(told) = texts.get(name).and_then(|[whole, delta]| if is_delta { delta } else { whole }.as_ref())
            && is_it(&told)
        {
            return told.text.clone();
        }
        let is_alone = reports.is_empty();
        let text = Text::kept(if is_alone { playlist.clone() } else { [playlist, reports.as_bytes()].concat().into() });
        let [whole, delta] = texts.entry(name.to_owned()).or_default();
        let place = if is_delta { delta } else { whole };
        *place = Some(Told { playlist: playlist.clone(), reports, text: text.clone() });
        text
    }

    /// What there is of the track of that name now.
    pub(crate) fn track_view(&self, name: &str) -> Option<Arc<TrackView>> {
        self.lock_tracks().get(name).map(|channel| channel.borrow().clone())
    }

    /// Whether the stream ended longer than `keep` ago.
    pub(crate) fn is_stale(&self, keep: Duration) -> bool {
        self.ts.borrow().ended_at.is_some_and(|at| at.elapsed() > keep)
    }

    /// Viewers now: sessions that asked for a playlist lately.
    pub fn viewers(&self) -> usize {
        let expiry = self.session_expiry();
        self.sessions(|sessions| sessions.count(Instant::now(), expiry))
    }

    /// Body bytes sent to viewers so far.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that go to a client.
    pub(crate) fn count_sent(&self, client: u64, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sessions(|sessions| sessions.count_bytes(client, bytes as u64));
    }

    /// Who watches now, by age.
    pub fn list_viewers(&self) -> Vec<SessionInfo> {
        let expiry = self.session_expiry();
        self.sessions(|sessions| sessions.list(Instant::now(), expiry))
    }

    pub(crate) fn open_session(&self) -> String {
        self.sessions(Sessions::open)
    }

    /// A session for a viewer who was let in.
    pub(crate) fn admit_session(self: &Arc<Self>) -> Option<String> {
        let expiry = self.session_expiry();
        let name = self.sessions(|sessions| sessions.admit(Instant::now(), expiry));
        self.sweep_sessions();
        name
    }

    /// Whether a viewer of that session was let in.
    pub(crate) fn knows_session(&self, id: &str) -> bool {
        self.sessions(|sessions| sessions.knows(id, Instant::now()))
    }

    pub(crate) fn touch_session(self: &Arc<Self>, id: &str, client: &Client) {
        let expiry = self.session_expiry();
        let needs_sweeper = self.sessions(|sessions| {
            sessions.touch(id, client, Instant::now(), expiry);
            sessions.needs_sweeper()
        });
        if needs_sweeper {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Sees to it that viewers who stop asking are told to have left, though nobody asks for their number.
    fn sweep_sessions(self: &Arc<Self>) {
        if self.sessions(Sessions::needs_sweeper) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// A player asks again about once per target duration (RFC 8216 §6.3.4); three misses mean that it is gone.
    fn session_expiry(&self) -> Duration {
        let of_cmaf = self.cmaf.borrow().view.as_ref().map(|view| view.target_duration_s);
        let of_ts = self.ts.borrow().view.as_ref().map(|view| view.target_duration_s());
        let target_s = of_cmaf.max(of_ts).unwrap_or(2);
        Duration::from_secs(target_s.clamp(2, 60) * 3)
    }

    fn sessions<T>(&self, body: impl FnOnce(&mut Sessions) -> T) -> T {
        body(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_tracks(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Arc<TrackView>>>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reports(others: &[Other]) -> String {
    let mut text = String::new();
    for other in others {
        let output = other.output.upgrade().filter(|output| !output.is_stale(Duration::ZERO));
        let Some(view) = output.and_then(|output| output.cmaf_view()) else { continue };
        let told = view.tracks.iter().filter(|it| other.has_sound || it.track.kind() == MediaKind::Video);
        told.for_each(|track| track.write_report(&other.base, &mut text));
    }
    text
}

async fn first<View>(sender: &watch::Sender<Shown<View>>, deadline: Duration) -> Option<Arc<View>> {
    // Mostly it is there: then nobody need subscribe, or read a clock.
    if let Some(view) = &sender.borrow().view {
        return Some(view.clone());
    }
    let mut shown = sender.subscribe();
    let settled = shown.wait_for(|shown| shown.view.is_some() || shown.ended_at.is_some());
    tokio::time::timeout(deadline, settled).await.ok()?.ok()?.view.clone()
}

async fn sweep(output: Weak<HlsOutput>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(output) = output.upgrade() else { return };
        let expiry = output.session_expiry();
        if !output.sessions(|sessions| sessions.sweep(Instant::now(), expiry)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use arcly_bus::{LogBounds, LogObserver, LogWriter};

    use super::*;

    /// Writes down who comes and goes.
    #[derive(Default)]
    struct Diary(Mutex<Vec<String>>);

    impl Diary {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl LogObserver for Diary {
        fn lagged(&self, _: u64) {}
        fn evicted(&self, _: u64) {}
        fn joined(&self, protocol: &str) {
            self.0.lock().unwrap().push(format!("{protocol} joined"));
        }
        fn left(&self, protocol: &str) {
            self.0.lock().unwrap().push(format!("{protocol} left"));
        }
    }

    fn output() -> (LogWriter, Arc<Diary>, Arc<HlsOutput>) {
        let diary = Arc::new(Diary::default());
        let writer = LogWriter::new(LogBounds::default(), diary.clone());
        let output = Arc::new(HlsOutput::new(writer.log(), Made { cmaf: true, dash: true, ts: true }, None));
        (writer, diary, output)
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_who_stops_asking_is_told_to_have_left_though_nobody_looks() {
        let (writer, diary, output) = output();
        let name = output.open_session();
        assert!(diary.take().is_empty(), "a name alone is no viewer");
        for _ in 0..3 {
            output.touch_session(&name, &Client::new(([192, 0, 2, 1], 5000).into(), "player"));
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        assert_eq!(diary.take(), ["hls joined"], "once, and still here");
        assert_eq!(writer.log().counters().viewers, 1);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(diary.take(), ["hls left"]);
        assert_eq!(writer.log().counters().viewers, 0);
        output.touch_session(&name, &Client::new(([192, 0, 2, 1], 5000).into(), "player"));
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(diary.take(), ["hls joined", "hls left"], "who comes back is swept again");
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_leave_with_the_stream_and_keep_nothing_of_it() {
        let (writer, diary, output) = output();
        let log = Arc::downgrade(writer.log());
        let name = output.admit_session().unwrap();
        drop(writer);
        output.end(None, None);
        output.touch_session(&name, &Client::new(([192, 0, 2, 1], 5000).into(), "player"));
        assert_eq!(diary.take(), ["hls joined", "hls left"]);
        assert_eq!(output.viewers(), 1, "it reads the end of the playlist");
        assert!(log.upgrade().is_none());
    }
}
