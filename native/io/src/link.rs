//! A connection to another server that is kept up: its state, and when it is tried again.
//!
//! ```text
//! connecting ──▶ running ──▶ (lost) ──▶ waiting ──▶ connecting …      stopped, failed: final
//! ```

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
    task::Waker,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Inbox, clock::unix_ms, lock};

/// What a link is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It connects, or waits for the remote's consent and the first media.
    Connecting,
    /// Media flows.
    Running,
    /// It will try again.
    Waiting,
    /// It was stopped, or the stream has ended. Final.
    Stopped,
    /// It has given up, see [`LinkStatus::last_error`]. Final.
    Failed,
}

impl LinkState {
    /// `connecting`, `running` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// A look at a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// What it is doing.
    pub state: LinkState,
    /// When it began to, in milliseconds of Unix time.
    pub since_unix_ms: u64,
    /// Why the last connection was lost or refused, in the remote's words where it gave any. Stays when a later one succeeds.
    pub last_error: Option<String>,
    /// Connections that were tried after the first.
    pub retries: u64,
    /// Frames that came or went.
    pub frames: u64,
    /// Bytes of media that came, or of all that went.
    pub bytes: u64,
    /// Frames that were not sent because the remote was too slow; by UDP, datagrams that were not sent too.
    pub skipped: u64,
    /// Where it goes, without what is secret: as the host gave it, or where the remote has sent it.
    pub remote: String,
}

/// So often in a row a remote may ask to connect again before each further time is a failure.
const MOVES_MAX: u64 = 10;

/// When a lost connection is tried again: after `first`, then twice as long each time up to `max`, less up to half of it by chance, so that
/// a server that comes back is not met by all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first retry. Default 0.5 s.
    pub first: Duration,
    /// Before any retry at most. Default 30 s.
    pub max: Duration,
    /// A connection that has run for so long makes the next retry a first one again. Default 10 s.
    pub healthy: Duration,
    /// Retries in a row after which the link has failed, those not counted that the remote asked for, ten in a row at most. Default
    /// none: it tries for ever.
    pub retries_max: Option<u64>,
}

impl Default for Backoff {
    fn default() -> Self {
        let (first, max) = (Duration::from_millis(500), Duration::from_secs(30));
        Self { first, max, healthy: Duration::from_secs(10), retries_max: None }
    }
}

impl Backoff {
    /// How long to wait after so many connections in a row, the last one included; `random` is any number.
    fn delay(&self, connections: u64, random: u64) -> Duration {
        // 2^20 × 0 s is still 0 s, and everything else has reached `max` by then.
        let doublings = connections.saturating_sub(1).min(20) as u32;
        let whole = self.first.saturating_mul(1 << doublings).min(self.max);
        let share = (random % 1_000) as u32;
        whole - whole * share / 2_000
    }
}

