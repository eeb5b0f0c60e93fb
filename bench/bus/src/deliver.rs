//! Deliveries: one thread publishes a batch, then every subscriber reads it, and so on.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    vec,
};

use arcly_bus::{Frame, Publisher, Read, Subscription};
use arcly_stream::{MediaFrame, StreamHandle};
use tokio::sync::broadcast;

use arcly_bench_report::{Contestant, Goal, Row, cpu_ns_of, interleaved};

use crate::{
    stream::{self, Frames, look},
};

const ROUNDS: usize = 61;

/// Deliveries timed at once: less than a millisecond of work for us, some ten for the peer.
const DELIVERIES: usize = 200_000;

pub fn rows() -> Vec<Row> {
    let laps = |subscribers, batch| Laps { subscribers, batch };
    let cases = [(laps(100, 16), 15.0), (laps(1000, 16), 15.0), (laps(100, 1), 6.0), (laps(1000, 1), 6.0)];
    let times = interleaved(ROUNDS, cases.iter().flat_map(|(laps, _)| laps.contestants()).collect());
    cases.iter().zip(times.chunks(4)).flat_map(|((laps, ratio), times)| laps.rows(*ratio, times)).collect()
}

/// What can be measured.
trait Side {
    /// Makes so many frames before the clock starts: what is measured is the bus and not the making of payloads.
    fn make(&mut self, frames: usize);

    /// Publishes `batch` of them, then has every subscriber read them.
    fn lap(&mut self, batch: usize);
}

#[derive(Clone, Copy)]
struct Laps {
    subscribers: usize,
    batch: usize,
}

impl Laps {
    fn contestants(self) -> [Contestant<'static>; 4] {
        let n = self.subscribers;
        let (mut ours, mut floor) = (Ours::new(n), Floor::new(n));
        let mut theirs = Theirs::new(n, StreamHandle::subscribe_resilient);
        let mut raw = Theirs::new(n, StreamHandle::subscribe);
        [
            Box::new(move || self.ns_per_delivery(&mut ours)),
            Box::new(move || self.ns_per_delivery(&mut theirs)),
            Box::new(move || self.ns_per_delivery(&mut raw)),
            Box::new(move || self.ns_per_delivery(&mut floor)),
        ]
    }

    fn rows(self, ratio: f64, times: &[f64]) -> [Row; 2] {
        let Self { subscribers, batch } = self;
        let how = if batch == 1 { "a frame at a time".to_owned() } else { format!("batches of {batch}") };
        let name = format!("delivery to {subscribers} subscribers, {how}");
        let raw_name = format!("{name}; its raw receiver");
        let row = |name, peer, goal| Row::new(name, "ns", times[0], goal).peer(peer).floor(times[3]);
        [row(name, times[1], Goal::Ratio(ratio)), row(raw_name, times[2], Goal::None)]
    }

    fn ns_per_delivery(self, side: &mut impl Side) -> f64 {
        let Self { subscribers, batch } = self;
        let laps = DELIVERIES / subscribers / batch;
        side.make(laps * batch);
        let ns = cpu_ns_of(|| (0..laps).for_each(|_| side.lap(batch)));
        ns / (laps * batch * subscribers) as f64
    }
}

struct Ours {
    frames: Frames,
    made: vec::IntoIter<Frame>,
    publisher: Publisher,
    subscriptions: Vec<Subscription>,
}

impl Ours {
    fn new(subscribers: usize) -> Self {
        let (mut frames, mut publisher) = (Frames::new(), stream::arcly());
        publisher.publish(frames.arcly()).expect("the stream is open");
        let mut subscriptions: Vec<_> = (0..subscribers).map(|_| publisher.log().subscribe()).collect();
        subscriptions.iter_mut().for_each(|subscription| read(subscription, 1));
        Self { frames, made: vec::IntoIter::default(), publisher, subscriptions }
    }
}

impl Side for Ours {
    fn make(&mut self, frames: usize) {
        self.made = (0..frames).map(|_| self.frames.arcly()).collect::<Vec<_>>().into_iter();
    }

    fn lap(&mut self, batch: usize) {
        for frame in self.made.by_ref().take(batch) {
            self.publisher.publish(frame).expect("the stream is open");
        }
        self.subscriptions.iter_mut().for_each(|subscription| read(subscription, batch));
    }
}

/// All `frames` that were published. They may lie in two chunks. Inlined as the peer's loop is: a call for each read of one frame costs as
/// much as the read.
#[inline(always)]
fn read(subscription: &mut Subscription, mut frames: usize) {
    while frames > 0 {
        let Read::Frames(batch) = subscription.read(frames) else { panic!("frames are waiting") };
        assert!(!batch.discontinuity, "no frame is lost");
        black_box(look_at(batch.frames));
        frames -= batch.frames.len();
    }
}

fn look_at(frames: &[Frame]) -> u64 {
    frames.iter().fold(0, |sum, frame| sum ^ look(frame.pts, &frame.payload))
}

struct Theirs<R> {
    frames: Frames,
    made: vec::IntoIter<MediaFrame>,
    handle: StreamHandle,
    receivers: Vec<R>,
}

/// What the peer has to read with.
trait Receive {
    /// The next frame, which is there.
    fn receive(&mut self) -> Arc<MediaFrame>;
}

/// What it tells its users to take, and what does the same as ours: goes on after a lag, counts, evicts. It can only be awaited; here
/// without a runtime, which is the least that an await costs.
impl Receive for arcly_stream::Subscription {
    fn receive(&mut self) -> Arc<MediaFrame> {
        match pin!(self.recv()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(frame)) => frame,
            _ => panic!("frames are waiting"),
        }
    }
}

/// What lies under that: no lag, no eviction. The quickest that can be had from it.
impl Receive for broadcast::Receiver<Arc<MediaFrame>> {
    fn receive(&mut self) -> Arc<MediaFrame> {
        self.try_recv().expect("frames are waiting")
    }
}

impl<R: Receive> Theirs<R> {
    fn new(subscribers: usize, subscribe: fn(&StreamHandle) -> R) -> Self {
        let handle = stream::peer();
        let receivers = (0..subscribers).map(|_| subscribe(&handle)).collect();
        Self { frames: Frames::new(), made: vec::IntoIter::default(), handle, receivers }
    }
}

impl<R: Receive> Side for Theirs<R> {
    fn make(&mut self, frames: usize) {
        self.made = (0..frames).map(|_| self.frames.peer()).collect::<Vec<_>>().into_iter();
    }

    fn lap(&mut self, batch: usize) {
        for frame in self.made.by_ref().take(batch) {
            self.handle.publish_frame(frame).expect("the stream is open");
        }
        for receiver in &mut self.receivers {
            let mut sum = 0;
            for _ in 0..batch {
                let frame = receiver.receive();
                sum ^= look(frame.pts, &frame.data);
            }
            black_box(sum);
        }
    }
}

/// No bus at all: the same look at the same frames, which lie in a slice.
struct Floor {
    subscribers: usize,
    frames: Vec<Frame>,
    next: usize,
}

impl Floor {
    fn new(subscribers: usize) -> Self {
        Self { subscribers, frames: Vec::new(), next: 0 }
    }
}

impl Side for Floor {
    fn make(&mut self, frames: usize) {
        let mut numbered = Frames::new();
        self.frames = (0..frames).map(|_| numbered.arcly()).collect();
        self.next = 0;
    }

    fn lap(&mut self, batch: usize) {
        let frames = &self.frames[self.next..][..batch];
        self.next += batch;
        for _ in 0..self.subscribers {
            black_box(look_at(black_box(frames)));
        }
    }
}
