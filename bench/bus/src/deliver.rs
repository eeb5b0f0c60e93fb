//! Deliveries: one thread publishes a batch, then every subscriber reads it, and so on.

use std::{hint::black_box, sync::Arc};

use arcly_bus::{Frame, Publisher, Read, Subscription};
use arcly_stream::{MediaFrame, StreamHandle};
use tokio::sync::broadcast;

use crate::{
    clock::{cpu_ns_of, interleaved},
    row::{Goal, Row},
    stream::{self, Frames, look},
};

const ROUNDS: usize = 15;

/// Deliveries timed at once: milliseconds of work for either side.
const DELIVERIES: usize = 400_000;

pub fn rows() -> Vec<Row> {
    let cases = [(100, 16, 15.0), (1000, 16, 15.0), (100, 1, 6.0), (1000, 1, 6.0)];
    cases.map(|(subscribers, batch, goal)| row(subscribers, batch, goal)).into()
}

fn row(subscribers: usize, batch: usize, goal: f64) -> Row {
    let (mut ours, mut theirs, floor) = (Ours::new(subscribers), Theirs::new(subscribers), Floor::new(batch));
    let laps = DELIVERIES / subscribers / batch;
    let per_delivery = 1.0 / (laps * batch * subscribers) as f64;
    let times = interleaved(
        ROUNDS,
        &mut [
            &mut || cpu_ns_of(|| (0..laps).for_each(|_| ours.lap(batch))) * per_delivery,
            &mut || cpu_ns_of(|| (0..laps).for_each(|_| theirs.lap(batch))) * per_delivery,
            &mut || cpu_ns_of(|| (0..laps * subscribers).for_each(|_| floor.read())) * per_delivery,
        ],
    );
    let how = if batch == 1 { "a frame at a time".to_owned() } else { format!("batches of {batch}") };
    let name = format!("delivery to {subscribers} subscribers, {how}");
    Row::new(name, "ns", times[0], Goal::Ratio(goal)).peer(times[1]).floor(times[2])
}

struct Ours {
    frames: Frames,
    publisher: Publisher,
    subscriptions: Vec<Subscription>,
}

impl Ours {
    fn new(subscribers: usize) -> Self {
        let (mut frames, mut publisher) = (Frames::new(), stream::arcly());
        publisher.publish(frames.arcly()).expect("the stream is open");
        let mut subscriptions: Vec<_> = (0..subscribers).map(|_| publisher.log().subscribe()).collect();
        subscriptions.iter_mut().for_each(|subscription| read(subscription, 1));
        Self { frames, publisher, subscriptions }
    }

    fn lap(&mut self, batch: usize) {
        for _ in 0..batch {
            self.publisher.publish(self.frames.arcly()).expect("the stream is open");
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
    handle: StreamHandle,
    /// Not its `Subscription`, which can only be awaited: the quickest that the peer has.
    receivers: Vec<broadcast::Receiver<Arc<MediaFrame>>>,
}

impl Theirs {
    fn new(subscribers: usize) -> Self {
        let handle = stream::peer();
        let receivers = (0..subscribers).map(|_| handle.subscribe()).collect();
        Self { frames: Frames::new(), handle, receivers }
    }

    fn lap(&mut self, batch: usize) {
        for _ in 0..batch {
            self.handle.publish_frame(self.frames.peer()).expect("the stream is open");
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
struct Floor(Vec<Frame>);

impl Floor {
    fn new(batch: usize) -> Self {
        let mut frames = Frames::new();
        Self((0..batch).map(|_| frames.arcly()).collect())
    }

    fn read(&self) {
        black_box(look_at(black_box(&self.0)));
    }
}
