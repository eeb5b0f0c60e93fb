//! What the tasks here have to say to the host: a bounded queue and one waker.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use crate::{lock, play::PlayRequest, publish::PublishRequest};

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

/// Notices that may wait. Past it requests are refused: a host that does not keep up must not make us keep a flood for it.
const INBOX_MAX: usize = 1024;

/// Past it warnings and bugs are dropped, and counted: what strangers are warned of keeps nobody from asking.
const WARNINGS_MAX: usize = INBOX_MAX / 4 * 3;

/// Past it news are dropped, and counted: thousands of viewers that leave at once hide no warning.
const NEWS_MAX: usize = INBOX_MAX / 2;

impl Notice {
    /// Notices that may wait when this one comes.
    fn waiting_max(&self) -> usize {
        match self {
            Self::Publish(_) | Self::Play(_) => INBOX_MAX,
            Self::Warning(_) | Self::Bug(_) => WARNINGS_MAX,
            Self::News(_) => NEWS_MAX,
        }
    }
}

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

    /// Notices dropped because 1024 were waiting; 768 where it was a warning or a bug, 512 where it was news.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Puts a notice in; false when the inbox was full and the notice was dropped.
    pub(crate) fn push(&self, notice: Notice) -> bool {
        let mut queue = self.lock();
        let full = queue.waiting.len() >= notice.waiting_max();
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
        lock(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Context};

    use super::*;
    use crate::play::{PlayAsk, ask};

    #[tokio::test]
    async fn news_and_warnings_leave_room_for_what_is_to_be_decided() {
        let inbox = Inbox::new(Waker::noop().clone());
        (0..INBOX_MAX).for_each(|viewer| inbox.tell(format!("{viewer} left")));
        assert_eq!(inbox.dropped(), (INBOX_MAX - NEWS_MAX) as u64);
        // Found by reading: warnings filled all places, and whoever asked was refused.
        (0..INBOX_MAX).for_each(|viewer| inbox.warn(format!("{viewer} breaks the rules")));
        assert_eq!(inbox.dropped(), (2 * INBOX_MAX - WARNINGS_MAX) as u64);
        let question = PlayAsk {
            key: arcly_bus::StreamKey::new("live", "cam").unwrap(),
            protocol: "hls",
            needs_log: false,
            query: String::new(),
            authorization: String::new(),
            agent: String::new(),
            peer: ([127, 0, 0, 1], 1).into(),
        };
        let answer = pin!(ask(&inbox, question));
        assert!(answer.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "refused without the host");
        assert_eq!(std::iter::from_fn(|| inbox.pop()).count(), WARNINGS_MAX + 1);
    }
}
