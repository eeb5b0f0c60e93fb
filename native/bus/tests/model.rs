//! The log against a naive model: random publishing, reading, joining and changing of tracks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(not(loom))]

mod common;

use arcly_bus::{Publisher, Read, Subscription};
use common::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Publish { key: bool },
    Audio,
    Tracks,
    Join,
    Read { reader: usize, max: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(|key| Step::Publish { key }),
        3 => Just(Step::Audio),
        1 => Just(Step::Tracks),
        1 => Just(Step::Join),
        4 => (0..4_usize, 1..200_usize).prop_map(|(reader, max)| Step::Read { reader, max }),
    ]
}

/// All that was ever published: number, is a key frame, revision of the tracks.
#[derive(Default)]
struct Model {
    all: Vec<(u64, bool, u32)>,
}

struct Reader {
    subscription: Subscription,
    /// What it read last, or was at when it joined.
    expected: Option<u64>,
}

fn check(model: &Model, reader: &mut Reader, max: usize) {
    let missed_before = reader.subscription.missed();
    let Read::Frames(batch) = reader.subscription.read(max) else { return };
    assert!(!batch.frames.is_empty() && batch.frames.len() <= max);
    let first = number(&batch.frames[0]);
    match reader.expected {
        Some(expected) if !batch.discontinuity => assert_eq!(first, expected, "no gap, no duplicate"),
        Some(expected) => {
            assert!(first >= expected && model.all[first as usize].1, "a jump goes to a key frame, never back");
        }
        None => assert!(model.all[first as usize].1, "a reader enters at a key frame"),
    }
    for (frame, n) in batch.frames.iter().zip(first..) {
        assert_eq!((number(frame), frame.is_key()), (n, model.all[n as usize].1));
        assert_eq!(batch.tracks.revision, model.all[n as usize].2, "the tracks of frame {n}");
    }
    let (jumped, end) = (batch.discontinuity, first + batch.frames.len() as u64);
    let missed = reader.subscription.missed() - missed_before;
    if let Some(expected) = reader.expected {
        assert!(missed == first - expected || (jumped && missed <= first - expected));
    }
    reader.expected = Some(end);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_agrees_with_the_model(steps in prop::collection::vec(step(), 1..1500)) {
        let mut publisher: Publisher = stream(128, 1 << 20);
        let mut model = Model::default();
        let mut revision = 1;
        let mut readers: Vec<Reader> = Vec::new();
        for step in steps {
            let n = model.all.len() as u64;
            match step {
                Step::Publish { key } => {
                    publisher.publish(frame(VIDEO, n, key)).unwrap();
                    model.all.push((n, key, revision));
                }
                Step::Audio => {
                    publisher.publish(frame(AUDIO, n, false)).unwrap();
                    model.all.push((n, false, revision));
                }
                Step::Tracks => {
                    publisher.set_tracks(vec![video_track(640 + revision), audio_track()]).unwrap();
                    revision += 1;
                }
                Step::Join if readers.len() < 4 => {
                    readers.push(Reader { subscription: publisher.log().subscribe(), expected: None });
                }
                Step::Join => {}
                Step::Read { reader, max } => {
                    if let Some(reader) = readers.get_mut(reader) {
                        check(&model, reader, max);
                    }
                }
            }
        }
        drop(publisher);
        for reader in &mut readers {
            while !matches!(reader.subscription.read(1), Read::Ended) {}
        }
    }
}
