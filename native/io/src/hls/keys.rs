//! Keys that the host has, fetched before they are needed: it may take its time, and the media do not wait.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arcly_pack::hls::{KEY_BYTES, KeySource};
use tokio::runtime::Handle;

type Bytes = [u8; KEY_BYTES];

/// Asks the host for the key of a number; none when it has failed. Called on a thread that may wait.
pub type Fetch = Box<dyn Fn(u64) -> Option<Bytes> + Send + Sync>;

/// Keys kept for tracks that are a few segments behind.
const KEPT_MAX: usize = 8;
/// Questions at a time: the next key, and one that is late.
const ASKED_MAX: usize = 2;

/// Keys of the host.
pub struct FetchedKeys {
    runtime: Handle,
    fetch: Arc<Fetch>,
    state: Mutex<State>,
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    /// The one that was asked for last is at the end.
    known: VecDeque<(u64, Bytes)>,
    asked: BTreeSet<u64>,
}

impl State {
    fn ask(&mut self, number: u64) -> Option<Bytes> {
        let at = self.known.iter().position(|(known, _)| *known == number)?;
        let (_, bytes) = self.known.remove(at)?;
        self.known.push_back((number, bytes));
        Some(bytes)
    }
}

impl FetchedKeys {
    /// Begins with key 0; the others are fetched one ahead.
    pub fn new(runtime: &Handle, first: Bytes, fetch: Fetch) -> Arc<Self> {
        let state = State { known: [(0, first)].into(), ..State::default() };
        Arc::new_cyclic(|this| Self {
            runtime: runtime.clone(),
            fetch: Arc::new(fetch),
            state: Mutex::new(state),
            this: this.clone(),
        })
    }

    /// Asks the host, unless that is known or being asked.
    fn want(&self, number: u64) {
        let mut state = self.lock();
        let is_known = state.ask(number).is_some();
        if is_known || state.asked.len() >= ASKED_MAX || !state.asked.insert(number) {
            return;
        }
        drop(state);
        let (fetch, this) = (self.fetch.clone(), self.this.clone());
        self.runtime.spawn_blocking(move || {
            let found = fetch(number);
            if let Some(this) = this.upgrade() {
                this.found(number, found);
            }
        });
    }

    fn found(&self, number: u64, found: Option<Bytes>) {
        let mut state = self.lock();
        state.asked.remove(&number);
        state.known.extend(found.map(|bytes| (number, bytes)));
        // Not by their numbers: those of a track that came late are the smallest, for ever.
        if state.known.len() > KEPT_MAX {
            state.known.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeySource for FetchedKeys {
    fn key(&self, number: u64) -> Option<Bytes> {
        let found = self.lock().ask(number);
        self.want(if found.is_some() { number.saturating_add(1) } else { number });
        found
    }
}

impl fmt::Debug for FetchedKeys {
    /// Without the keys: this may come into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use super::*;

    async fn eventually(mut is_it: impl FnMut() -> bool) {
        let polls = async {
            while !is_it() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), polls).await.unwrap();
    }

    #[tokio::test]
    async fn the_next_key_is_there_before_it_is_needed_and_one_that_failed_is_asked_for_again() {
        let asked = Arc::new(AtomicU64::new(0));
        let counter = asked.clone();
        let fetch = move |number: u64| {
            let failed = number == 2 && counter.fetch_add(1, Ordering::Relaxed) < 2;
            (!failed).then(|| [u8::try_from(number).unwrap(); KEY_BYTES])
        };
        let keys = FetchedKeys::new(&Handle::current(), [0; KEY_BYTES], Box::new(fetch));
        assert_eq!(keys.key(0), Some([0; KEY_BYTES]));
        eventually(|| keys.lock().known.iter().any(|(known, _)| *known == 1)).await;
        assert_eq!(keys.key(1), Some([1; KEY_BYTES]));
        eventually(|| keys.key(2).is_some()).await;
        assert!(asked.load(Ordering::Relaxed) >= 3);
    }

    /// Found by a reader: the key was let go of as soon as it was there, and asked for again and again.
    #[tokio::test]
    async fn a_track_that_comes_late_is_given_the_keys_that_others_have_left_behind() {
        let fetch = |number: u64| Some([u8::try_from(number).unwrap(); KEY_BYTES]);
        let keys = FetchedKeys::new(&Handle::current(), [0; KEY_BYTES], Box::new(fetch));
        for number in 0..12 {
            eventually(|| keys.key(number).is_some()).await;
        }
        for number in 0..3 {
            eventually(|| keys.key(number) == fetch(number)).await;
            assert!(keys.lock().known.len() <= KEPT_MAX);
        }
        assert_eq!(keys.key(11), fetch(11), "those that are needed now stay");
    }

    /// Found by a reader: the next key of the leading track put that of the late one out.
    #[tokio::test]
    async fn a_track_that_came_late_has_each_key_when_it_is_due_while_others_go_on() {
        let fetch = |number: u64| Some([u8::try_from(number).unwrap(); KEY_BYTES]);
        let keys = FetchedKeys::new(&Handle::current(), [0; KEY_BYTES], Box::new(fetch));
        for first in [0, 20] {
            eventually(|| keys.key(first).is_some()).await;
        }
        for late in 0..20 {
            for number in [late, 20 + late] {
                assert_eq!(keys.key(number), fetch(number));
                eventually(|| keys.lock().asked.is_empty()).await;
            }
        }
    }

    #[tokio::test]
    async fn a_host_that_never_answers_is_asked_twice_at_most() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let fetch = move |_: u64| {
            let _ = wait.lock().unwrap().recv();
            None
        };
        let keys = FetchedKeys::new(&Handle::current(), [0; KEY_BYTES], Box::new(fetch));
        (1..100).for_each(|number| assert_eq!(keys.key(number), None));
        assert_eq!(keys.lock().asked.len(), ASKED_MAX);
        drop(release);
    }
}
