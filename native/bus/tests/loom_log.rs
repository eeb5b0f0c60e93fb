//! The log under a model checker: every interleaving, up to a bound, of one writer and its readers.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p arcly-bus --test loom_log` (`make loom`). A chunk holds two frames here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(loom)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use arcly_bus::{Read, Subscription, WakeSlot};
use common::*;

/// Reads to the end; how many frames were read. Every frame must hold what was written, in order.
fn read_all(mut subscription: Subscription) -> u64 {
    let (mut seen, mut last) = (0, None);
    loop {
        match subscription.read(8) {
            Read::Frames(batch) => {
                for frame in batch.frames {
                    let n = number(frame);
                    assert!(last.is_none_or(|last| n > last));
                    (last, seen) = (Some(n), seen + 1);
                }
            }
            Read::Empty => loom::thread::yield_now(),
            Read::Ended | Read::Evicted => return seen + subscription.missed(),
        }
    }
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

#[test]
fn received_plus_missed_is_published() {
    model(2, || {
        // Four frames kept, five published: the reader may or may not be overtaken.
        let mut publisher = stream(2, 1 << 20);
        let reader = publisher.log().subscribe();
        let reading = loom::thread::spawn(move || read_all(reader));
        for n in 0..5 {
            publisher.publish(frame(VIDEO, n, n % 2 == 0)).unwrap();
        }
        drop(publisher);
        assert_eq!(reading.join().unwrap(), 5);
    });
}

#[test]
fn a_late_joiner_finds_a_key_frame_and_no_gap() {
    model(2, || {
        let mut publisher = stream(8, 1 << 20);
        let log = publisher.log().clone();
        publisher.publish(frame(VIDEO, 0, true)).unwrap();
        let joining = loom::thread::spawn(move || {
            let mut reader = log.subscribe();
            let mut last = None;
            loop {
                match reader.read(8) {
                    Read::Frames(batch) => {
                        for frame in batch.frames {
                            let n = number(frame);
                            assert!(last.map_or(frame.is_key(), |last| n == last + 1));
                            last = Some(n);
                        }
                    }
                    Read::Empty => loom::thread::yield_now(),
                    Read::Ended | Read::Evicted => return last,
                }
            }
        });
        publisher.publish(frame(VIDEO, 1, false)).unwrap();
        publisher.publish(frame(VIDEO, 2, true)).unwrap();
        drop(publisher);
        assert_eq!(joining.join().unwrap(), Some(2));
    });
}

#[test]
fn a_reader_that_waits_for_pictures_that_do_not_come_gets_sound_and_no_picture_before_its_key() {
    model(2, || {
        let mut publisher = stream(8, 1 << 20);
        let mut reader = publisher.log().subscribe();
        let reading = loom::thread::spawn(move || {
            let (mut seen, mut has_key) = (Vec::new(), false);
            loop {
                match reader.read(8) {
                    Read::Frames(batch) => {
                        for frame in batch.frames {
                            has_key |= frame.is_key();
                            assert!(frame.track == AUDIO || has_key);
                            seen.push(number(frame));
                        }
                    }
                    Read::Empty => loom::thread::yield_now(),
                    Read::Ended | Read::Evicted => return seen,
                }
            }
        });
        // Sound is entered at every second frame, behind two without a picture.
        for n in 0..3 {
            publisher.publish(frame(AUDIO, n, false)).unwrap();
        }
        publisher.publish(frame(VIDEO, 3, false)).unwrap();
        publisher.publish(frame(VIDEO, 4, true)).unwrap();
        drop(publisher);
        let seen = reading.join().unwrap();
        assert!(seen == [2, 4] || seen == [4], "{seen:?}: the entry may be marked when it has passed that frame");
    });
}

#[test]
fn a_close_during_a_read_ends_the_read() {
    model(3, || {
        let mut publisher = stream(8, 1 << 20);
        let log = publisher.log().clone();
        let reader = log.subscribe();
        let closing = loom::thread::spawn(move || log.close());
        let published = u64::from(publisher.publish(frame(VIDEO, 0, true)).is_ok());
        closing.join().unwrap();
        assert!(read_all(reader) <= published);
    });
}

struct Flag(AtomicUsize);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Ordering::SeqCst);
    }
}

