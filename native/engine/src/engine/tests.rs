use arcly_bus::{LogBounds, Track, TrackId};
use arcly_codec::{Codec, CodecConfig};
use bytes::Bytes;

use super::*;

fn engine_with(max_publishers: usize, spec: AppSpec) -> Engine {
    Engine::new(EngineOptions { max_publishers, default_app: Some(spec), clock: || 42 })
}

fn engine(max_publishers: usize) -> Engine {
    engine_with(max_publishers, AppSpec::default())
}

fn key(stream: &str) -> StreamKey {
    StreamKey::new("live", stream).unwrap()
}

fn start(engine: &Engine, stream: &str) -> Result<Publisher, EngineError> {
    engine.start_publish(key(stream), PublishInfo::default()).map(|(publisher, _)| publisher)
}

fn told(events: &EventQueue) -> Vec<String> {
    std::iter::from_fn(|| events.pop()).map(|event| format!("{:?}", event.kind)).collect()
}

#[test]
fn a_key_is_taken_once_and_free_again_after_its_publisher() {
    let engine = engine(10);
    let first = start(&engine, "cam").unwrap();
    assert_eq!(start(&engine, "cam").err(), Some(EngineError::AlreadyPublishing { key: key("cam") }));
    drop(first);
    assert!(engine.stream(&key("cam")).is_none());
    let _second = start(&engine, "cam").unwrap();
    assert_eq!(engine.streams().len(), 1);
}

/// Found by reading: it was refused until its old node had noticed that it was gone.
#[test]
fn an_encoder_takes_the_place_of_the_mirror_of_its_old_node() {
    let engine = engine(10);
    let begin = |protocol: &str| {
        let info = PublishInfo { protocol: protocol.into(), ..PublishInfo::default() };
        engine.start_publish(key("cam"), info)
    };
    let (mirror, _) = begin("cluster").unwrap();
    assert!(begin("cluster").is_err(), "of two mirrors the first one stays");
    let (_encoder, stream) = begin("rtmp").unwrap();
    assert!(mirror.log().is_closed());
    drop(mirror);
    assert!(begin("cluster").is_err());
    assert_eq!(engine.stream(&key("cam")).map(|it| it.session()), Some(stream.session()));
}

#[test]
fn max_publishers_is_exact_under_concurrency() {
    let engine = engine(5);
    let engine = &engine;
    let started: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|n| scope.spawn(move || start(engine, &format!("s{n}")).ok())).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(started.len(), 5);
    assert_eq!(start(engine, "one-more").err(), Some(EngineError::PublisherLimit { limit: 5 }));
    drop(started);
    assert!(start(engine, "one-more").is_ok());
}

#[test]
fn events_tell_the_life_of_a_stream_with_time_and_reason() {
    let engine = engine(10);
    let events = engine.subscribe_events(Waker::noop().clone());
    start(&engine, "cam").unwrap().end("enough");
    let first = events.pop().unwrap();
    assert_eq!((first.at_unix_ms, first.key.to_string()), (42, "live/cam".into()));
    assert_eq!(told(&events), ["PublishEnded { reason: \"enough\" }"]);
}

#[test]
fn unread_events_are_bounded_and_counted() {
    let engine = engine(10);
    let events = engine.subscribe_events(Waker::noop().clone());
    (0..600).for_each(|_| drop(start(&engine, "cam").unwrap()));
    assert_eq!(events.dropped(), 1200 - 1024);
}

#[test]
fn viewers_who_come_and_go_in_thousands_push_no_publisher_out() {
    let engine = engine(10);
    let events = engine.subscribe_events(Waker::noop().clone());
    let publisher = start(&engine, "cam").unwrap();
    (0..3000).for_each(|_| drop(publisher.log().viewer("hls")));
    publisher.end("enough");
    let told = told(&events);
    assert_eq!(told.first().map(String::as_str), Some("PublishStarted"));
    assert_eq!(told.last().map(String::as_str), Some("PublishEnded { reason: \"enough\" }"));
    assert_eq!((told.len(), events.dropped()), (1026, 6000 - 1024));
}

