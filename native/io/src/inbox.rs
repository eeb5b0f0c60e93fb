//! What the tasks here have to say to the host: a bounded queue and one waker.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use crate::{play::PlayRequest, publish::PublishRequest};

/// Something for the host to decide or to log.
pub enum Notice {
    /// Somebody asks to publish.
    Publish(PublishRequest),
    /// Somebody asks to play.
    Play(PlayRequest),
    /// What has happened, as it should: one line, without the time.
    News(String),
    /// Something a person may want to know: one line, without the time.
    Warning(String),
    /// A bug of ours showed: one line.
    Bug(String),
}

/// Notices that may wait. Past it requests are refused and warnings dropped (and counted): a host that does not keep up must
/// not make us keep a flood for it.
const INBOX_MAX: usize = 1024;

/// Past it news are dropped, and counted: thousands of viewers that leave at once keep nobody from asking.
const NEWS_MAX: usize = INBOX_MAX / 2;

/// A bounded queue from the tasks here to the host.
pub struct Inbox {
    queue: Mutex<Queue>,
    waker: Waker,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Notice>,
    dropped: u64,
}

impl Inbox {
    /// An empty inbox; `waker` is called after each notice, from any thread.
    pub fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), waker })
    }

    /// The oldest notice.
    pub fn pop(&self) -> Option<Notice> {
        self.lock().waiting.pop_front()
    }

    /// Notices dropped because 1024 were waiting, or 512 where it was news.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Puts a notice in; false when the inbox was full and the notice was dropped.
    pub(crate) fn push(&self, notice: Notice) -> bool {
        let max = if matches!(notice, Notice::News(_)) { NEWS_MAX } else { INBOX_MAX };
        let mut queue = self.lock();
        let full = queue.waiting.len() >= max;
        if full {
            queue.dropped += 1;
        } else {
            queue.waiting.push_back(notice);
        }
        drop(queue);
        self.waker.wake_by_ref();
        !full
    }

    pub(crate) fn tell(&self, text: String) {
        self.push(Notice::News(text));
    }

    pub(crate) fn warn(&self, text: String) {
        self.push(Notice::Warning(text));
    }

    pub(crate) fn report_bug(&self, text: String) {
        self.push(Notice::Bug(text));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_leave_room_for_what_is_to_be_decided() {
        let inbox = Inbox::new(Waker::noop().clone());
        (0..INBOX_MAX).for_each(|viewer| inbox.tell(format!("{viewer} left")));
        assert_eq!(inbox.dropped(), (INBOX_MAX - NEWS_MAX) as u64);
        assert!(inbox.push(Notice::Warning(String::new())));
        assert_eq!(std::iter::from_fn(|| inbox.pop()).count(), NEWS_MAX + 1);
    }
}
