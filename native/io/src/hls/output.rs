//! What viewers of one stream are given: the newest view, who is watching, how much was sent.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arcly_pack::hls::HlsView;
use tokio::{sync::watch, time::Instant};

use crate::hls::sessions::Sessions;

/// The HLS of one publish.
pub struct HlsOutput {
    view: watch::Sender<Shown>,
    sessions: Mutex<Sessions>,
    sent_bytes: AtomicU64,
}

#[derive(Clone, Default)]
struct Shown {
    view: Option<Arc<HlsView>>,
    /// When the stream ended.
    ended_at: Option<Instant>,
}

impl HlsOutput {
    pub(crate) fn new() -> Self {
        let view = watch::Sender::new(Shown::default());
        Self { view, sessions: Mutex::default(), sent_bytes: AtomicU64::new(0) }
    }

    pub(crate) fn show(&self, view: Option<Arc<HlsView>>) {
        self.view.send_modify(|shown| shown.view = view);
    }

    pub(crate) fn end(&self, view: Option<Arc<HlsView>>) {
        self.view.send_replace(Shown { view, ended_at: Some(Instant::now()) });
    }

    /// The newest view; none before the first segment is complete.
    pub(crate) fn view(&self) -> Option<Arc<HlsView>> {
        self.view.borrow().view.clone()
    }

    /// Waits for the first view; none when the stream ends without one or the deadline passes.
    pub(crate) async fn first_view(&self, deadline: Duration) -> Option<Arc<HlsView>> {
        let mut shown = self.view.subscribe();
        let settled = shown.wait_for(|shown| shown.view.is_some() || shown.ended_at.is_some());
        tokio::time::timeout(deadline, settled).await.ok()?.ok()?.view.clone()
    }

    /// Whether the stream ended longer than `keep` ago.
    pub(crate) fn is_stale(&self, keep: Duration) -> bool {
        self.view.borrow().ended_at.is_some_and(|at| at.elapsed() > keep)
    }

    /// Viewers now: sessions that asked for the playlist lately.
    pub fn viewers(&self) -> usize {
        let expiry = self.session_expiry();
        self.sessions(|sessions| sessions.count(Instant::now(), expiry))
    }

    /// Body bytes sent to viewers so far.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn open_session(&self) -> String {
        self.sessions(Sessions::open)
    }

    /// A session for a viewer who was let in.
    pub(crate) fn admit_session(&self) -> Option<String> {
        let expiry = self.session_expiry();
        self.sessions(|sessions| sessions.admit(Instant::now(), expiry))
    }

    /// Whether a viewer of that session was let in.
    pub(crate) fn knows_session(&self, id: &str) -> bool {
        let expiry = self.session_expiry();
        self.sessions(|sessions| sessions.knows(id, Instant::now(), expiry))
    }

    pub(crate) fn touch_session(&self, id: &str) {
        let expiry = self.session_expiry();
        self.sessions(|sessions| sessions.touch(id, Instant::now(), expiry));
    }

    /// A player asks again about once per target duration (RFC 8216 §6.3.4); three misses mean that it is gone.
    fn session_expiry(&self) -> Duration {
        let target_s = self.view().map_or(2, |view| view.target_duration_s());
        Duration::from_secs(target_s.clamp(2, 60) * 3)
    }

    fn sessions<T>(&self, body: impl FnOnce(&mut Sessions) -> T) -> T {
        body(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