#[test]
fn shutdown_ends_streams_and_refuses_new_ones() {
    let engine = engine(10);
    let publisher = start(&engine, "cam").unwrap();
    engine.shutdown();
    assert!(publisher.log().is_closed());
    assert_eq!(start(&engine, "b").err(), Some(EngineError::ShuttingDown));
}

#[test]
fn applications_come_change_and_go_while_streams_run() {
    let engine = Engine::new(EngineOptions { max_publishers: 10, default_app: None, clock: || 42 });
    assert_eq!(start(&engine, "cam").err(), Some(EngineError::AppNotFound { app: "live".into() }));
    engine.put_app("live", AppSpec::default());
    let publisher = start(&engine, "cam").unwrap();
    engine.put_app("live", AppSpec { second_publisher: SecondPublisher::Replace, ..AppSpec::default() });
    let second = start(&engine, "cam").unwrap();
    assert!(publisher.log().is_closed());
    assert!(engine.remove_app("live"));
    assert!(second.log().is_closed());
    assert!(!engine.remove_app("live"));
    assert_eq!(start(&engine, "cam").err(), Some(EngineError::AppNotFound { app: "live".into() }));
}

#[test]
fn a_replaced_publisher_never_ends_its_successor() {
    let engine = engine_with(10, AppSpec { second_publisher: SecondPublisher::Replace, ..AppSpec::default() });
    let events = engine.subscribe_events(Waker::noop().clone());
    let first = start(&engine, "cam").unwrap();
    let second = start(&engine, "cam").unwrap();
    first.end("late");
    assert!(!second.log().is_closed());
    assert_eq!(engine.stream(&key("cam")).unwrap().state(), StreamState::Publishing);
    let replaced = "PublishEnded { reason: \"replaced by another publisher\" }";
    assert_eq!(told(&events), ["PublishStarted", replaced, "PublishStarted"]);
}

#[test]
fn readers_stay_while_a_publisher_may_come_back() {
    let grace = Duration::from_secs(5);
    let engine = engine_with(10, AppSpec { reconnect_grace: grace, ..AppSpec::default() });
    let events = engine.subscribe_events(Waker::noop().clone());
    drop(start(&engine, "cam").unwrap());
    let stream = engine.stream(&key("cam")).unwrap();
    assert_eq!(stream.state(), StreamState::Idle);
    engine.measure(Duration::from_secs(4));
    let back = start(&engine, "cam").unwrap();
    assert!(Arc::ptr_eq(back.log(), stream.log()), "it is the same stream");
    assert_eq!(stream.state(), StreamState::Publishing);
    assert!(start(&engine, "cam").is_err(), "and taken");
    drop(back);
    engine.measure(Duration::from_secs(9));
    assert!(!stream.log().is_closed());
    engine.measure(Duration::from_secs(10));
    assert!(stream.log().is_closed());
    assert_eq!(stream.state(), StreamState::Ended);
    let gone = "PublishInterrupted { reason: \"the publisher is gone\" }";
    let over = "PublishEnded { reason: \"the publisher did not come back\" }";
    assert_eq!(told(&events), ["PublishStarted", gone, "PublishResumed", gone, over]);
}

#[test]
fn an_idle_publisher_is_reaped_and_told() {
    let engine = engine_with(10, AppSpec { idle_timeout: Some(Duration::from_secs(3)), ..AppSpec::default() });
    let publisher = start(&engine, "cam").unwrap();
    (0..3).for_each(|s| engine.measure(Duration::from_secs(s)));
    assert!(!publisher.log().is_closed());
    engine.measure(Duration::from_secs(3));
    assert!(publisher.log().is_closed());
    assert!(start(&engine, "cam").is_ok(), "the key is free");
}

#[test]
fn a_publisher_that_comes_back_is_not_reaped_for_the_time_it_was_away() {
    let (grace, idle) = (Duration::from_secs(60), Some(Duration::from_secs(3)));
    let engine = engine_with(10, AppSpec { reconnect_grace: grace, idle_timeout: idle, ..AppSpec::default() });
    drop(start(&engine, "cam").unwrap());
    (0..10).for_each(|s| engine.measure(Duration::from_secs(s)));
    let back = start(&engine, "cam").unwrap();
    engine.measure(Duration::from_secs(12));
    assert!(!back.log().is_closed(), "it has not had three seconds");
    engine.measure(Duration::from_secs(13));
    assert!(back.log().is_closed(), "and not more than four");
}

