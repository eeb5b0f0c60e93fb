//! What a subscriber of a log sees.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(not(loom))]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use arcly_bus::{
    BusError, CHUNK_FRAMES, Frame, FrameFlags, LogBounds, LogObserver, LogWriter, Publisher, PublisherHooks, Read,
    Subscription, SubscriptionOptions, Track, TrackFilter, TrackId, TrackSet, WakeSlot,
};
use bytes::Bytes;
use common::*;

fn numbers(subscription: &mut Subscription) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Read::Frames(batch) = subscription.read(usize::MAX) {
        seen.extend(batch.frames.iter().map(number));
    }
    seen
}

fn publish(publisher: &mut Publisher, range: std::ops::Range<u64>, gop: u64) {
    for n in range {
        publisher.publish(frame(VIDEO, n, n % gop == 0)).unwrap();
    }
}

#[test]
fn a_reader_gets_every_frame_once_in_order() {
    let mut publisher = stream(4096, 1 << 20);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..1000, 50);
    assert_eq!(numbers(&mut reader), (0..1000).collect::<Vec<_>>());
    assert!(matches!(reader.read(1), Read::Empty));
    drop(publisher);
    assert!(matches!(reader.read(1), Read::Ended));
}

#[test]
fn a_late_joiner_starts_at_the_newest_key_frame_and_misses_nothing_after_it() {
    let mut publisher = stream(4096, 1 << 20);
    publish(&mut publisher, 0..130, 50);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 130..140, 50);
    assert_eq!(numbers(&mut reader), (100..140).collect::<Vec<_>>());
    assert_eq!(reader.missed(), 0);
}

#[test]
fn a_joiner_before_the_first_key_frame_waits_for_it() {
    let mut publisher = stream(4096, 1 << 20);
    let mut reader = publisher.log().subscribe();
    for n in 0..10 {
        publisher.publish(frame(VIDEO, n, n == 7)).unwrap();
    }
    assert_eq!(numbers(&mut reader), [7, 8, 9]);
}

#[test]
fn an_audio_only_stream_is_entered_a_little_before_its_end() {
    let mut publisher = empty_stream(Default::default());
    publisher.set_tracks(vec![audio_track()]).unwrap();
    for n in 0..200 {
        publisher.publish(frame(AUDIO, n, false)).unwrap();
    }
    let mut reader = publisher.log().subscribe();
    publisher.publish(frame(AUDIO, 200, false)).unwrap();
    assert_eq!(numbers(&mut reader), (192..=200).collect::<Vec<_>>(), "at every 32nd frame");
}

/// Found by reading: pictures were announced and did not come (a phone whose camera is off), and nobody got the sound either.
#[test]
fn sound_goes_on_alone_where_the_announced_pictures_do_not_come() {
    let mut publisher = stream(1024, 1 << 20);
    let (mut early, mut tap) = (publisher.log().subscribe(), publisher.log().tap());
    let mut heard = Vec::new();
    for n in 0..300 {
        sound(&mut publisher, n..n + 1);
        heard.extend(numbers(&mut early));
    }
    assert_eq!(heard, (96..300).collect::<Vec<_>>(), "after two seconds of AAC");
    assert_eq!(numbers(&mut tap), (288..300).collect::<Vec<_>>(), "who looks now and then begins at the newest");
    assert_eq!(numbers(&mut publisher.log().subscribe()), (288..300).collect::<Vec<_>>(), "at every 32nd frame");
}

/// Found by reading: where the pictures of a stream ceased, and its sound filled the ring, nobody could join any more.
#[test]
fn sound_goes_on_alone_where_pictures_have_ceased_and_their_key_is_no_longer_kept() {
    let mut publisher = stream(1024, 1 << 20);
    let mut slow = publisher.log().subscribe();
    publisher.publish(frame(VIDEO, 0, true)).unwrap();
    sound(&mut publisher, 1..1000);
    assert_eq!(numbers(&mut publisher.log().subscribe()).len(), 1000, "it is kept as long as it may be");
    sound(&mut publisher, 1000..3000);
    assert_eq!(numbers(&mut publisher.log().subscribe()), (2976..3000).collect::<Vec<_>>());
    let seen = numbers(&mut slow);
    assert_eq!((seen[0], seen[seen.len() - 1]), (0, 2999), "who lags jumps there");
    assert_eq!(seen.len() as u64 + slow.missed(), 3000);
}

