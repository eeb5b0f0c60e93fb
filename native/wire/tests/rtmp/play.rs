//! Viewers: what they ask and what they hear (RTMP §7.2.2).

use std::time::Duration;

use arcly_wire::rtmp::{Capabilities, Event, PlayChange, PlayRequest, PlayStart};

use crate::client::{Client, Reply, Server, T0, null, number, object, text};

fn boolean(value: bool) -> Vec<u8> {
    vec![1, u8::from(value)]
}

fn array(values: &[Vec<u8>]) -> Vec<u8> {
    [&[10][..], &(values.len() as u32).to_be_bytes(), &values.concat()].concat()
}

fn request(arguments: &[Vec<u8>]) -> PlayRequest {
    let mut server = Server::connected("live");
    server.feed(&Client::new().command(1, "play", 0.0, &[&[null()], arguments].concat()).out).unwrap();
    match server.events().pop() {
        Some(Event::PlayRequested(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// Codes and kinds of these answers, in their order.
fn order(replies: &[Reply]) -> Vec<(u8, &'static str)> {
    let texts = [
        "NetStream.Play.Reset",
        "NetStream.Play.Start",
        "|RtmpSampleAccess",
        "NetStream.Data.Start",
        "NetStream.Play.Complete",
        "NetStream.Play.Stop",
    ];
    let text_of = |reply: &Reply| texts.into_iter().find(|text| reply.has(text)).unwrap_or("");
    replies.iter().map(|reply| (reply.type_id, text_of(reply))).collect()
}

#[test]
fn accepted_viewer_hears_all_it_waits_for_in_order() {
    let mut server = Server::connected("live");
    server.feed(&Client::new().command(1, "play", 0.0, &[null(), text("cam")]).out).unwrap();
    server.conn.accept_play(1);
    let replies = server.replies();
    let expected = [
        (4, ""),
        (20, "NetStream.Play.Reset"),
        (20, "NetStream.Play.Start"),
        (18, "|RtmpSampleAccess"),
        (18, "NetStream.Data.Start"),
    ];
    assert_eq!(order(&replies), expected);
    assert_eq!(replies[0].body, [0, 0, 0, 0, 0, 1], "StreamBegin of message stream 1");
    assert!(replies[1..].iter().all(|reply| reply.stream_id == 1));
    server.conn.accept_play(1);
    assert!(server.replies().is_empty(), "once");
}

#[test]
fn end_of_the_stream_is_told_in_order() {
    let mut server = Server::playing();
    server.conn.end_play(1, "over");
    assert_eq!(order(&server.replies()), [(18, "NetStream.Play.Complete"), (4, ""), (20, "NetStream.Play.Stop")]);
    server.conn.end_play(1, "over");
    assert!(server.replies().is_empty() && server.events().is_empty());
}

#[test]
fn start_and_duration_are_those_of_the_request() {
    let plain = request(&[text("cam?t=1")]);
    assert_eq!((plain.app.as_str(), plain.stream.as_str(), plain.query.as_str()), ("live", "cam", "t=1"));
    assert_eq!((plain.start, plain.duration), (PlayStart::LiveOrRecorded, None));
    let at = |start, duration| {
        let request = request(&[text("cam"), number(start), number(duration), boolean(true)]);
        (request.start, request.duration)
    };
    assert_eq!(at(-2.0, -1.0), (PlayStart::LiveOrRecorded, None));
    assert_eq!(at(-1.0, 0.0), (PlayStart::Live, None));
    assert_eq!(at(1.5, 10.0), (PlayStart::At(Duration::from_millis(1500)), Some(Duration::from_secs(10))));
    assert_eq!(at(f64::INFINITY, 1e300), (PlayStart::At(Duration::MAX), Some(Duration::MAX)));
    assert_eq!(at(f64::NAN, f64::NAN), (PlayStart::LiveOrRecorded, None));
    assert_eq!(request(&[text("inst/cam")]).app, "live/inst");
}

#[test]
fn play2_is_play_in_an_object() {
    let mut server = Server::connected("live");
    let parameters = object(&[("streamName", text("cam")), ("start", number(2.0))]);
    server.feed(&Client::new().command(1, "play2", 0.0, &[null(), parameters]).out).unwrap();
    let Some(Event::PlayRequested(request)) = server.events().pop() else { panic!() };
    assert_eq!((request.stream.as_str(), request.start), ("cam", PlayStart::At(Duration::from_secs(2))));
}

#[test]
fn changes_of_a_viewer_are_answered_and_reported() {
    let mut server = Server::playing();
    let mut change = |name: &str, value: bool| {
        server.feed(&Client::new().command(1, name, 0.0, &[null(), boolean(value), number(0.0)]).out).unwrap();
        let change = match server.events().pop() {
            Some(Event::PlayChanged { stream_id: 1, change }) => change,
            other => panic!("{other:?}"),
        };
        (change, server.replies().pop().map(|reply| reply.has("NetStream.Pause.Notify")))
    };
    assert_eq!(change("pause", true), (PlayChange::Paused(true), Some(true)));
    assert_eq!(change("pause", false), (PlayChange::Paused(false), Some(false)));
    assert_eq!(change("pauseRaw", true), (PlayChange::Paused(true), None));
    assert_eq!(change("receiveAudio", false), (PlayChange::Audio(false), None));
    assert_eq!(change("receiveVideo", true), (PlayChange::Video(true), None));
    server.feed(&Client::new().command(1, "seek", 0.0, &[null(), number(1000.0)]).out).unwrap();
    assert!(server.replies()[0].has("NetStream.Seek.Failed"));
    // Nothing of it without a play.
    let mut idle = Server::connected("live");
    idle.feed(&Client::new().command(1, "pause", 0.0, &[null(), boolean(true)]).out).unwrap();
    idle.feed(&Client::new().command(1, "seek", 0.0, &[null(), number(0.0)]).out).unwrap();
    assert!(idle.replies().is_empty() && idle.events().is_empty());
}

/// Found by reading: what came right behind `play`, while the host decided, was lost.
#[test]
fn what_a_viewer_wants_of_a_play_that_is_not_decided_is_reported_and_answered_behind_its_beginning() {
    let mut server = Server::connected("live");
    let mut client = Client::new();
    client.command(1, "play", 0.0, &[null(), text("cam")]);
    client.command(1, "receiveAudio", 0.0, &[null(), boolean(false)]);
    client.command(1, "pause", 0.0, &[null(), boolean(true), number(0.0)]);
    server.feed(&client.out).unwrap();
    let changed = |change| Event::PlayChanged { stream_id: 1, change };
    let events = server.events();
    assert!(matches!(events[0], Event::PlayRequested(_)));
    assert_eq!(events[1..], [changed(PlayChange::Audio(false)), changed(PlayChange::Paused(true))]);
    assert!(server.replies().is_empty(), "nothing is said of a play that may be refused");
    server.conn.accept_play(1);
    assert!(server.replies().last().unwrap().has("NetStream.Pause.Notify"));
}

#[test]
fn viewers_leave_in_every_way() {
    let ends = |name: &str, stream_id: u32, arguments: &[Vec<u8>]| {
        let mut server = Server::playing();
        server.feed(&Client::new().command(stream_id, name, 0.0, arguments).out).unwrap();
        assert_eq!(server.events(), [Event::PlayEnded { stream_id: 1 }], "{name}");
        server.conn.end_play(1, "too late");
        server.replies()
    };
    assert!(ends("closeStream", 1, &[null()])[0].has("NetStream.Play.Stop"));
    assert!(ends("deleteStream", 0, &[null(), number(1.0)]).is_empty());
    // Another play on the same message stream ends the first.
    let mut server = Server::playing();
    server.feed(&Client::new().command(1, "play", 0.0, &[null(), text("other")]).out).unwrap();
    assert!(matches!(server.events()[..], [Event::PlayEnded { stream_id: 1 }, Event::PlayRequested(_)]));
}

#[test]
fn play_without_reset_begins_when_the_one_before_has_ended() {
    let mut server = Server::playing();
    let ask = |name: &str, reset: &[u8]| {
        Client::new()
            .command(1, "play", 0.0, &[null(), text(name), number(-2.0), number(-1.0), reset.to_vec()])
            .out
            .clone()
    };
    server.feed(&ask("second", &boolean(false))).unwrap();
    server.feed(&ask("third", &number(0.0))).unwrap();
    assert!(server.events().is_empty() && server.replies().is_empty(), "the first goes on");
    server.conn.end_play(1, "over");
    assert!(server.replies()[0].has("NetStream.Play.Switch"));
    let asked = |server: &mut Server| match server.events().pop() {
        Some(Event::PlayRequested(request)) => request.stream,
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(&mut server), "second");
    server.conn.accept_play(1);
    assert_eq!(order(&server.replies())[..2], [(4, ""), (20, "NetStream.Play.Start")], "nothing was reset");
    // What cannot be played is passed over.
    server.conn.end_play(1, "over");
    assert_eq!(asked(&mut server), "third");
    server.feed(&ask("fourth", &boolean(false))).unwrap();
    server.conn.reject_play(1, "no such stream");
    assert_eq!(asked(&mut server), "fourth");
    server.conn.accept_play(1);
    server.replies();
    server.conn.end_play(1, "over");
    assert_eq!(order(&server.replies())[0], (18, "NetStream.Play.Complete"), "of all");
    assert!(server.events().is_empty());
}

#[test]
fn playlist_ends_with_its_play_and_is_bounded() {
    let mut server = Server::playing();
    let append =
        Client::new().command(1, "play", 0.0, &[null(), text("x"), null(), null(), boolean(false)]).out.clone();
    (0..100).for_each(|_| server.feed(&append).unwrap());
    let mut asked = 0;
    loop {
        server.conn.end_play(1, "over");
        if server.events().is_empty() {
            break;
        }
        server.conn.accept_play(1);
        asked += 1;
    }
    assert_eq!(asked, 16);
    let mut server = Server::playing();
    server.feed(&append).unwrap();
    server.feed(&Client::new().command(1, "play", 0.0, &[null(), text("now")]).out).unwrap();
    assert_eq!(server.events().len(), 2, "the first has ended, the other is asked for");
    server.conn.accept_play(1);
    server.conn.end_play(1, "over");
    assert!(server.events().is_empty(), "what stood behind the first has gone with it");
}

#[test]
fn several_plays_and_publishes_share_a_connection() {
    let mut server = Server::playing();
    let mut client = Client::new();
    client.create_stream().create_stream();
    client.command(2, "play", 0.0, &[null(), text("two")]).publish(3, "three");
    server.feed(&client.out).unwrap();
    assert_eq!(server.events().len(), 2);
    server.conn.accept_play(2);
    server.conn.accept_publish(3);
    server.replies();
    server.feed(&Client::new().full(7, 9, 3, 5, b"video").out).unwrap();
    assert!(matches!(server.events()[..], [Event::Media(_)]));
    server.conn.end_play(2, "over");
    assert!(server.replies().iter().filter(|reply| reply.type_id == 20).all(|reply| reply.stream_id == 2));
    server.feed(&Client::new().full(7, 9, 3, 5, b"video").out).unwrap();
    assert_eq!(server.events().len(), 1, "the others go on");
}

#[test]
fn publisher_that_comes_and_goes_is_told() {
    let mut server = Server::playing();
    server.conn.notify_publisher(1, false);
    server.conn.notify_publisher(1, true);
    let replies = server.replies();
    assert!(replies[0].has("NetStream.Play.UnpublishNotify") && replies[1].has("NetStream.Play.PublishNotify"));
    server.conn.notify_publisher(2, true);
    assert!(server.replies().is_empty());
}

#[test]
fn silent_viewer_is_pinged_and_one_that_is_gone_is_found() {
    let mut server = Server::playing();
    let at = |seconds| T0 + Duration::from_secs(seconds);
    assert_eq!(server.conn.poll_timeout(), Some(at(20)));
    server.conn.handle_timeout(at(20)).unwrap();
    let ping = server.replies().pop().unwrap();
    assert_eq!((ping.type_id, &ping.body[..2]), (4, &[0, 6][..]));
    // It answers 80 ms later.
    let answer = [&[0, 7], &ping.body[2..]].concat();
    let later = at(20) + Duration::from_millis(80);
    server.conn.handle_input(later, &Client::new().full(2, 4, 0, 0, &answer).out).unwrap();
    assert_eq!(server.conn.rtt(), Some(Duration::from_millis(80)));
    assert_eq!(server.conn.poll_timeout(), Some(later + Duration::from_secs(20)));
    server.conn.handle_timeout(later + Duration::from_secs(20)).unwrap();
    assert_eq!(server.conn.poll_timeout(), Some(later + Duration::from_secs(50)), "idle_time behind the ping");
    let error = server.conn.handle_timeout(later + Duration::from_secs(50)).unwrap_err();
    assert!(error.to_string().contains("did not answer a ping"), "{error}");
}

#[test]
fn acknowledgements_and_bandwidth_of_the_peer_are_kept_and_answered() {
    let mut server = Server::playing();
    assert_eq!(server.conn.peer_received(), None);
    server.feed(&Client::new().full(2, 3, 0, 0, &7_u32.to_be_bytes()).out).unwrap();
    assert_eq!(server.conn.peer_received(), Some(7));
    let bandwidth = [&9000_u32.to_be_bytes()[..], &[2]].concat();
    server.feed(&Client::new().full(2, 6, 0, 0, &bandwidth).out).unwrap();
    let reply = server.replies().pop().unwrap();
    assert_eq!((reply.type_id, &reply.body[..]), (5, &9000_u32.to_be_bytes()[..]));
    server.feed(&Client::new().full(2, 6, 0, 0, &bandwidth).out).unwrap();
    assert!(server.replies().is_empty(), "it was said last");
}

/// A server that was told all this in `connect`.
fn connect_with(properties: &[(&str, Vec<u8>)]) -> (Server, arcly_wire::rtmp::ConnectInfo, Vec<Reply>) {
    let mut server = Server::new(arcly_wire::rtmp::Limits::default());
    server.feed(&Client::new().command(0, "connect", 1.0, &[object(properties)]).out).unwrap();
    let Some(Event::Connected(info)) = server.events().pop() else { panic!() };
    let replies = server.replies();
    (server, info, replies)
}

#[test]
fn capabilities_of_enhanced_rtmp_are_read_and_answered() {
    let map = object(&[("*", number(1.0)), ("hvc1", number(7.0))]);
    let (_, info, replies) = connect_with(&[
        ("app", text("live")),
        ("fourCcList", array(&[text("av01"), text("hvc1")])),
        ("videoFourCcInfoMap", map),
        ("capsEx", number(3.0)),
    ]);
    assert_eq!(info.capabilities.four_ccs, ["av01", "hvc1", "*"]);
    assert!(info.capabilities.can(Capabilities::RECONNECT) && info.capabilities.can(Capabilities::MULTITRACK));
    assert!(!info.capabilities.can(Capabilities::MOD_EX) && info.capabilities.takes("vp09"));
    let result = replies.last().unwrap();
    assert!(["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"].iter().all(|name| result.has(name)));
    let (_, info, replies) = connect_with(&[("app", text("live"))]);
    assert_eq!(info.capabilities, Capabilities::default());
    assert!(!replies.last().unwrap().has("fourCcList"), "who does not ask is not told");
}

#[test]
fn object_encoding_and_userinfo_are_those_of_the_peer() {
    let (_, info, replies) = connect_with(&[
        ("app", text("live")),
        ("tcUrl", text("rtmp://me:secret@host/live?t=1")),
        ("objectEncoding", number(3.0)),
    ]);
    assert_eq!((info.userinfo.as_str(), info.query.as_str()), ("me:secret", "t=1"));
    let echoed = [&text("objectEncoding")[1..], &number(3.0)].concat();
    assert!(replies.last().unwrap().body.windows(echoed.len()).any(|window| window == echoed));
}

#[test]
fn reconnect_is_asked_of_those_who_can() {
    let (mut server, ..) = connect_with(&[("app", text("live/inst?token=x")), ("capsEx", number(1.0))]);
    server.conn.request_reconnect("rtmp://other:19350", "moving");
    let reply = server.replies().pop().unwrap();
    assert!(reply.has("NetConnection.Connect.ReconnectRequest") && reply.has("rtmp://other:19350/live/inst?token=x"));
    assert_eq!(reply.stream_id, 0);
    server.conn.request_reconnect("", "moving");
    let reply = server.replies().pop().unwrap();
    assert!(reply.has("NetConnection.Connect.ReconnectRequest") && !reply.has("tcUrl"));
    let (mut server, ..) = connect_with(&[("app", text("live"))]);
    server.conn.request_reconnect("", "moving");
    assert!(server.replies().is_empty());
}

#[test]
fn amf3_commands_with_amf3_values_are_understood() {
    let mut server = Server::playing();
    // The format byte, AMF0 values, and a `true` of AMF3.
    let body = [&[0][..], &text("pause"), &number(0.0), &null(), &[0x11, 0x03]].concat();
    server.feed(&Client::new().full(3, 17, 1, 0, &body).out).unwrap();
    assert_eq!(server.events(), [Event::PlayChanged { stream_id: 1, change: PlayChange::Paused(true) }]);
}

#[test]
fn commands_of_content_networks_are_answered() {
    let mut server = Server::connected("live");
    for name in ["_checkbw", "checkBandwidth", "FCUnsubscribe", "releaseStream"] {
        server.feed(&Client::new().command(0, name, 9.0, &[null(), text("cam")]).out).unwrap();
        assert!(server.replies()[0].has("_result"), "{name}");
    }
    server.feed(&Client::new().command(0, "FCSubscribe", 9.0, &[null(), text("cam")]).out).unwrap();
    let replies = server.replies();
    assert!(replies[0].has("_result") && replies[1].has("onFCSubscribe"));
}
