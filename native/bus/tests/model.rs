//! The log against a naive model: random publishing, reading, joining with and without filters, lagging, eviction, changes of tracks and of
//! publishers, and the end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(not(loom))]

mod common;

use std::sync::{Arc, Mutex};

use arcly_bus::{
    BusError, LogBounds, LogWriter, Publisher, PublisherHooks, Read, Subscription, SubscriptionOptions, TrackFilter,
    TrackId, TrackSet,
};
use common::*;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Video {
        key: bool,
    },
    Audio,
    /// Many frames of sound without a picture.
    Dark,
    Tracks,
    Successor,
    Close,
    Join {
        tracks: Option<TrackId>,
        max_lag: Option<u64>,
    },
    Leave,
    Read {
        reader: usize,
        max: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let tracks = prop_oneof![4 => Just(None), 1 => Just(Some(VIDEO)), 1 => Just(Some(AUDIO))];
    let max_lag = prop_oneof![2 => Just(None), 1 => (0..400_u64).prop_map(Some)];
    prop_oneof![
        2 => Just(Step::Video { key: true }),
        60 => Just(Step::Video { key: false }),
        30 => Just(Step::Audio),
        1 => Just(Step::Dark),
        2 => Just(Step::Tracks),
        1 => Just(Step::Successor),
        3 => (tracks, max_lag).prop_map(|(tracks, max_lag)| Step::Join { tracks, max_lag }),
        1 => Just(Step::Leave),
        8 => (0..READERS_MAX, 1..200_usize).prop_map(|(reader, max)| Step::Read { reader, max }),
    ]
}

fn bounds() -> impl Strategy<Value = LogBounds> {
    let gop_frames = prop_oneof![1 => Just(None), 1 => (1..700_usize).prop_map(Some)];
    (1..400_usize, gop_frames, prop_oneof![1 => Just(None), 1 => (0..1000_u64).prop_map(Some)]).prop_map(
        |(frames, gop_frames, max_lag)| LogBounds { frames, bytes: 1 << 20, gop_frames, gop_bytes: None, max_lag },
    )
}

const READERS_MAX: usize = 4;

/// Frames of sound behind which pictures are not waited for any more, with two tracks.
const ABSENT: u64 = 96;

/// There is an entry at one in so many of them.
const SOUND_RUN: u64 = 32;

/// A frame as it was published; its place is its number.
struct Sent {
    track: TrackId,
    key: bool,
    revision: u32,
}

#[derive(Default)]
struct Model {
    all: Vec<Sent>,
    closed: bool,
}

impl Model {
    /// The frame at which a reader of everything enters: the newest key frame while its GOP is within `frames`.
    fn entry(&self, frames: usize) -> Option<u64> {
        let key = self.all.iter().rposition(|sent| sent.key)?;
        (self.all.len() - key <= frames).then_some(key as u64)
    }

    /// Whether frame `n` is sound, and pictures are not waited for any more there.
    fn is_dark(&self, n: u64) -> bool {
        n >= ABSENT && self.all[(n - ABSENT) as usize..=n as usize].iter().all(|sent| sent.track == AUDIO)
    }
}

struct Reader {
    subscription: Subscription,
    tracks: Option<TrackId>,
    max_lag: Option<u64>,
    /// Where it must begin, when that was known as it joined; else not before `joined`.
    entry: Option<u64>,
    joined: u64,
    /// The number behind the last frame that it read; none before the first.
    next: Option<u64>,
    received: u64,
    missed_before: u64,
    /// It began with sound, and gets no picture before a key.
    awaits_picture: bool,
    /// Pictures that it did not get by that.
    left_out: u64,
}

impl Reader {
    fn join(log: &Arc<arcly_bus::Log>, model: &Model, bounds: LogBounds, step: (Option<TrackId>, Option<u64>)) -> Self {
        let (tracks, max_lag) = step;
        let filter = tracks.map_or(TrackFilter::ALL, |id| TrackFilter::only([id]));
        let subscription =
            log.subscribe_with(SubscriptionOptions { max_lag, tracks: filter, ..SubscriptionOptions::default() });
        let entry = model.entry(bounds.gop_frames.unwrap_or(bounds.frames));
        let (max_lag, joined) = (max_lag.or(bounds.max_lag), model.all.len() as u64);
        Self {
            subscription,
            tracks,
            max_lag,
            entry,
            joined,
            next: None,
            received: 0,
            missed_before: 0,
            awaits_picture: false,
            left_out: 0,
        }
    }