#[test]
fn who_began_with_sound_gets_pictures_from_their_key_on() {
    let mut publisher = stream(1024, 1 << 20);
    let only = |id| SubscriptionOptions { tracks: TrackFilter::only([id]), ..SubscriptionOptions::default() };
    let mut waited = publisher.log().subscribe();
    sound(&mut publisher, 0..97);
    assert_eq!(numbers(&mut waited), [96]);
    sound(&mut publisher, 97..200);
    let mut joined = publisher.log().subscribe();
    let (mut pictures, mut listener) =
        (publisher.log().subscribe_with(only(VIDEO)), publisher.log().subscribe_with(only(AUDIO)));
    for n in 200..210 {
        publisher.publish(frame(if n % 2 == 0 { VIDEO } else { AUDIO }, n, false)).unwrap();
    }
    let mut late = publisher.log().subscribe();
    assert!(matches!(late.read(1), Read::Empty), "pictures come: who joins now waits for their key");
    publish(&mut publisher, 210..212, 210);
    publisher.publish(frame(AUDIO, 212, false)).unwrap();
    publish(&mut publisher, 213..214, 210);
    let begin = [201, 203, 205, 207, 209, 210, 211, 212, 213];
    let expected = |from: u64| (from..200).chain(begin).collect::<Vec<_>>();
    assert_eq!((numbers(&mut waited), numbers(&mut joined)), (expected(97), expected(192)));
    assert_eq!(numbers(&mut late), [210, 211, 212, 213]);
    assert_eq!(numbers(&mut pictures), [210, 211, 213]);
    assert_eq!(numbers(&mut listener), (192..200).chain([201, 203, 205, 207, 209, 212]).collect::<Vec<_>>());
    assert_eq!((waited.missed(), joined.missed()), (0, 0), "it was not too slow");
    assert_eq!(numbers(&mut publisher.log().subscribe()), [210, 211, 212, 213]);
}

#[test]
fn a_key_picture_that_is_kept_is_where_joiners_begin_however_rare_pictures_are() {
    let mut publisher = stream(1024, 1 << 20);
    publisher.publish(frame(VIDEO, 0, true)).unwrap();
    sound(&mut publisher, 1..500);
    assert_eq!(numbers(&mut publisher.log().subscribe()), (0..500).collect::<Vec<_>>());
}

fn sound(publisher: &mut Publisher, range: std::ops::Range<u64>) {
    range.for_each(|n| publisher.publish(frame(AUDIO, n, false)).unwrap());
}

#[test]
fn an_overtaken_reader_jumps_to_the_newest_key_frame_and_is_told() {
    let mut publisher = stream(128, 1 << 20);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..10, 50);
    assert_eq!(numbers(&mut reader).len(), 10);
    publish(&mut publisher, 10..2030, 50);
    // The chunk that it stands in is still its own; then comes the jump.
    let Read::Frames(rest) = reader.read(usize::MAX) else { panic!("frames were published") };
    assert_eq!((number(&rest.frames[0]), rest.discontinuity), (10, false));
    let read = 10 + rest.frames.len() as u64;
    let Read::Frames(batch) = reader.read(usize::MAX) else { panic!("frames were published") };
    assert!(batch.discontinuity);
    assert_eq!(number(&batch.frames[0]), 2000);
    let seen = batch.frames.len() as u64;
    assert_eq!(reader.missed(), 2000 - read);
    assert_eq!(read + seen + numbers(&mut reader).len() as u64 + reader.missed(), 2030);
    assert_eq!(publisher.log().counters().missed, reader.missed());
}

#[test]
fn a_gop_larger_than_the_bounds_makes_joiners_wait_for_the_next_key_frame() {
    let mut publisher = stream(128, 1 << 20);
    publish(&mut publisher, 0..1000, 10_000);
    let mut reader = publisher.log().subscribe();
    assert!(matches!(reader.read(1), Read::Empty));
    publisher.publish(frame(VIDEO, 1000, false)).unwrap();
    publisher.publish(frame(VIDEO, 1001, true)).unwrap();
    assert_eq!(numbers(&mut reader), [1001]);
}

#[test]
fn a_change_of_tracks_is_seen_at_its_exact_place() {
    let mut publisher = stream(4096, 1 << 20);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..10, 5);
    publisher.set_tracks(vec![video_track(1920)]).unwrap();
    publish(&mut publisher, 10..20, 5);
    let mut seen = Vec::new();
    while let Read::Frames(batch) = reader.read(3) {
        seen.extend(batch.frames.iter().map(|frame| (number(frame), batch.tracks.revision)));
    }
    assert_eq!(seen, (0..20).map(|n| (n, if n < 10 { 1 } else { 2 })).collect::<Vec<_>>());
}

#[test]
fn memory_is_bounded_in_bytes_and_a_sleeping_reader_pins_one_chunk() {
    let (limit, frame_bytes) = (1 << 20, 10_000_usize);
    let freed = Arc::new(AtomicUsize::new(0));
    struct Counted(Vec<u8>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(self.0.len(), Ordering::Relaxed);
        }
    }
    let mut publisher = stream(100_000, limit);
    let asleep = publisher.log().subscribe();
    let total = if cfg!(miri) { 300 } else { 1000 };
    for n in 0..total {
        let payload = Bytes::from_owner(Counted(vec![0; frame_bytes], freed.clone()));
        publisher.publish(Frame { payload, ..frame(VIDEO, n, n % 10 == 0) }).unwrap();
    }
    let held = total as usize * frame_bytes - freed.load(Ordering::Relaxed);
    let chunk = limit / 8 + frame_bytes;
    assert!(held <= limit + 2 * chunk, "{held} bytes are held");
    drop(asleep);
    drop(publisher);
    assert_eq!(freed.load(Ordering::Relaxed), total as usize * frame_bytes);
}

