//! Whether somebody watches: what is packaged on demand rests while nobody does.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// How exactly it is known when somebody asked last: each request looks, few write.
const EXACT_MS: u64 = 1000;

/// When somebody last asked for anything of a group: of a stream or of what shows the same in other sizes, since players go from one to the other.
pub struct Demand {
    since: Instant,
    /// Milliseconds since then, and one; 0: nobody has asked.
    asked_ms: AtomicU64,
    /// Who waits for an answer.
    open: AtomicUsize,
    asked: Notify,
}

impl Default for Demand {
    fn default() -> Self {
        Self { since: Instant::now(), asked_ms: AtomicU64::new(0), open: AtomicUsize::new(0), asked: Notify::new() }
    }
}

impl Demand {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Somebody asks, as long as what this returns lives.
    pub(crate) fn question(&self) -> Question<'_> {
        self.open.fetch_add(1, Relaxed);
        self.tell();
        Question(self)
    }

    fn tell(&self) {
        let (now, last) = (self.now_ms(), self.asked_ms.load(Relaxed));
        if last == 0 || now.saturating_sub(last) >= EXACT_MS {
            self.asked_ms.store(now, Relaxed);
            self.asked.notify_waiters();
        }
    }

    /// Whether somebody asks, or has within the last `idle`.
    pub(crate) fn is_within(&self, idle: Duration) -> bool {
        let last = self.asked_ms.load(Relaxed);
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX).saturating_add(EXACT_MS);
        self.open.load(Relaxed) > 0 || last > 0 && self.now_ms().saturating_sub(last) < idle_ms
    }

    /// Waits until that is so.
    pub(crate) async fn wanted(&self, idle: Duration) {
        loop {
            let asked = self.asked.notified();
            tokio::pin!(asked);
            // From here on nothing is missed.
            asked.as_mut().enable();
            if self.is_within(idle) {
                return;
            }
            asked.await;
        }
    }
}

/// A question that has no answer yet.
pub(crate) struct Question<'a>(&'a Demand);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.tell();
        self.0.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const IDLE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn it_is_wanted_from_the_first_question_until_a_while_after_the_last() {
        let demand = Arc::new(Demand::default());
        assert!(!demand.is_within(IDLE));
        let waiting = tokio::spawn({
            let demand = demand.clone();
            async move { demand.wanted(IDLE).await }
        });
        tokio::time::sleep(IDLE * 3).await;
        assert!(!waiting.is_finished());
        let question = demand.question();
        waiting.await.unwrap();
        tokio::time::sleep(IDLE * 3).await;
        assert!(demand.is_within(IDLE), "it has no answer yet");
        drop(question);
        for _ in 0..30 {
            tokio::time::sleep(IDLE / 10).await;
            drop(demand.question());
        }
        tokio::time::sleep(IDLE - Duration::from_millis(1)).await;
        assert!(demand.is_within(IDLE));
        tokio::time::sleep(Duration::from_millis(EXACT_MS + 1)).await;
        assert!(!demand.is_within(IDLE));
    }
}