#[test]
fn an_armed_reader_sees_the_frame_or_is_woken() {
    model(3, || {
        let mut publisher = stream(8, 1 << 20);
        let mut reader = publisher.log().subscribe();
        let flag = Arc::new(Flag(AtomicUsize::new(0)));
        let slot = WakeSlot::new(publisher.log(), Waker::from(flag.clone()));
        let publishing = loom::thread::spawn(move || {
            publisher.publish(frame(VIDEO, 0, true)).unwrap();
            publisher
        });
        slot.arm();
        let seen = matches!(reader.read(1), Read::Frames(_));
        drop(publishing.join().unwrap());
        assert!(seen || flag.0.load(Ordering::SeqCst) == 1, "the frame was neither seen nor announced");
    });
}

#[test]
fn a_reader_armed_for_pictures_sees_the_picture_or_is_woken() {
    model(3, || {
        let mut publisher = stream(8, 1 << 20);
        let mut reader = publisher.log().subscribe();
        let flag = Arc::new(Flag(AtomicUsize::new(0)));
        let slot = WakeSlot::for_pictures(publisher.log(), Waker::from(flag.clone()));
        let publishing = loom::thread::spawn(move || {
            publisher.publish(frame(VIDEO, 0, true)).unwrap();
            publisher
        });
        slot.arm();
        let seen = matches!(reader.read(1), Read::Frames(_));
        drop(publishing.join().unwrap());
        assert!(seen || flag.0.load(Ordering::SeqCst) == 1, "the frame was neither seen nor announced");
    });
}

#[test]
fn who_comes_behind_sees_the_frame_or_is_woken_by_the_leader() {
    model(3, || {
        let mut publisher = stream(8, 1 << 20);
        let log = publisher.log().clone();
        let mut reader = log.subscribe();
        let flags: Vec<_> = (0..2).map(|_| Arc::new(Flag(AtomicUsize::new(0)))).collect();
        let leading = WakeSlot::for_pictures(&log, Waker::from(flags[0].clone())).leading();
        let behind = WakeSlot::for_pictures(&log, Waker::from(flags[1].clone())).behind();
        let publishing = loom::thread::spawn(move || {
            publisher.publish(frame(VIDEO, 0, true)).unwrap();
            publisher
        });
        let lead = flags[0].clone();
        // As a task does that was woken for something else, and once more where it is woken for the frame.
        let leads = loom::thread::spawn(move || {
            leading.arm();
            leading
        });
        behind.arm();
        let seen = matches!(reader.read(1), Read::Frames(_));
        let (publisher, leading) = (publishing.join().unwrap(), leads.join().unwrap());
        if lead.0.load(Ordering::SeqCst) == 1 {
            leading.arm();
        }
        assert!(seen || flags[1].0.load(Ordering::SeqCst) == 1, "the frame was neither seen nor announced");
        drop(publisher);
    });
}

#[test]
fn an_armed_reader_sees_the_end_or_is_woken() {
    model(3, || {
        let publisher = stream(8, 1 << 20);
        let mut reader = publisher.log().subscribe();
        let flag = Arc::new(Flag(AtomicUsize::new(0)));
        let slot = WakeSlot::new(publisher.log(), Waker::from(flag.clone()));
        let closing = loom::thread::spawn(move || publisher.log().close());
        slot.arm();
        let seen = matches!(reader.read(1), Read::Ended);
        closing.join().unwrap();
        assert!(seen || flag.0.load(Ordering::SeqCst) == 1, "the end was neither seen nor announced");
    });
}