#[test]
fn frames_are_bounded_too() {
    let mut publisher = stream(128, 1 << 30);
    publish(&mut publisher, 0..10_000, 1_000_000);
    // Only chunks of the last 128 frames are kept, so a new key frame is the only way in, and an old cursor has jumped.
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 10_000..10_000 + CHUNK_FRAMES as u64, 10_000);
    assert_eq!(numbers(&mut reader)[0], 10_000);
}

#[test]
fn bad_frames_are_refused_and_the_stream_goes_on() {
    let mut publisher = stream(128, 1000);
    let huge = Frame { payload: vec![0; 1001].into(), ..frame(VIDEO, 0, true) };
    assert_eq!(publisher.publish(huge), Err(BusError::FrameTooLarge { limit: 1000, seen: 1001 }));
    let stray = frame(TrackId(9), 0, true);
    assert_eq!(publisher.publish(stray), Err(BusError::UnknownTrack { track: TrackId(9) }));
    publisher.publish(frame(VIDEO, 0, true)).unwrap();
    assert_eq!(numbers(&mut publisher.log().subscribe()), [0]);
}

#[test]
fn a_closed_stream_is_known_to_its_publisher_and_read_to_its_end() {
    let mut publisher = stream(128, 1 << 20);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..3, 10);
    publisher.log().close();
    assert_eq!(publisher.publish(frame(VIDEO, 3, false)), Err(BusError::Closed));
    assert_eq!(publisher.set_tracks(vec![]), Err(BusError::Closed));
    assert_eq!(numbers(&mut reader), [0, 1, 2]);
    assert!(matches!(reader.read(1), Read::Ended));
    assert!(matches!(publisher.log().subscribe().read(1), Read::Frames(_)), "what is kept can still be read");
}

#[test]
fn viewers_are_counted_and_taps_are_not() {
    let publisher = stream(128, 1 << 20);
    let viewers = || publisher.log().counters().viewers;
    let (a, b, _tap) = (publisher.log().subscribe(), publisher.log().subscribe(), publisher.log().tap());
    assert_eq!(viewers(), 2);
    drop(a);
    assert_eq!(viewers(), 1);
    drop(b);
    assert_eq!((viewers(), publisher.log().counters().joined), (0, 2));
}

#[derive(Default)]
struct Heard {
    lagged: AtomicUsize,
    evicted: AtomicUsize,
}

impl LogObserver for Heard {
    fn lagged(&self, missed: u64) {
        self.lagged.fetch_add(missed as usize, Ordering::Relaxed);
    }
    fn evicted(&self, _: u64) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that keeps few frames, and who hears of its readers.
fn observed(max_lag: Option<u64>) -> (Publisher, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let bounds = LogBounds { frames: 128, bytes: 1 << 20, max_lag, ..LogBounds::default() };
    let mut publisher = Publisher::new(LogWriter::new(bounds, heard.clone()), Box::new(()));
    publisher.set_tracks(vec![video_track(1280), audio_track()]).unwrap();
    (publisher, heard)
}

fn read_all(reader: &mut Subscription) -> u64 {
    let mut seen = 0;
    while let Read::Frames(batch) = reader.read(usize::MAX) {
        seen += batch.frames.len() as u64;
    }
    seen
}

#[test]
fn a_reader_that_missed_more_than_it_may_is_evicted_for_good() {
    let (mut publisher, heard) = observed(Some(1000));
    let mut patient =
        publisher.log().subscribe_with(SubscriptionOptions { max_lag: Some(u64::MAX), ..Default::default() });
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..3000, 10);
    read_all(&mut reader);
    assert!(matches!(reader.read(1), Read::Evicted));
    publish(&mut publisher, 3000..3020, 10);
    assert!(matches!(reader.read(1), Read::Evicted), "an eviction is final");
    assert_eq!(heard.evicted.load(Ordering::Relaxed), 1, "and said once");
    assert_eq!(publisher.log().counters().evicted, 1);
    assert!(read_all(&mut patient) > 0, "a reader may say otherwise");
    assert!(matches!(patient.read(1), Read::Empty));
}

#[test]
fn a_reader_evicted_while_it_waits_for_a_key_frame_gets_nothing_more() {
    // The GOP is truncated, so the reader jumps to where there is no key frame, and waits for one.
    let jumped = |max_lag| {
        let (mut publisher, heard) = observed(max_lag);
        let mut reader = publisher.log().subscribe();
        publish(&mut publisher, 0..1900, 10_000);
        read_all(&mut reader);
        (publisher, heard, reader)
    };
    let missed = jumped(None).2.missed();
    let (mut publisher, heard, mut reader) = jumped(Some(missed + 5));
    publish(&mut publisher, 1900..1910, 10_000);
    publisher.publish(frame(VIDEO, 1910, true)).unwrap();
    assert!(matches!(reader.read(1), Read::Evicted), "it comes five frames too late");
    assert_eq!(heard.evicted.load(Ordering::Relaxed), 1);
}