/// A link, shared by the task that keeps it up and whoever looks at it.
pub struct Link {
    status: Mutex<LinkStatus>,
    /// When media began to flow, while it does.
    running_since: Mutex<Option<Instant>>,
    on_change: Waker,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A stream that is pulled or pushed. Dropping it stops its link.
pub struct LinkGuard(Arc<Link>);

impl LinkGuard {
    /// How it is, and how to stop it.
    pub fn link(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// How one connection of a link ended.
#[derive(Debug)]
pub(crate) enum End {
    /// There is nothing left to do.
    Done,
    /// The remote asked to come again.
    Moved,
    /// The remote wants to be told something else: at once, since it takes another connection. A session says this a few times at most.
    Again,
}

/// What a link does each time that it is connected.
pub(crate) trait Session: Send {
    /// Connects and goes on until the connection ends; soon after [`Link::stopped`] with [`End::Done`]. An error is a sentence.
    fn run(&mut self, link: &Link) -> impl Future<Output = Result<End, String>> + Send;

    /// What is to be done between two connections; never returns. Nothing is lost when the future is dropped.
    fn linger(&mut self) -> impl Future<Output = ()> + Send;
}

impl Link {
    /// Keeps `session` up in a task of its own, until it is done, stopped, or the guard dropped. `name` is for the lines in `inbox`;
    /// `on_change` is called after each change of state.
    pub(crate) fn spawn(
        runtime: &Handle,
        name: &impl fmt::Display,
        backoff: Backoff,
        inbox: Arc<Inbox>,
        on_change: Waker,
        mut session: impl Session + 'static,
    ) -> LinkGuard {
        let name = name.to_string();
        let link = Arc::new(Self::new(name.clone(), on_change));
        let ours = link.clone();
        let keeping = {
            let inbox = inbox.clone();
            runtime.spawn(async move { ours.keep_up(&mut session, &backoff, &inbox).await })
        };
        let ours = link.clone();
        link.tasks.spawn_on(
            async move {
                if keeping.await.is_err_and(|error| error.is_panic()) {
                    inbox.report_bug(format!("a bug in arcly ended the connection to {name}; please report it"));
                    ours.enter(LinkState::Failed, Some("a bug in arcly".into()));
                }
            },
            runtime,
        );
        link.tasks.close();
        LinkGuard(link)
    }

    fn new(remote: String, on_change: Waker) -> Self {
        let status = LinkStatus {
            state: LinkState::Connecting,
            since_unix_ms: unix_ms(),
            last_error: None,
            retries: 0,
            frames: 0,
            bytes: 0,
            skipped: 0,
            remote,
        };
        Self {
            status: Mutex::new(status),
            running_since: Mutex::default(),
            on_change,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// How it is.
    pub fn status(&self) -> LinkStatus {
        lock(&self.status).clone()
    }

    /// Asks it to end, in order.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Resolves when its task has ended.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Resolves when it was asked to end.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// It connects to this place now, which may be where the remote has sent it.
    pub(crate) fn goes_to(&self, place: &impl fmt::Display) {
        lock(&self.status).remote = place.to_string();
    }

    /// Media flows.
    pub(crate) fn running(&self) {
        let mut since = lock(&self.running_since);
        if since.is_none() {
            *since = Some(Instant::now());
            drop(since);
            self.enter(LinkState::Running, None);
        }
    }

    /// Media has ceased to flow, while whoever waits for it goes on to do so.
    pub(crate) fn lost(&self) {
        if lock(&self.running_since).take().is_some() {
            self.enter(LinkState::Connecting, None);
        }
    }

    /// Counts what has come or gone since the last call.
    pub(crate) fn count(&self, frames: u64, bytes: u64, skipped: u64) {
        let mut status = lock(&self.status);
        status.frames += frames;
        status.bytes += bytes;
        status.skipped += skipped;
    }

    fn enter(&self, state: LinkState, error: Option<String>) {
        let mut status = lock(&self.status);
        (status.state, status.since_unix_ms) = (state, unix_ms());
        if error.is_some() {
            status.last_error = error;
        }
        drop(status);
        self.on_change.wake_by_ref();
    }

    async fn keep_up(&self, session: &mut impl Session, backoff: &Backoff, inbox: &Inbox) {
        let random = RandomState::new();
        // In a row: all, which are waited for longer and longer, and those that failed.
        let (mut connections, mut failures, mut moves) = (0_u64, 0_u64, 0_u64);
        loop {
            self.enter(LinkState::Connecting, None);
            let end = session.run(self).await;
            let ran = lock(&self.running_since).take().map(|since| since.elapsed());
            let (error, has_failed) = match end {
                Ok(End::Done) => return self.enter(LinkState::Stopped, None),
                Ok(End::Again) => continue,
                // Two that send to one another would do so for ever.
                Ok(End::Moved) => {
                    moves += 1;
                    ("the remote asked to connect again".to_owned(), moves > MOVES_MAX)
                }
                Err(error) => (error, true),
            };
            if ran.is_some_and(|ran| ran >= backoff.healthy) {
                (connections, failures, moves) = (0, 0, 0);
            }
            let name = self.status().remote;
            if has_failed && backoff.retries_max.is_some_and(|max| failures >= max) {
                inbox.warn(format!("{name}: {error}; given up after {failures} retries"));
                return self.enter(LinkState::Failed, Some(error));
            }
            connections += 1;
            failures += u64::from(has_failed);
            let delay = backoff.delay(connections, random.hash_one(connections));
            inbox.warn(format!("{name}: {error}; again in {:.1} s", delay.as_secs_f64()));
            self.enter(LinkState::Waiting, Some(error));
            tokio::select! {
                () = sleep(delay) => {}
                () = session.linger() => {}
                () = self.stopped() => return self.enter(LinkState::Stopped, None),
            }
            lock(&self.status).retries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends at once, or after it has run for the time that stands in the list.
    struct Script {
        runs: Vec<Option<Duration>>,
        began: Vec<Instant>,
    }

    impl Session for &mut Script {
        async fn run(&mut self, link: &Link) -> Result<End, String> {
            self.began.push(Instant::now());
            let Some(run) = self.runs.get(self.began.len() - 1).copied() else { return Ok(End::Done) };
            if let Some(run) = run {
                link.running();
                sleep(run).await;
            }
            Err("refused: the key is wrong".into())
        }

        async fn linger(&mut self) {
            std::future::pending().await
        }
    }

    async fn gaps(runs: Vec<Option<Duration>>, backoff: Backoff) -> (Vec<Duration>, LinkStatus) {
        let mut script = Script { runs, began: Vec::new() };
        let link = Link::new("remote".into(), Waker::noop().clone());
        link.keep_up(&mut &mut script, &backoff, &Inbox::new(Waker::noop().clone())).await;
        let pairs = script.began.iter().zip(script.began.iter().skip(1)).zip(&script.runs);
        let gaps = pairs.map(|((a, b), run)| *b - *a - run.unwrap_or_default());
        (gaps.collect(), link.status())
    }

    /// Asks so many times to connect again, then refuses.
    struct Restless(u64);

    impl Session for &mut Restless {
        async fn run(&mut self, _: &Link) -> Result<End, String> {
            self.0 = self.0.checked_sub(1).ok_or("refused: the key is wrong")?;
            Ok(End::Moved)
        }

        async fn linger(&mut self) {
            std::future::pending().await
        }
    }

    /// Found by reading: a link that may not be tried again gave up when its remote asked it to come again.
    #[tokio::test(start_paused = true)]
    async fn to_connect_again_when_asked_to_is_no_failure() {
        let (link, backoff) =
            (Link::new("remote".into(), Waker::noop().clone()), Backoff { retries_max: Some(0), ..Backoff::default() });
        let (mut restless, began) = (Restless(3), Instant::now());
        link.keep_up(&mut &mut restless, &backoff, &Inbox::new(Waker::noop().clone())).await;
        let status = link.status();
        assert_eq!((status.state, status.retries), (LinkState::Failed, 3));
        assert_eq!(status.last_error.as_deref(), Some("refused: the key is wrong"));
        assert!(began.elapsed() >= Duration::from_millis(250 + 500 + 1_000), "less and less often");
    }

    /// Two remotes that send to one another.
    #[tokio::test(start_paused = true)]
    async fn to_be_asked_without_end_is_a_failure() {
        let (link, backoff) =
            (Link::new("remote".into(), Waker::noop().clone()), Backoff { retries_max: Some(2), ..Backoff::default() });
        link.keep_up(&mut &mut Restless(100), &backoff, &Inbox::new(Waker::noop().clone())).await;
        let status = link.status();
        assert_eq!((status.state, status.retries), (LinkState::Failed, MOVES_MAX + 2));
        assert_eq!(status.last_error.as_deref(), Some("the remote asked to connect again"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_met_with_longer_and_longer_waits() {
        let (gaps, status) = gaps(vec![None; 10], Backoff::default()).await;
        for (n, gap) in gaps.iter().enumerate() {
            let whole = Duration::from_millis(500).saturating_mul(1 << n).min(Duration::from_secs(30));
            assert!(*gap >= whole / 2 && *gap <= whole + Duration::from_millis(2), "{n}: {gap:?} of {whole:?}");
        }
        assert_eq!((status.state, status.retries), (LinkState::Stopped, 10));
        assert_eq!(status.last_error.as_deref(), Some("refused: the key is wrong"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_well_for_a_while_is_tried_again_soon() {
        let well = Some(Duration::from_secs(11));
        let (gaps, _) = gaps(vec![None, None, None, None, None, well], Backoff::default()).await;
        assert!(gaps[4] >= Duration::from_secs(4), "{gaps:?}");
        assert!(gaps[5] <= Duration::from_millis(502), "{gaps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_where_that_was_asked_for() {
        let backoff = Backoff { retries_max: Some(3), ..Backoff::default() };
        let (gaps, status) = gaps(vec![None; 10], backoff).await;
        assert_eq!((gaps.len(), status.state, status.retries), (3, LinkState::Failed, 3));
    }

    #[test]
    fn chance_takes_up_to_half_and_no_wait_overflows() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0), Duration::from_millis(500));
        assert_eq!(backoff.delay(1, 999), Duration::from_micros(250_250));
        assert_eq!(backoff.delay(u64::MAX, 0), Duration::from_secs(30));
    }
}