    fn wants(&self, sent: &Sent) -> bool {
        self.tracks.is_none_or(|id| id == sent.track)
    }

    /// Reads once; false when nothing came.
    fn read(&mut self, model: &Model, max: usize) -> bool {
        let (tracks, may_miss) = (self.tracks, self.max_lag.unwrap_or(u64::MAX));
        let batch = match self.subscription.read(max) {
            Read::Frames(batch) => batch,
            Read::Evicted => {
                assert!(self.subscription.missed() > may_miss, "evicted and has not missed more than {may_miss}");
                return false;
            }
            Read::Ended => {
                assert!(model.closed);
                return false;
            }
            Read::Empty => {
                assert!(!model.closed && self.subscription.missed() <= may_miss);
                return false;
            }
        };
        assert!(!batch.frames.is_empty() && batch.frames.len() <= max);
        let (first, len, jumped) = (number(&batch.frames[0]), batch.frames.len() as u64, batch.discontinuity);
        let ends_wait = batch.frames.iter().any(|frame| frame.track == VIDEO);
        for (frame, n) in batch.frames.iter().zip(first..) {
            let sent = &model.all[n as usize];
            assert_eq!((number(frame), frame.track, frame.is_key()), (n, sent.track, sent.key));
            assert_eq!(batch.tracks.revision, sent.revision, "the tracks of frame {n}");
            assert!(tracks.is_none_or(|id| id == sent.track), "a track that is not read");
        }
        assert!(self.subscription.missed() <= may_miss, "nothing is read after an eviction");
        self.follows(model, first, jumped);
        assert!(!self.awaits_picture || !ends_wait || model.all[first as usize].key, "a picture before its key");
        self.awaits_picture &= !ends_wait;
        (self.next, self.received) = (Some(first + len), self.received + len);
        true
    }

    /// Whether `first` is what has to come.
    fn follows(&mut self, model: &Model, first: u64, jumped: bool) {
        let enters_anywhere = self.tracks == Some(AUDIO);
        let is_dark = model.is_dark(first);
        let is_entry = model.all[first as usize].key || enters_anywhere || is_dark;
        let missed = self.subscription.missed() - self.missed_before;
        let mut left_out = 0;
        // Who reads all frames sees the break itself.
        let is_break = jumped && missed == 0 && (self.tracks.is_some() || self.awaits_picture);
        match self.next {
            None => {
                assert!(is_entry, "a reader enters at a key frame");
                match self.entry {
                    Some(entry) if self.tracks != Some(AUDIO) && !jumped => assert_eq!(first, entry, "the newest"),
                    Some(entry) => assert!(first >= entry),
                    None if is_dark => assert!(first + SOUND_RUN >= self.joined, "not from long ago"),
                    None => assert!(first >= self.joined, "nothing was kept to begin with"),
                }
                self.awaits_picture = is_dark;
            }
            Some(next) if jumped && !is_break => {
                assert!(first >= next && is_entry, "a jump goes to an entry, never back");
                // Pictures that it had passed over before it jumped.
                left_out = if self.awaits_picture { (first - next).saturating_sub(missed) } else { 0 };
                self.awaits_picture = is_dark;
            }
            Some(next) => {
                let skipped = &model.all[next as usize..first as usize];
                let may_skip = |sent: &Sent| self.awaits_picture && sent.track == VIDEO && !sent.key;
                assert!(!skipped.iter().any(|sent| self.wants(sent) && !may_skip(sent)), "a gap: {next} to {first}");
                left_out = skipped.len() as u64;
            }
        }
        self.missed_before += missed;
        let Some(next) = self.next else { return };
        self.left_out += left_out;
        match self.tracks {
            None => assert_eq!(missed + left_out, first - next, "what is not received is missed, or cannot be decoded"),
            Some(_) => assert!(missed <= first - next && (jumped || missed == 0)),
        }
    }
}