#[test]
fn what_a_reader_skips_until_the_next_key_frame_is_told_once_it_has_come() {
    let (mut publisher, heard) = observed(None);
    let told = || heard.lagged.load(Ordering::Relaxed) as u64;
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..1900, 10_000);
    read_all(&mut reader);
    let jumped = told();
    for n in 1900..1950 {
        publisher.publish(frame(VIDEO, n, false)).unwrap();
        assert!(matches!(reader.read(1), Read::Empty));
        assert_eq!(told(), jumped, "not frame by frame");
    }
    publisher.publish(frame(VIDEO, 1950, true)).unwrap();
    assert_eq!(numbers(&mut reader), [1950]);
    assert_eq!((told(), reader.missed()), (jumped + 50, jumped + 50));
}

#[test]
fn the_present_gop_is_kept_whole_up_to_its_own_bounds() {
    for (gop_frames, gop_bytes, kept) in [(1000, 1 << 20, true), (999, 1 << 20, false), (1000, 7_999, false)] {
        let (gop_frames, gop_bytes) = (Some(gop_frames), Some(gop_bytes));
        let bounds = LogBounds { frames: 128, bytes: 4000, gop_frames, gop_bytes, max_lag: None };
        let mut publisher = empty_stream(bounds);
        publisher.set_tracks(vec![video_track(1280)]).unwrap();
        publish(&mut publisher, 0..1000, 10_000);
        let seen = numbers(&mut publisher.log().subscribe());
        assert_eq!(seen.len(), if kept { 1000 } else { 0 }, "{bounds:?}: eight bytes a frame");
    }
}

/// Found by reading: the table of chunks had places for the ring only, and each GOP of 40 MB was truncated beside a ring of 8.
#[test]
fn a_gop_of_many_times_the_bytes_of_the_ring_is_kept_whole() {
    let bounds = LogBounds { bytes: 8000, gop_bytes: Some(128_000), ..LogBounds::default() };
    let mut publisher = empty_stream(bounds);
    publisher.set_tracks(vec![video_track(1280)]).unwrap();
    for n in 0..800_u64 {
        let payload = Bytes::from([&n.to_be_bytes()[..], &[0; 72]].concat());
        publisher.publish(Frame { payload, ..frame(VIDEO, n, n == 0) }).unwrap();
    }
    assert_eq!(numbers(&mut publisher.log().subscribe()), (0..800).collect::<Vec<_>>());
}

/// Found by reading: the mark of a break is on one frame, of whichever track came first.
#[test]
fn a_reader_of_some_tracks_learns_of_a_break_that_another_one_showed() {
    let mut publisher = stream(4096, 1 << 20);
    let only = |track| SubscriptionOptions { tracks: TrackFilter::only([track]), ..SubscriptionOptions::default() };
    let mut pictures = publisher.log().subscribe_with(only(VIDEO));
    let mut peeking = publisher.log().subscribe_with(only(VIDEO));
    publish(&mut publisher, 0..3, 5);
    publisher.publish(frame(AUDIO, 3, false)).unwrap();
    assert_eq!((numbers(&mut pictures).len(), numbers(&mut peeking).len()), (3, 3));
    publisher.resume(std::time::Duration::from_secs(1));
    publisher.publish(frame(AUDIO, 0, false)).unwrap();
    publish(&mut publisher, 5..7, 5);
    for reader in [&mut pictures, &mut peeking] {
        let Read::Frames(batch) = reader.peek(1) else { panic!("there are two") };
        assert!(batch.discontinuity && !batch.frames[0].is_discontinuity());
        assert_eq!(reader.missed(), 0, "it has missed nothing");
    }
    peeking.advance(1);
    let Read::Frames(batch) = pictures.read(1) else { panic!("there are two") };
    assert!(batch.discontinuity);
    for reader in [&mut pictures, &mut peeking] {
        let Read::Frames(batch) = reader.read(1) else { panic!("there is one more") };
        assert!(!batch.discontinuity, "it is told once");
    }
}

/// Found by reading: a camera that lost pictures marked intact sound for whoever listens.
#[test]
fn what_another_track_has_lost_is_no_break_for_a_reader_of_this_one() {
    let mut publisher = stream(4096, 1 << 20);
    let tracks = TrackFilter::only([AUDIO]);
    let mut sound = publisher.log().subscribe_with(SubscriptionOptions { tracks, ..SubscriptionOptions::default() });
    let lost = Frame { flags: FrameFlags::DISCONTINUITY, ..frame(VIDEO, 1, false) };
    for frame in [frame(AUDIO, 0, false), lost, frame(AUDIO, 2, false)] {
        publisher.publish(frame).unwrap();
    }
    while let Read::Frames(batch) = sound.read(1) {
        assert!(!batch.discontinuity);
    }
    assert_eq!(sound.position(), 3);
}