/// Found by reading: the time away counted from the last look, which may be a second before.
#[test]
fn a_publisher_that_may_come_back_has_all_of_its_time() {
    let grace = Duration::from_secs(1);
    let engine = engine_with(10, AppSpec { reconnect_grace: grace, ..AppSpec::default() });
    let publisher = start(&engine, "cam").unwrap();
    engine.measure(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(50));
    drop(publisher);
    engine.measure(grace);
    assert!(engine.stream(&key("cam")).is_some());
    engine.measure(grace * 2);
    assert!(engine.stream(&key("cam")).is_none());
}

#[test]
fn a_stream_that_a_reader_closes_keeps_no_key_and_waits_for_nobody() {
    let grace = Duration::from_secs(60);
    let engine = engine_with(10, AppSpec { reconnect_grace: grace, ..AppSpec::default() });
    let events = engine.subscribe_events(Waker::noop().clone());
    let first = start(&engine, "cam").unwrap();
    first.log().close();
    let second = start(&engine, "cam").unwrap();
    assert!(!second.log().is_closed(), "its publisher has not noticed, and the key is free");
    drop(first);
    second.log().close();
    drop(second);
    let third = start(&engine, "cam").unwrap();
    assert!(!third.log().is_closed(), "nobody goes on in a closed log");
    third.log().close();
    engine.measure(Duration::from_secs(1));
    assert!(engine.streams().is_empty(), "and none is listed for long");
    let over = |reason| format!("PublishEnded {{ reason: \"{reason}\" }}");
    let (closed, gone) = (over("ended by the application"), over("the publisher is gone"));
    let told = told(&events);
    assert_eq!(told, ["PublishStarted", &closed, "PublishStarted", &gone, "PublishStarted", &closed]);
}

#[test]
fn the_end_of_a_stale_stream_concerns_nobody() {
    let engine = engine(10);
    drop(start(&engine, "cam").unwrap());
    let first = start(&engine, "cam").unwrap();
    let stale = engine.stream(&key("cam")).unwrap();
    drop(first);
    let second = start(&engine, "cam").unwrap();
    assert!(!engine.end(&stale, "kicked"));
    assert!(!second.log().is_closed());
    assert!(engine.end(&engine.stream(&key("cam")).unwrap(), "kicked"));
    assert!(second.log().is_closed());
}

#[test]
fn bounds_are_those_of_the_application() {
    let engine = engine(10);
    let bounds = LogBounds { bytes: 10, ..LogBounds::default() };
    engine.put_app("small", AppSpec { bounds, ..AppSpec::default() });
    let small = StreamKey::new("small", "cam").unwrap();
    let (_publisher, stream) = engine.start_publish(small, PublishInfo::default()).unwrap();
    assert_eq!(stream.session(), 1);
}

/// An avcC record written by libx264: 320x240, baseline.
const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];

#[test]
fn metadata_tell_who_publishes_and_what() {
    let engine = engine(1);
    let (peer, agent) = (Some("192.0.2.1:5000".to_owned()), Some("FMLE/3.0".to_owned()));
    let info = PublishInfo { protocol: "rtmp".into(), peer, agent };
    let (mut publisher, stream) = engine.start_publish(key("cam"), info.clone()).unwrap();
    assert_eq!((stream.metadata().size, stream.metadata().codecs), (None, vec![]));
    let video = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
    let audio = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x12, 0x10])).unwrap();
    publisher.set_tracks(vec![Track::new(TrackId(0), video), Track::new(TrackId(1), audio)]).unwrap();
    let metadata = stream.metadata();
    assert_eq!((metadata.info.agent, metadata.info.peer), (info.agent, info.peer));
    assert_eq!((metadata.size, metadata.frame_rate, metadata.started_unix_ms), (Some((320, 240)), Some((15, 1)), 42));
    assert_eq!(metadata.codecs, ["avc1.42c00c", "mp4a.40.2"]);
}
