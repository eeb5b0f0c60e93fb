//! What viewers of one stream are given.
//!
//! - here: the newest views, and the wait for the first ones.
//! - `audience`: who is watching, how much was sent.
//! - `playlists`: views as text, with what is said of other streams.

mod audience;
mod playlists;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use arcly_bus::Log;
use arcly_pack::{
    cmaf::{CmafView, TrackView},
    hls::HlsView,
};
use tokio::{sync::watch, time::Instant};

pub(crate) use self::playlists::{Other, Playlists};
use crate::{
    hls::{demand::Question, file::File, groups::Group, sessions::Sessions, spill::Shelf},
    http::quick::pages::Hot,
};

/// The HLS and DASH of one publish.
pub struct HlsOutput {
    ts: watch::Sender<Shown<HlsView>>,
    cmaf: watch::Sender<Shown<CmafView>>,
    /// A channel for each track: who waits for a part of one is not woken for those of the others.
    tracks: Mutex<HashMap<String, watch::Sender<Arc<TrackView>>>>,
    made: Made,
    shelf: Option<Arc<Shelf>>,
    playlists: Playlists,
    hot: Hot,
    /// Of what is packaged on demand: whom to tell that somebody watches.
    demand: Option<Arc<Group>>,
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

struct Shown<View> {
    view: Option<Arc<View>>,
    end: Option<End>,
}

/// Of a stream that has ended.
#[derive(Clone, Copy)]
struct End {
    at: Instant,
    /// How long it can still be had from then on.
    keep: Duration,
}

/// How long the playlist of an ended stream can be had at least: players must come to read its ENDLIST.
const ENDED_KEEP: Duration = Duration::from_secs(60);

impl End {
    /// Whoever has read the playlist can play all of it: segments that are listed last are fetched when those in front of them are over
    /// (RFC 8216bis §6.2.2).
    fn now(cmaf: Option<&CmafView>, ts: Option<&HlsView>) -> Self {
        let seconds = cmaf.map_or(0.0, CmafView::window_s).max(ts.map_or(0.0, HlsView::window_s));
        let listed = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Self { at: Instant::now(), keep: ENDED_KEEP.max(listed) }
    }
}

impl<View> Shown<View> {
    fn nothing() -> watch::Sender<Self> {
        watch::Sender::new(Self { view: None, end: None })
    }
}

impl HlsOutput {
    /// Nothing yet, made of `log`.
    pub(crate) fn new(log: &Arc<Log>, made: Made, shelf: Option<Arc<Shelf>>, demand: Option<Arc<Group>>) -> Self {
        Self {
            ts: Shown::nothing(),
            cmaf: Shown::nothing(),
            tracks: Mutex::default(),
            made,
            shelf,
            playlists: Playlists::default(),
            hot: Hot::default(),
            demand,
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

    /// Somebody watches it, or another of its group: asks for something, as long as what this returns lives.
    pub(crate) fn question(&self) -> Option<Question<'_>> {
        self.demand.as_ref().map(|group| group.demand.question())
    }

    /// Whether it is packaged only while somebody watches.
    pub(crate) fn is_on_demand(&self) -> bool {
        self.demand.is_some()
    }

    /// Nobody watches: as before the first view.
    pub(crate) fn rest(&self) {
        self.show_cmaf(None);
        self.show(None);
        self.lock_tracks().clear();
        self.hot.clear();
    }

    pub(crate) fn end(&self, cmaf: Option<Arc<CmafView>>, ts: Option<Arc<HlsView>>) {
        if let Some(view) = &cmaf {
            self.show_tracks(view);
        }
        let end = Some(End::now(cmaf.as_deref(), ts.as_deref()));
        self.cmaf.send_replace(Shown { view: cmaf, end });
        self.ts.send_replace(Shown { view: ts, end });
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
        self.first(&self.ts, deadline).await
    }

    /// The same of CMAF.
    pub(crate) async fn first_cmaf_view(&self, deadline: Duration) -> Option<Arc<CmafView>> {
        self.first(&self.cmaf, deadline).await
    }

    async fn first<View>(&self, sender: &watch::Sender<Shown<View>>, deadline: Duration) -> Option<Arc<View>> {
        // Mostly it is there: then nobody need subscribe, or read a clock.
        if let Some(view) = &sender.borrow().view {
            return Some(view.clone());
        }
        // Who waits watches already, though it has no session yet: a stream that was begun on demand is to stay for it.
        let _viewer = self.sessions(|sessions| sessions.viewer());
        tokio::time::timeout(deadline, settled(sender)).await.ok()?
    }

    /// Waits until there is CMAF, or the stream has ended, for who asked for another rendition: that is no viewer of this one.
    pub(crate) async fn cmaf_settled(&self) {
        settled(&self.cmaf).await;
    }

    /// The track of that name, and what comes of it.
    pub(crate) fn track(&self, name: &str) -> Option<watch::Receiver<Arc<TrackView>>> {
        self.lock_tracks().get(name).map(watch::Sender::subscribe)
    }

    /// What is said of it, and of those that show the same in other sizes.
    pub(crate) fn playlists(&self) -> &Playlists {
        &self.playlists
    }

    /// What there is of the track of that name now.
    pub(crate) fn track_view(&self, name: &str) -> Option<Arc<TrackView>> {
        self.lock_tracks().get(name).map(|channel| channel.borrow().clone())
    }

    /// Whether the stream ended longer than `keep` ago.
    pub(crate) fn is_stale(&self, keep: Duration) -> bool {
        self.ts.borrow().end.is_some_and(|end| end.at.elapsed() > keep)
    }

    /// Whether it ended so long ago that nobody plays it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ts.borrow().end.is_some_and(|end| end.at.elapsed() > end.keep)
    }

    /// Whether `file` is one of its segments, or a key of them: these have names that no other publish uses.
    pub(crate) fn has_own(&self, file: &File) -> bool {
        match file {
            File::Cmaf(name) => self.cmaf_view().is_some_and(|view| view.owner(name).is_some()),
            File::TsSegment(name) => self.ts_view().is_some_and(|view| view.segment(name).is_some()),
            File::Key(name) => {
                self.cmaf_view().is_some_and(|view| view.key(name).is_some())
                    || self.ts_view().is_some_and(|view| view.key(name).is_some())
            }
            _ => false,
        }
    }

    fn lock_tracks(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Arc<TrackView>>>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn settled<View>(sender: &watch::Sender<Shown<View>>) -> Option<Arc<View>> {
    let mut shown = sender.subscribe();
    let settled = shown.wait_for(|shown| shown.view.is_some() || shown.end.is_some());
    settled.await.ok()?.view.clone()
}