#[test]
fn a_reader_that_rejoins_goes_to_the_newest_key_frame_and_never_back_and_has_missed_nothing() {
    let mut publisher = stream(128, 1 << 20);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..60, 50);
    assert_eq!(numbers(&mut reader).len(), 60);
    publish(&mut publisher, 60..70, 50);
    reader.rejoin();
    assert_eq!(numbers(&mut reader), (60..70).collect::<Vec<_>>());
    publish(&mut publisher, 70..2030, 50);
    reader.rejoin();
    let Read::Frames(batch) = reader.read(usize::MAX) else { panic!("frames were published") };
    assert_eq!((number(&batch.frames[0]), batch.discontinuity), (2000, true));
    assert_eq!(reader.missed(), 0);
}

#[test]
fn a_reader_that_takes_other_tracks_stays_where_it_is_and_new_pictures_come_with_their_next_key_frame() {
    let mut publisher = stream(4096, 1 << 20);
    let mut reader = publisher.log().subscribe();
    let mut publish = |range: std::ops::Range<u64>| {
        for n in range {
            let track = if n % 2 == 0 { VIDEO } else { AUDIO };
            publisher.publish(frame(track, n, n % 10 == 0)).unwrap();
        }
    };
    publish(0..14);
    assert_eq!(numbers(&mut reader).len(), 14);
    reader.set_tracks(TrackFilter::only([AUDIO]));
    publish(14..18);
    assert_eq!(numbers(&mut reader), [15, 17]);
    reader.set_tracks(TrackFilter::ALL);
    publish(18..23);
    assert_eq!(numbers(&mut reader), [19, 20, 21, 22], "the sound goes on");
    assert_eq!(reader.missed(), 0);
}

#[test]
fn a_gop_bound_below_the_ring_truncates_earlier_and_is_told_once() {
    let truncated = Arc::new(AtomicUsize::new(0));
    let bounds = LogBounds { gop_frames: Some(30), ..LogBounds::default() };
    let writer = LogWriter::new(bounds, Arc::new(()));
    let mut publisher = Publisher::new(writer, Box::new(Keep(Arc::default(), truncated.clone())));
    publisher.set_tracks(vec![video_track(1280)]).unwrap();
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..30, 100);
    assert_eq!((truncated.load(Ordering::Relaxed), numbers(&mut publisher.log().subscribe()).len()), (0, 30));
    publish(&mut publisher, 30..100, 100);
    assert_eq!((truncated.load(Ordering::Relaxed), numbers(&mut publisher.log().subscribe()).len()), (1, 0));
    assert_eq!(numbers(&mut reader).len(), 100, "who reads along loses nothing");
}

#[test]
fn many_changes_of_tracks_truncate_a_gop_and_say_so() {
    let truncated = Arc::new(AtomicUsize::new(0));
    let writer = LogWriter::new(LogBounds { frames: 128, ..LogBounds::default() }, Arc::new(()));
    let mut publisher = Publisher::new(writer, Box::new(Keep(Arc::default(), truncated.clone())));
    publisher.set_tracks(vec![video_track(1280)]).unwrap();
    publish(&mut publisher, 0..1, 10);
    // Each takes a place in the table, though the frames are few.
    (0..100).for_each(|n| publisher.set_tracks(vec![video_track(n)]).unwrap());
    publisher.publish(frame(VIDEO, 1, false)).unwrap();
    assert_eq!(truncated.load(Ordering::Relaxed), 1);
    assert!(matches!(publisher.log().subscribe().read(1), Read::Empty));
}

#[test]
fn readers_enter_at_key_frames_of_the_first_video_and_each_reads_its_own_from_one() {
    let second = TrackId(2);
    let mut publisher = empty_stream(LogBounds::default());
    publisher.set_tracks(vec![video_track(1280), Track { id: second, ..video_track(640) }]).unwrap();
    let mut publish = |track, n, key| publisher.publish(frame(track, n, key)).unwrap();
    publish(VIDEO, 0, true);
    publish(second, 1, true);
    publish(VIDEO, 2, false);
    publish(second, 3, false);
    publish(VIDEO, 4, true);
    publish(second, 5, false);
    publish(second, 6, true);
    let only = |id| SubscriptionOptions { tracks: TrackFilter::only([id]), ..Default::default() };
    assert_eq!(numbers(&mut publisher.log().subscribe()), [4, 5, 6]);
    assert_eq!(numbers(&mut publisher.log().subscribe_with(only(VIDEO))), [4]);
    assert_eq!(numbers(&mut publisher.log().subscribe_with(only(second))), [6]);
}

