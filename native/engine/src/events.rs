//! What happened to streams, told to any number of listeners through bounded queues.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::Waker,
};

use arcly_bus::{StreamKey, TrackSet};

use crate::lock;

/// Events of publishers, and as many of readers, that a listener may leave unread; then the oldest are dropped and counted. Ten
/// thousand viewers who leave with their stream must not take away the word of the next one.
const EVENT_QUEUE_MAX: usize = 1024;

/// Something that happened to a stream.
#[derive(Debug, Clone)]
pub struct StreamEvent {
    /// The stream.
    pub key: StreamKey,
    /// When, in milliseconds of Unix time.
    pub at_unix_ms: u64,
    /// What.
    pub kind: StreamEventKind,
}

/// What can happen to a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StreamEventKind {
    /// A publisher has taken the key. Frames and tracks may follow.
    PublishStarted,
    /// The publisher is gone; the stream waits for it to come back.
    PublishInterrupted {
        /// Why, for people.
        reason: String,
    },
    /// A publisher has come back within the grace time and goes on in the same stream.
    PublishResumed,
    /// The first frame under these tracks was published.
    TracksChanged(Arc<TrackSet>),
    /// The stream is over and the key is free.
    PublishEnded {
        /// Why, for people.
        reason: String,
    },
    /// A slow reader was made to skip.
    SubscriberLagged {
        /// Frames skipped this time.
        missed: u64,
    },
    /// A reader has missed more than it may, and reads nothing any more.
    SubscriberEvicted {
        /// Frames missed in all.
        missed: u64,
    },
    /// The GOP has outgrown the bounds of the stream: joiners wait for the next key frame. Once in a GOP.
    GopTruncated,
    /// Somebody watches from now on.
    SubscriberJoined {
        /// How: `hls`, `python`.
        protocol: String,
    },
    /// Somebody does not watch any more.
    SubscriberLeft {
        /// How: `hls`, `python`.
        protocol: String,
    },
    /// A recording of the stream has begun.
    RecordingStarted {
        /// Where it goes, for people.
        detail: String,
    },
    /// A recording is complete, or was given up.
    RecordingEnded {
        /// What came of it, for people.
        detail: String,
    },
    /// A transcoder has begun to make renditions of the stream.
    TranscodingStarted {
        /// Which, for people.
        detail: String,
    },
    /// A transcoder has ended its renditions.
    TranscodingEnded {
        /// Why, for people.
        detail: String,
    },
    /// Something that belongs to the stream has failed; the stream itself goes on.
    Failed {
        /// What and why, for people.
        detail: String,
    },
}

impl StreamEventKind {
    fn is_of_reader(&self) -> bool {
        use StreamEventKind::{SubscriberEvicted, SubscriberJoined, SubscriberLagged, SubscriberLeft};
        matches!(
            self,
            SubscriberJoined { .. } | SubscriberLeft { .. } | SubscriberLagged { .. } | SubscriberEvicted { .. }
        )
    }
}

/// The events of an engine, as one listener sees them: oldest first, none twice.
pub struct EventQueue {
    state: Mutex<Queue>,
    waker: Waker,
}

#[derive(Default)]
struct Queue {
    /// Of readers, and all others; each with its place among all.
    of_readers: VecDeque<(u64, StreamEvent)>,
    others: VecDeque<(u64, StreamEvent)>,
    told: u64,
    dropped: u64,
}

impl Queue {
    fn pop(&mut self) -> Option<StreamEvent> {
        let place = |queue: &VecDeque<(u64, _)>| queue.front().map_or(u64::MAX, |(place, _)| *place);
        let oldest =
            if place(&self.others) < place(&self.of_readers) { &mut self.others } else { &mut self.of_readers };
        oldest.pop_front().map(|(_, event)| event)
    }

    fn push(&mut self, event: StreamEvent) {
        let queue = if event.kind.is_of_reader() { &mut self.of_readers } else { &mut self.others };
        if queue.len() == EVENT_QUEUE_MAX {
            queue.pop_front();
            self.dropped += 1;
        }
        queue.push_back((self.told, event));
        self.told += 1;
    }
}

impl EventQueue {
    /// The oldest unread event.
    pub fn pop(&self) -> Option<StreamEvent> {
        self.lock().pop()
    }

    /// Events dropped since the beginning because this listener left more than 1024 of publishers unread, or of readers.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.state)
    }

    fn push(&self, event: StreamEvent) {
        self.lock().push(event);
        self.waker.wake_by_ref();
    }
}

/// All listeners of an engine; a listener is gone when its queue is dropped.
#[derive(Default)]
pub(crate) struct EventHub {
    queues: Mutex<Vec<Weak<EventQueue>>>,
}

impl EventHub {
    pub(crate) fn subscribe(&self, waker: Waker) -> Arc<EventQueue> {
        let queue = Arc::new(EventQueue { state: Mutex::default(), waker });
        lock(&self.queues).push(Arc::downgrade(&queue));
        queue
    }

    pub(crate) fn emit(&self, event: &StreamEvent) {
        let mut queues = lock(&self.queues);
        queues.retain(|queue| queue.upgrade().inspect(|queue| queue.push(event.clone())).is_some());
    }
}
