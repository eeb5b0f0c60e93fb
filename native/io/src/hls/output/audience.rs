//! Who watches a stream by HLS or DASH, where nobody holds a connection, and what was sent to them.

use std::{
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::HlsOutput;
use crate::hls::{
    sent::Client,
    sessions::{SessionInfo, Sessions},
};

/// So often viewers who stopped asking are looked for, as long as there are any.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl HlsOutput {
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

    pub(super) fn sessions<T>(&self, body: impl FnOnce(&mut Sessions) -> T) -> T {
        body(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    use std::sync::Mutex;

    use arcly_bus::{LogBounds, LogObserver, LogWriter};

    use super::*;
    use crate::hls::output::Made;

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
        let output = Arc::new(HlsOutput::new(writer.log(), Made { cmaf: true, dash: true, ts: true }, None, None));
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
    async fn who_waits_for_the_first_segment_watches() {
        let (writer, diary, output) = output();
        let waiter = tokio::spawn({
            let output = output.clone();
            async move { output.first_cmaf_view(Duration::from_secs(15)).await }
        });
        tokio::time::sleep(Duration::from_secs(14)).await;
        assert_eq!(writer.log().counters().viewers, 1, "a pull on demand would hang up");
        assert!(waiter.await.unwrap().is_none());
        assert_eq!(diary.take(), ["hls joined", "hls left"]);
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