#[test]
fn who_waits_for_pictures_is_not_woken_by_sound() {
    let mut publisher = stream(128, 1 << 20);
    let counts: Vec<_> = (0..2).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
    let waker = |n: usize| Waker::from(counts[n].clone());
    let woken = || counts.iter().map(|count| count.0.load(Ordering::SeqCst)).collect::<Vec<_>>();
    let (pictures, all) = (WakeSlot::for_pictures(publisher.log(), waker(0)), WakeSlot::new(publisher.log(), waker(1)));
    pictures.arm();
    all.arm();
    publisher.publish(frame(AUDIO, 0, false)).unwrap();
    assert_eq!(woken(), [0, 1]);
    publisher.publish(frame(VIDEO, 1, true)).unwrap();
    assert_eq!(woken(), [1, 1]);
    pictures.arm();
    publisher.set_tracks(vec![audio_track()]).unwrap();
    publisher.publish(frame(AUDIO, 2, false)).unwrap();
    assert_eq!(woken(), [2, 1], "of a stream without pictures every frame wakes");
    pictures.arm();
    drop(publisher);
    assert_eq!(woken(), [3, 1], "and the end always");
}

#[test]
fn who_waits_for_pictures_that_have_ceased_is_woken_by_sound() {
    let mut publisher = stream(128, 1 << 20);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let slot = WakeSlot::for_pictures(publisher.log(), Waker::from(count.clone()));
    publisher.publish(frame(VIDEO, 0, true)).unwrap();
    slot.arm();
    for number in 1..=15 {
        publisher.publish(frame(AUDIO, number, false)).unwrap();
    }
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "a picture may still come");
    for woken in 1..=3 {
        publisher.publish(frame(AUDIO, 15 + woken, false)).unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), usize::try_from(woken).unwrap());
        slot.arm();
    }
    publisher.publish(frame(VIDEO, 19, false)).unwrap();
    slot.arm();
    publisher.publish(frame(AUDIO, 20, false)).unwrap();
    assert_eq!(count.0.load(Ordering::SeqCst), 4, "they come again");
}

#[test]
fn who_comes_behind_is_woken_by_the_leader_when_it_arms_again() {
    let mut publisher = stream(128, 1 << 20);
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
    let slot = |n: usize| WakeSlot::for_pictures(publisher.log(), Waker::from(counts[n].clone()));
    let (behind, leading, other) = (slot(0).behind(), slot(1).leading(), slot(2));
    let woken = || counts.iter().map(|count| count.0.load(Ordering::SeqCst)).collect::<Vec<_>>();
    [&behind, &leading, &other].into_iter().for_each(WakeSlot::arm);
    publisher.publish(frame(VIDEO, 0, true)).unwrap();
    assert_eq!(woken(), [0, 1, 1]);
    leading.arm();
    assert_eq!(woken(), [1, 1, 1]);
    leading.arm();
    assert_eq!(woken(), [1, 1, 1], "owed once");
    behind.arm();
    publisher.publish(frame(AUDIO, 1, false)).unwrap();
    assert_eq!(woken(), [1, 1, 1], "sound wakes neither");
    publisher.publish(frame(VIDEO, 2, false)).unwrap();
    behind.arm();
    publisher.publish(frame(VIDEO, 3, false)).unwrap();
    assert_eq!(woken(), [2, 2, 1], "the leader has not armed again, and so leads nobody; what was owed is paid");
    leading.arm();
    assert_eq!(woken(), [2, 2, 1], "and not twice");
    behind.arm();
    publisher.publish(frame(VIDEO, 4, false)).unwrap();
    drop(leading);
    assert_eq!(woken(), [3, 3, 1], "a leader that goes passes on what it owes");
    behind.arm();
    publisher.publish(frame(VIDEO, 5, false)).unwrap();
    assert_eq!(woken(), [4, 3, 1], "without a leader at once");
}

#[test]
fn a_close_wakes_all_who_wait() {
    let publisher = stream(128, 1 << 20);
    let counts: Vec<_> = (0..10).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
    let slots: Vec<_> = counts.iter().map(|count| WakeSlot::new(publisher.log(), Waker::from(count.clone()))).collect();
    slots.iter().for_each(WakeSlot::arm);
    publisher.log().close();
    assert!(counts.iter().all(|count| count.0.load(Ordering::SeqCst) == 1));
}

#[test]
fn exactly_max_lag_is_kept() {
    let (mut publisher, heard) = observed(None);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..2000, 10);
    read_all(&mut reader);
    let missed = reader.missed();
    assert_eq!(heard.lagged.load(Ordering::Relaxed) as u64, missed);
    for (max_lag, kept) in [(missed, true), (missed - 1, false)] {
        let (mut publisher, _) = observed(Some(max_lag));
        let mut reader = publisher.log().subscribe();
        publish(&mut publisher, 0..2000, 10);
        read_all(&mut reader);
        assert_eq!(matches!(reader.read(1), Read::Empty), kept, "{max_lag} of {missed}");
    }
}