/// Keeps the writer of a publisher that leaves.
struct Keep(Arc<Mutex<Option<LogWriter>>>);

impl PublisherHooks for Keep {
    fn tracks_changed(&mut self, _: &Arc<TrackSet>) {}
    fn gop_truncated(&mut self) {}
    fn ended(&mut self, _: &str, writer: LogWriter) {
        *self.0.lock().unwrap() = Some(writer);
    }
}

struct Run {
    bounds: LogBounds,
    model: Model,
    revision: u32,
    readers: Vec<Reader>,
    kept: Arc<Mutex<Option<LogWriter>>>,
    publisher: Option<Publisher>,
}

impl Run {
    fn new(bounds: LogBounds) -> Self {
        let kept = Arc::default();
        let writer = LogWriter::new(bounds, Arc::new(()));
        let publisher = Some(Publisher::new(writer, Box::new(Keep(Arc::clone(&kept)))));
        let mut run = Self { bounds, model: Model::default(), revision: 0, readers: Vec::new(), kept, publisher };
        run.tracks();
        run
    }

    fn publisher(&mut self) -> &mut Publisher {
        self.publisher.as_mut().unwrap()
    }

    fn publish(&mut self, track: TrackId, key: bool) {
        let n = self.model.all.len() as u64;
        let (closed, revision) = (self.model.closed, self.revision);
        let result = self.publisher().publish(frame(track, n, key));
        assert_eq!(result, if closed { Err(BusError::Closed) } else { Ok(()) });
        if !closed {
            self.model.all.push(Sent { track, key, revision });
        }
    }

    fn tracks(&mut self) {
        let width = 640 + self.revision;
        let result = self.publisher().set_tracks(vec![video_track(width), audio_track()]);
        assert_eq!(result.is_err(), self.model.closed);
        self.revision += u32::from(result.is_ok());
    }

    fn successor(&mut self) {
        drop(self.publisher.take());
        let mut writer = self.kept.lock().unwrap().take().unwrap();
        writer.resume(std::time::Duration::from_millis(1));
        self.publisher = Some(Publisher::new(writer, Box::new(Keep(Arc::clone(&self.kept)))));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Video { key } => self.publish(VIDEO, key),
            Step::Audio => self.publish(AUDIO, false),
            Step::Dark => (0..2 * ABSENT).for_each(|_| self.publish(AUDIO, false)),
            Step::Tracks => self.tracks(),
            Step::Successor => self.successor(),
            Step::Close => {
                self.publisher().log().close();
                self.model.closed = true;
            }
            Step::Join { tracks, max_lag } if self.readers.len() < READERS_MAX => {
                let log = self.publisher().log().clone();
                self.readers.push(Reader::join(&log, &self.model, self.bounds, (tracks, max_lag)));
            }
            Step::Join { .. } => {}
            Step::Leave => drop(self.readers.pop()),
            Step::Read { reader, max } => {
                if let Some(reader) = self.readers.get_mut(reader) {
                    reader.read(&self.model, max);
                }
            }
        }
        assert_eq!(self.publisher().log().counters().viewers, self.readers.len() as u64);
    }

    /// Reads everything that is left and settles the accounts.
    fn finish(mut self) {
        self.take(Step::Close);
        let published = self.model.all.len() as u64;
        for mut reader in self.readers {
            let first = reader.next.map(|next| next - reader.received - reader.missed_before - reader.left_out);
            let evicted = loop {
                if !reader.read(&self.model, 7) {
                    break matches!(reader.subscription.read(7), Read::Evicted);
                }
            };
            if let (Some(first), None, false) = (first, reader.tracks, evicted) {
                let accounted = reader.received + reader.subscription.missed() + reader.left_out;
                assert!(accounted == published - first || reader.awaits_picture, "received + missed = published");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_agrees_with_the_model(
        bounds in bounds(),
        steps in prop::collection::vec(step(), 1..3000),
        after in prop::collection::vec(step(), 0..20),
    ) {
        let mut run = Run::new(bounds);
        steps.into_iter().for_each(|step| run.take(step));
        run.take(Step::Close);
        after.into_iter().for_each(|step| run.take(step));
        run.finish();
    }
}
