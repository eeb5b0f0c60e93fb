//! `publish` while subscribers wait: the publisher and all readers are tasks of one runtime on one thread, which is what wakes them at
//! the least cost.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use arcly_bus::{Log, Publisher, Read, Subscription, WakeSlot};
use arcly_stream::StreamHandle;
use tokio::{runtime, task};

use arcly_bench_report::{Contestant, Goal, Row, Stopwatch, interleaved};

use crate::{
    stream::{self, Frames},
};

const MANY: usize = 4096;
const ROUNDS: usize = 9;

/// Publishes timed in a round; the peer's with many waiting takes a millisecond each, and its readers take more.
const PUBLISHES: usize = 40;

pub fn rows() -> Vec<Row> {
    let (mut one, mut shared, mut separate) = (Ours::new(1, 1), Ours::new(1, MANY), Ours::new(MANY, 1));
    let (mut peer_one, mut peer_many) = (Theirs::new(1), Theirs::new(MANY));
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| one.publish_ns()),
        Box::new(|| shared.publish_ns()),
        Box::new(|| separate.publish_ns()),
        Box::new(|| peer_one.publish_ns()),
        Box::new(|| peer_many.publish_ns()),
    ];
    let times = interleaved(ROUNDS, contestants);
    let [one, shared, separate, peer_one, peer_many] = times[..] else { unreachable!("five were measured") };
    let peer_times = peer_many / peer_one;
    let name = |how: &str| format!("publish, {MANY} waiting: {how}");
    let times = |how: &str| format!("publish, {MANY} waiting / one waiting: {how}");
    vec![
        Row::new("publish, one subscriber waiting", "ns", one, Goal::None).peer(peer_one),
        Row::new(name("one loop drives all"), "ns", shared, Goal::None).peer(peer_many),
        Row::new(name("a task each"), "ns", separate, Goal::None).peer(peer_many),
        Row::new(times("one loop drives all"), "times", shared / one, Goal::AtMost(2.0)).peer(peer_times),
        Row::new(times("a task each"), "times", separate / one, Goal::None).peer(peer_times),
    ]
}

/// Frames that all readers together have read.
type Seen = Rc<Cell<usize>>;

struct Tasks {
    runtime: runtime::Runtime,
    local: task::LocalSet,
    seen: Seen,
}

impl Tasks {
    fn new() -> Self {
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        Self { runtime, local: task::LocalSet::new(), seen: Seen::default() }
    }

    /// Runs the readers until each has read everything; then all wait.
    async fn settle(seen: &Seen, expected: usize) {
        while seen.get() < expected {
            task::yield_now().await;
        }
        // The last one has read and may not have armed yet.
        task::yield_now().await;
    }

    /// Times [`PUBLISHES`] publishes, each with `readers` waiting readers.
    fn time(&self, readers: usize, mut publish: impl FnMut(&mut Stopwatch)) -> f64 {
        let mut stopwatch = Stopwatch::new();
        self.local.block_on(&self.runtime, async {
            for _ in 0..PUBLISHES {
                let expected = self.seen.get() + readers;
                publish(&mut stopwatch);
                Self::settle(&self.seen, expected).await;
            }
        });
        stopwatch.median_ns()
    }
}

struct Ours {
    tasks: Tasks,
    frames: Frames,
    publisher: Publisher,
    readers: usize,
}

impl Ours {
    /// So many tasks, each of which drives so many subscriptions with one wake slot.
    fn new(loops: usize, subscriptions: usize) -> Self {
        let (tasks, mut frames, mut publisher) = (Tasks::new(), Frames::new(), stream::arcly());
        publisher.publish(frames.arcly()).expect("the stream is open");
        for _ in 0..loops {
            tasks.local.spawn_local(Driver::new(publisher.log(), subscriptions, tasks.seen.clone()).run());
        }
        let readers = loops * subscriptions;
        tasks.local.block_on(&tasks.runtime, Tasks::settle(&tasks.seen, readers));
        Self { tasks, frames, publisher, readers }
    }

    fn publish_ns(&mut self) -> f64 {
        self.tasks.time(self.readers, |stopwatch| {
            let frame = self.frames.arcly();
            stopwatch.time(|| self.publisher.publish(frame)).expect("the stream is open");
        })
    }
}

/// An event loop or a pump in small: many subscriptions to one stream, woken through one slot.
struct Driver {
    log: Arc<Log>,
    subscriptions: Vec<Subscription>,
    seen: Seen,
    slot: Option<WakeSlot>,
}

impl Driver {
    fn new(log: &Arc<Log>, subscriptions: usize, seen: Seen) -> Self {
        let subscriptions = (0..subscriptions).map(|_| log.subscribe()).collect();
        Self { log: log.clone(), subscriptions, seen, slot: None }
    }

    fn run(mut self) -> impl Future<Output = ()> {
        poll_fn(move |context| self.poll(context))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.drain();
        let slot = self.slot.get_or_insert_with(|| WakeSlot::new(&self.log, context.waker().clone()));
        slot.arm();
        // What was published before the arming wakes nobody.
        self.drain();
        Poll::Pending
    }

    fn drain(&mut self) {
        for subscription in &mut self.subscriptions {
            while let Read::Frames(batch) = subscription.read(16) {
                self.seen.update(|seen| seen + batch.frames.len());
            }
        }
    }
}

struct Theirs {
    tasks: Tasks,
    frames: Frames,
    handle: StreamHandle,
    readers: usize,
}

impl Theirs {
    fn new(readers: usize) -> Self {
        let (tasks, handle) = (Tasks::new(), stream::peer());
        for _ in 0..readers {
            let (mut receiver, seen) = (handle.subscribe(), tasks.seen.clone());
            tasks.local.spawn_local(async move {
                while receiver.recv().await.is_ok() {
                    seen.update(|seen| seen + 1);
                }
            });
        }
        Self { tasks, frames: Frames::new(), handle, readers }
    }

    fn publish_ns(&mut self) -> f64 {
        self.tasks.time(self.readers, |stopwatch| {
            let frame = self.frames.peer();
            stopwatch.time(|| self.handle.publish_frame(frame)).expect("the stream is open");
        })
    }
}