#[test]
fn a_filter_leaves_other_tracks_out_and_keeps_the_order() {
    let mut publisher = stream(4096, 1 << 20);
    let only = |id| SubscriptionOptions { tracks: TrackFilter::only([id]), ..Default::default() };
    let mut sound = publisher.log().subscribe_with(only(AUDIO));
    let mut pictures = publisher.log().subscribe_with(only(VIDEO));
    for n in 0..300 {
        let track = if n % 3 == 0 { VIDEO } else { AUDIO };
        publisher.publish(frame(track, n, n == 30)).unwrap();
    }
    assert_eq!(numbers(&mut sound), (0..300).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    assert_eq!(numbers(&mut pictures), (30..300).step_by(3).collect::<Vec<_>>(), "pictures begin at a key frame");
    assert_eq!(sound.missed() + pictures.missed(), 0, "what is not wanted is not missed");
}

#[test]
fn what_is_peeked_is_not_read_until_the_reader_advances() {
    let (mut publisher, heard) = observed(None);
    let mut reader = publisher.log().subscribe();
    publish(&mut publisher, 0..60, 50);
    let peeked = |reader: &mut Subscription, max| match reader.peek(max) {
        Read::Frames(batch) => (number(&batch.frames[0]), batch.frames.len(), batch.discontinuity),
        _ => panic!("frames are waiting"),
    };
    assert_eq!(peeked(&mut reader, 5), (0, 5, false));
    reader.advance(2);
    assert_eq!((peeked(&mut reader, 5), reader.position()), ((2, 5, false), 2));
    assert_eq!(reader.skip_ahead(), 48);
    assert_eq!(peeked(&mut reader, 1), (50, 1, true));
    assert_eq!(peeked(&mut reader, 99), (50, 10, true), "the mark stays until something is read");
    reader.advance(1);
    assert_eq!(peeked(&mut reader, 99), (51, 9, false));
    assert_eq!((reader.skip_ahead(), reader.missed()), (0, 48), "nothing newer to enter at");
    reader.advance(99);
    assert!(matches!(reader.peek(1), Read::Empty));
    assert_eq!(heard.lagged.load(Ordering::Relaxed), 48);
}

#[test]
fn how_far_a_reader_is_behind_is_told_by_the_track_that_comes_next() {
    use std::time::Duration;
    let mut publisher = stream(4096, 1 << 20);
    let mut reader = publisher.log().subscribe();
    assert_eq!(reader.behind(), Duration::ZERO);
    publish(&mut publisher, 0..901, 50);
    assert_eq!(reader.behind(), Duration::from_secs(1));
    let read_until = |reader: &mut Subscription, n| {
        while !matches!(reader.read(1), Read::Frames(batch) if number(&batch.frames[0]) == n) {}
    };
    read_until(&mut reader, 449);
    assert_eq!(reader.behind(), Duration::from_millis(500), "nothing is read by that");
    // Whatever the other tracks are at, however much comes of them.
    for n in 0..960 {
        publisher.publish(frame(AUDIO, n, false)).unwrap();
    }
    assert_eq!(reader.behind(), Duration::from_millis(500));
    read_until(&mut reader, 900);
    assert_eq!(reader.behind(), Duration::from_nanos(959 * 100 * 1_000_000_000 / 48_000), "now it is the sound");
    // Behind a break back nobody is behind.
    let first = Frame { flags: FrameFlags::KEY.with(FrameFlags::DISCONTINUITY), ..frame(VIDEO, 0, true) };
    numbers(&mut reader);
    publish(&mut publisher, 901..910, 50);
    publisher.publish(first).unwrap();
    assert_eq!(reader.behind(), Duration::ZERO);
}

#[test]
fn a_request_for_a_key_frame_reaches_the_publisher_once() {
    let publisher = stream(128, 1 << 20);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    publisher.wake_on_request(Waker::from(count.clone()));
    assert!(!publisher.take_keyframe_request());
    publisher.log().request_keyframe();
    publisher.log().request_keyframe();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(publisher.take_keyframe_request());
    assert!(!publisher.take_keyframe_request());
    publisher.log().close();
    assert_eq!(count.0.load(Ordering::SeqCst), 2, "an idle publisher learns that its stream was ended");
}

/// Keeps the writer of a publisher that has gone.
struct Keep(Arc<std::sync::Mutex<Option<LogWriter>>>, Arc<AtomicUsize>);

impl PublisherHooks for Keep {
    fn tracks_changed(&mut self, _: &Arc<TrackSet>) {}
    fn gop_truncated(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
    fn ended(&mut self, _: &str, writer: LogWriter) {
        *self.0.lock().unwrap() = Some(writer);
    }
}

#[test]
fn a_stream_survives_a_change_of_publisher_with_its_timeline_continued() {
    let (kept, truncated) = (Arc::default(), Arc::default());
    let keep = || Box::new(Keep(Arc::clone(&kept), Arc::clone(&truncated)));
    let writer = LogWriter::new(LogBounds::default(), Arc::new(()));
    let mut first = Publisher::new(writer, keep());
    first.set_tracks(vec![video_track(1280)]).unwrap();
    let mut reader = first.log().subscribe();
    publish(&mut first, 1000..1010, 10);
    drop(first);
    assert_eq!(read_all(&mut reader), 10);
    assert!(matches!(reader.read(1), Read::Empty), "its readers stay");
    let mut writer = kept.lock().unwrap().take().unwrap();
    writer.resume(std::time::Duration::from_millis(40));
    let mut second = Publisher::new(writer, keep());
    second.set_tracks(vec![video_track(640)]).unwrap();
    publish(&mut second, 0..3, 10);
    let Read::Frames(batch) = reader.read(9) else { panic!("frames were published") };
    let times: Vec<_> = batch.frames.iter().map(|frame| (frame.dts, frame.is_discontinuity())).collect();
    assert_eq!(times, [(104_600, true), (104_700, false), (104_800, false)], "100 900 + a frame + 40 ms of 90 kHz");
    drop(kept);
}

#[test]
fn a_gop_that_outgrows_the_bounds_is_reported_once() {
    let (kept, truncated) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let bounds = LogBounds { frames: 128, ..LogBounds::default() };
    let writer = LogWriter::new(bounds, Arc::new(()));
    let mut publisher = Publisher::new(writer, Box::new(Keep(kept, truncated.clone())));
    publisher.set_tracks(vec![video_track(1280)]).unwrap();
    let reports = || truncated.load(Ordering::Relaxed);
    publish(&mut publisher, 0..100, 1000);
    assert_eq!(reports(), 0);
    publish(&mut publisher, 100..999, 1000);
    assert_eq!(reports(), 1);
    publish(&mut publisher, 1000..1999, 1000);
    assert_eq!(reports(), 2);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn who_waits_for_entries_is_woken_at_key_pictures_and_once_in_a_chunk() {
    let mut publisher = stream(1024, 1 << 20);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let slot = WakeSlot::for_entries(publisher.log(), Waker::from(count.clone()));
    let mut subscription = publisher.log().subscribe();
    let mut most_behind = 0;
    for number in 0..1000 {
        slot.arm();
        let before = count.0.load(Ordering::SeqCst);
        let is_key = number % 300 == 0;
        publisher.publish(frame(VIDEO, number, is_key)).unwrap();
        let is_woken = count.0.load(Ordering::SeqCst) > before;
        assert!(is_woken || !is_key, "a key picture wakes");
        if is_woken {
            let Read::Frames(batch) = subscription.read(usize::MAX) else { panic!("woken for nothing") };
            most_behind = most_behind.max(batch.frames.len());
        }
    }
    assert!(count.0.load(Ordering::SeqCst) < 16, "it was woken for more");
    assert!(most_behind <= 128, "a chunk at most waits: {most_behind}");
    slot.arm();
    let before = count.0.load(Ordering::SeqCst);
    drop(publisher);
    assert_eq!(count.0.load(Ordering::SeqCst), before + 1, "the end wakes");
}

#[test]
fn an_armed_slot_is_woken_once_and_at_the_end() {
    let mut publisher = stream(128, 1 << 20);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let slot = WakeSlot::new(publisher.log(), Waker::from(count.clone()));
    let woken = || count.0.load(Ordering::SeqCst);
    publisher.publish(frame(VIDEO, 0, true)).unwrap();
    assert_eq!(woken(), 0, "not armed");
    slot.arm();
    publisher.publish(frame(VIDEO, 1, false)).unwrap();
    publisher.publish(frame(VIDEO, 2, false)).unwrap();
    assert_eq!(woken(), 1, "one wake-up for one arming");
    slot.arm();
    drop(publisher);
    assert_eq!(woken(), 2, "the end wakes too");
    let other = stream(128, 1 << 20);
    drop(WakeSlot::new(other.log(), Waker::from(count.clone())));
    other.log().close();
    assert_eq!(woken(), 2, "a dropped slot is never woken");
}

#[test]
fn one_writer_and_readers_on_real_threads_agree() {
    let mut publisher = stream(256, 1 << 20);
    let readers: Vec<_> = (0..if cfg!(miri) { 2 } else { 8 })
        .map(|_| {
            let mut reader = publisher.log().subscribe();
            std::thread::spawn(move || {
                let (mut seen, mut last) = (0_u64, None);
                loop {
                    match reader.read(16) {
                        Read::Frames(batch) => {
                            for (i, frame) in batch.frames.iter().enumerate() {
                                let n = number(frame);
                                let jump = i == 0 && batch.discontinuity;
                                assert!(last.is_none_or(|last| n == last + 1 || (jump && n > last)), "{last:?} → {n}");
                                assert!(!jump || frame.flags.contains(FrameFlags::KEY));
                                (last, seen) = (Some(n), seen + 1);
                            }
                        }
                        Read::Empty => std::thread::yield_now(),
                        Read::Ended | Read::Evicted => return seen + reader.missed(),
                    }
                }
            })
        })
        .collect();
    let frames = if cfg!(miri) { 2_000 } else { 200_000 };
    publish(&mut publisher, 0..frames, 30);
    drop(publisher);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), frames, "received + missed = published");
    }
}
