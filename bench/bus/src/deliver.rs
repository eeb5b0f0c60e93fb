//! Deliveries: one thread publishes a batch, then every subscriber reads it, and so on.

use std::{hint::black_box, sync::Arc, vec};

use arcly_bus::{Frame, Publisher, Read, Subscription};
use arcly_stream::{MediaFrame, StreamHandle};
use tokio::sync::broadcast;

use crate::{
    clock::{Contestant, cpu_ns_of, interleaved},
    row::{Goal, Row},
    stream::{self, Frames, look},
};

const ROUNDS: usize = 61;

/// Deliveries timed at once: less than a millisecond of work for us, some ten for the peer.
const DELIVERIES: usize = 200_000;

pub fn rows() -> Vec<Row> {
    let laps = |subscribers, batch| Laps { subscribers, batch };
    let cases = [(laps(100, 16), 15.0), (laps(1000, 16), 15.0), (laps(100, 1), 6.0), (laps(1000, 1), 6.0)];
    let times = interleaved(ROUNDS, cases.iter().flat_map(|(laps, _)| laps.contestants()).collect());
    cases.iter().zip(times.chunks(3)).map(|((laps, ratio), times)| laps.row(*ratio, times)).collect()
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
    fn contestants(self) -> [Contestant<'static>; 3] {
        let (mut ours, mut theirs) = (Ours::new(self.subscribers), Theirs::new(self.subscribers));
        let mut floor = Floor::new(self.subscribers);
        [
            Box::new(move || self.ns_per_delivery(&mut ours)),
            Box::new(move || self.ns_per_delivery(&mut theirs)),
            Box::new(move || self.ns_per_delivery(&mut floor)),
        ]
    }

    fn row(self, ratio: f64, times: &[f64]) -> Row {
        let Self { subscribers, batch } = self;
        let how = if batch == 1 { "a frame at a time".to_owned() } else { format!("batches of {batch}") };
        let name = format!("delivery to {subscribers} subscribers, {how}");
        Row::new(name, "ns", times[0], Goal::Ratio(ratio)).peer(times[1]).floor(times[2])
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

/// All `frames` that were published. They may lie in two chunks.
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

struct Theirs {
    frames: Frames,
    made: vec::IntoIter<MediaFrame>,
    handle: StreamHandle,
    /// Not its `Subscription`, which can only be awaited: the quickest that the peer has.
    receivers: Vec<broadcast::Receiver<Arc<MediaFrame>>>,
}

impl Theirs {
    fn new(subscribers: usize) -> Self {
        let handle = stream::peer();
        let receivers = (0..subscribers).map(|_| handle.subscribe()).collect();
        Self { frames: Frames::new(), made: vec::IntoIter::default(), handle, receivers }
    }
}

impl Side for Theirs {
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
                let frame = receiver.try_recv().expect("frames are waiting");
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
