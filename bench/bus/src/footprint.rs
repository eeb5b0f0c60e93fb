//! Allocations and memory: counted by the allocator, and as the kernel sees them.

use std::{fs, sync::Arc, task::Waker};

use arcly_bus::{CHUNK_FRAMES, Publisher, Subscription, WakeSlot};
use arcly_engine::{AppSpec, EngineOptions, PublishInfo};
use bytes::Bytes;

use arcly_bench_report::{Goal, Row};

use crate::{
    allocator::{calls, live_bytes},
    stream::{self, FRAME_BYTES, Frames},
};

const KIB: f64 = 1024.0;
const STREAMS: usize = 400;
const SUBSCRIPTIONS: usize = 100_000;
const SLEEPERS: usize = 32;

pub fn memory() -> Vec<Row> {
    let (streams, peer_streams) = (idle_streams(), idle_streams_of_peer());
    let (plain, driven, peer_plain) = (subscriptions(), subscriptions_with_slot(), subscriptions_of_peer());
    vec![
        Row::new("idle stream, resident", "KiB", streams.resident / KIB, Goal::AtMost(64.0))
            .peer(peer_streams.resident / KIB),
        Row::new("idle stream, counted", "KiB", streams.counted / KIB, Goal::AtMost(64.0))
            .peer(peer_streams.counted / KIB),
        Row::new("subscription, resident", "bytes", plain.resident, Goal::AtMost(512.0)).peer(peer_plain.resident),
        Row::new("subscription, counted", "bytes", plain.counted, Goal::AtMost(512.0)).peer(peer_plain.counted),
        Row::new("subscription with a wake slot of its own, counted", "bytes", driven.counted, Goal::AtMost(512.0))
            .peer(peer_plain.counted),
        Row::new("asleep for ever, pins", "chunks", chunks_pinned(), Goal::AtMost(1.0)),
    ]
}

/// Bytes for each thing made.
struct Cost {
    counted: f64,
    resident: f64,
}

impl Cost {
    /// Of each of the `count` things that `make` makes.
    fn of<T>(count: usize, make: impl FnMut(usize) -> T) -> Self {
        let mut things = Vec::with_capacity(count);
        let (counted, resident) = (live_bytes(), resident_bytes());
        things.extend((0..count).map(make));
        // The room in the list counts, too: it is where the things are.
        let list = (count * size_of::<T>()) as f64;
        let counted = (live_bytes() - counted) as f64 + list;
        let resident = resident_bytes() - resident;
        // For good: the next measurement must not find memory that is resident already.
        std::mem::forget(things);
        Self { counted: counted / count as f64, resident: resident / count as f64 }
    }
}

/// Physical memory of this process, proc_pid_status(5).
fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN);
    kib * KIB
}

fn idle_streams() -> Cost {
    let options = EngineOptions { max_publishers: STREAMS, default_app: Some(AppSpec::default()), clock: || 0 };
    let engine = arcly_engine::Engine::new(options);
    let cost = Cost::of(STREAMS, |n| {
        let key = arcly_bus::StreamKey::new("live", &n.to_string()).expect("the name is valid");
        let (mut publisher, stream) = engine.start_publish(key, PublishInfo::default()).expect("the key is free");
        publisher.set_tracks(vec![stream::track()]).expect("the stream is open");
        (publisher, stream)
    });
    drop(engine);
    cost
}

fn idle_streams_of_peer() -> Cost {
    use arcly_stream::{AppSpec, Engine, PublishRegistry, StreamKey};
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let engine = Engine::builder().application(AppSpec::new("live")).build();
    Cost::of(STREAMS, |n| {
        let key = StreamKey::new("live", n.to_string());
        runtime.block_on(engine.start_publish(&key)).expect("the key is free")
    })
}

fn subscriptions() -> Cost {
    let publisher = stream::arcly();
    Cost::of(SUBSCRIPTIONS, |_| publisher.log().subscribe())
}

/// As many as an event loop has in Python today: a slot for each.
fn subscriptions_with_slot() -> Cost {
    let publisher = stream::arcly();
    // Every new slot replaces the list of slots: with fewer this takes less than a second.
    Cost::of(SUBSCRIPTIONS / 50, |_| {
        (publisher.log().subscribe(), WakeSlot::new(publisher.log(), Waker::noop().clone()))
    })
}

fn subscriptions_of_peer() -> Cost {
    let handle = stream::peer();
    Cost::of(SUBSCRIPTIONS, |_| handle.subscribe_resilient())
}

/// What a subscriber that never reads keeps from being freed, in full chunks.
fn chunks_pinned() -> f64 {
    let chunk = {
        let mut publisher = stream::arcly();
        publish_fresh(&mut publisher, CHUNK_FRAMES);
        let before = live_bytes();
        publish_fresh(&mut publisher, CHUNK_FRAMES);
        live_bytes() - before
    };
    let without = kept_with(0);
    let with = kept_with(SLEEPERS);
    (with - without) as f64 / SLEEPERS as f64 / chunk as f64
}

/// What a stream holds after so many subscribers have fallen asleep, each in a chunk of its own.
fn kept_with(sleepers: usize) -> isize {
    let before = live_bytes();
    let mut publisher = stream::arcly();
    let mut asleep: Vec<Subscription> = Vec::with_capacity(SLEEPERS);
    for n in 0..SLEEPERS {
        publish_fresh(&mut publisher, 2 * CHUNK_FRAMES);
        asleep.extend((n < sleepers).then(|| publisher.log().subscribe()));
    }
    publish_fresh(&mut publisher, 64 * CHUNK_FRAMES);
    live_bytes() - before
}

/// Publishes frames whose payloads are nobody else's.
fn publish_fresh(publisher: &mut Publisher, frames: usize) {
    let mut numbers = Frames::new();
    for _ in 0..frames {
        let payload = Bytes::from(vec![0; FRAME_BYTES]);
        let frame = arcly_bus::Frame { payload, ..numbers.arcly() };
        publisher.publish(frame).expect("the stream is open");
    }
}

pub fn allocations() -> Vec<Row> {
    let name = "allocations of a publish, beyond the payload and the chunk";
    vec![Row::new(name, "calls", ours_per_publish(), Goal::AtMost(0.0)).peer(peers_per_publish()).floor(0.0)]
}

/// Publishes counted, and before them as many as fill the ring.
const COUNTED: usize = 100 * CHUNK_FRAMES;

fn ours_per_publish() -> f64 {
    let (mut frames, mut publisher) = (Frames::new(), stream::arcly());
    let mut publish = || (0..COUNTED).for_each(|_| publisher.publish(frames.arcly()).expect("the stream is open"));
    publish();
    let before = calls();
    publish();
    let chunks = COUNTED / CHUNK_FRAMES;
    (calls() - before - chunks) as f64 / COUNTED as f64
}

fn peers_per_publish() -> f64 {
    let (mut frames, handle) = (Frames::new(), stream::peer());
    let _receiver = Arc::new(handle.subscribe());
    let mut publish = || (0..COUNTED).for_each(|_| drop(handle.publish_frame(frames.peer())));
    publish();
    let before = calls();
    publish();
    (calls() - before) as f64 / COUNTED as f64
}
