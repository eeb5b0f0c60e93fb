//! Commands and control messages one by one.

use arcly_wire::rtmp::{Event, MediaKind, PlayRequest, PublishRejection, RtmpError};

use crate::client::{Client, Server, command, media, null, number, object, pattern, publish_request, text};

/// Sends what `write` writes; gives back the events and the answers.
#[track_caller]
fn send(server: &mut Server, write: impl FnOnce(&mut Client)) -> (Vec<Event>, Vec<crate::client::Reply>) {
    let mut client = Client::new();
    write(&mut client);
    server.feed(&client.out).unwrap();
    (server.events(), server.replies())
}

fn requested_key(app: &str, tc_url: &str, name: &str) -> Option<(String, String, String)> {
    let mut server = Server::new(Default::default());
    let (events, _) = send(&mut server, |client| {
        client.command(0, "connect", 1.0, &[object(&[("app", text(app)), ("tcUrl", text(tc_url))])]);
        client.create_stream().publish(1, name);
    });
    match events.into_iter().last() {
        Some(Event::PublishRequested(request)) => Some((request.app, request.stream, request.query)),
        _ => None,
    }
}

#[test]
fn key_and_query_come_from_name_application_and_url() {
    let check = |app, tc_url, name, expected: (&str, &str, &str)| {
        let (app, stream, query) = requested_key(app, tc_url, name).unwrap();
        assert_eq!((app.as_str(), stream.as_str(), query.as_str()), expected);
    };
    check("live", "", "cam?token=x", ("live", "cam", "token=x"));
    check("live/inst/", "", "cam", ("live/inst", "cam", ""));
    check("live/cam", "", "", ("live", "cam", ""));
    check("live?token=a", "rtmp://h/live?token=a", "cam", ("live", "cam", "token=a"));
    check("live", "rtmp://h/live?token=u", "cam", ("live", "cam", "token=u"));
    check("live?x=1", "", "cam?token=x", ("live", "cam", "token=x&x=1"));
}

#[test]
fn publish_without_a_name_is_asked_for_and_play_without_one_refused() {
    for (app, name) in [("live", ""), ("", "cam"), ("", "")] {
        let mut server = Server::connected(app);
        let (events, replies) = send(&mut server, |client| {
            client.publish(1, name);
        });
        let asked =
            |event: &Event| matches!(event, Event::PublishRequested(it) if it.app == app && it.stream.is_empty());
        assert!(matches!(&events[..], [event] if asked(event)), "{events:?}");
        assert_eq!(replies.len(), 0, "the answer is the caller's");
    }
    let mut server = Server::connected("live");
    let (events, replies) = send(&mut server, |client| {
        client.command(1, "play", 0.0, &[null(), text("")]);
    });
    assert_eq!(events, []);
    assert!(replies[0].has("NetStream.Play.StreamNotFound"));
}

#[test]
fn connect_without_an_application_is_answered() {
    let mut server = Server::new(Default::default());
    let (events, replies) = send(&mut server, |client| {
        client.command(0, "connect", 1.0, &[]);
    });
    assert!(matches!(&events[..], [Event::Connected(info)] if info.app.is_empty()));
    assert!(replies[4].has("NetConnection.Connect.Success"));
}

#[test]
fn rejections_carry_code_description_and_message_stream() {
    for (reason, code) in [
        (PublishRejection::BadName, "NetStream.Publish.BadName"),
        (PublishRejection::Unauthorized, "NetStream.Publish.Denied"),
        (PublishRejection::Failed, "NetStream.Failed"),
    ] {
        let mut server = Server::connected("live");
        send(&mut server, |client| {
            client.publish(1, "cam");
        });
        server.conn.reject_publish(1, reason, "go away");
        let replies = server.replies();
        assert_eq!((replies.len(), replies[0].stream_id), (1, 1));
        for part in ["onStatus", "error", code, "go away"] {
            assert!(replies[0].has(part), "{part}");
        }
        server.conn.accept_publish(1);
        assert_eq!(server.replies(), [], "a decision is made once");
    }
}

#[test]
fn very_long_description_is_cut_to_a_line() {
    let mut server = Server::publishing();
    server.conn.end_publish(1, &"é".repeat(1 << 20));
    assert!(server.replies()[0].body.len() < 2000);
}

#[test]
fn play_is_requested_and_rejected() {
    let mut server = Server::connected("live");
    let (events, _) = send(&mut server, |client| {
        client.command(1, "getStreamLength", 3.0, &[null(), text("cam")]);
        client.command(1, "play", 4.0, &[null(), text("cam?a=b"), number(-2000.0)]);
    });
    let request = PlayRequest {
        stream_id: 1,
        app: "live".to_owned(),
        stream: "cam".to_owned(),
        query: "a=b".to_owned(),
        start: arcly_wire::rtmp::PlayStart::LiveOrRecorded,
        duration: None,
        reset: true,
    };
    assert_eq!(events, [Event::PlayRequested(request)]);
    server.conn.reject_play(1, "no such stream");
    assert!(server.replies()[0].has("NetStream.Play.StreamNotFound"));
}

#[test]
fn media_outside_an_accepted_publish_is_dropped() {
    let mut server = Server::connected("live");
    let video = |client: &mut Client, stream_id, body: &[u8]| {
        client.full(6, 9, stream_id, 0, body);
    };
    assert_eq!(send(&mut server, |client| video(client, 1, b"idle")).0, []);
    send(&mut server, |client| {
        client.publish(1, "cam");
    });
    server.conn.accept_publish(1);
    assert_eq!(send(&mut server, |client| video(client, 0, b"elsewhere")).0, []);
    assert_eq!(send(&mut server, |client| video(client, 1, b"")).0, [], "empty");
    assert_eq!(send(&mut server, |client| video(client, 1, b"live")).0, [media(MediaKind::Video, 0, b"live")]);
    server.conn.end_publish(1, "enough");
    assert!(server.replies()[0].has("NetStream.Unpublish.Success"));
    assert_eq!(send(&mut server, |client| video(client, 1, b"late")).0, []);
}

/// Found by reading: nginx-rtmp and SRS send on behind `publish`. Their headers were dropped, and a picture over 64 KiB ended the connection.
#[test]
fn media_of_senders_that_do_not_wait_for_the_answer_follows_it() {
    let mut server = Server::connected("live");
    let (header, sound, picture) = (pattern(40, 1), pattern(7, 2), pattern(100_000, 3));
    let (events, _) = send(&mut server, |client| {
        client.publish(1, "cam").full(6, 9, 1, 0, &header).full(4, 8, 1, 0, &sound).full(6, 9, 1, 0, &picture);
    });
    assert_eq!(events, [publish_request("live", "cam", "")]);
    server.conn.accept_publish(1);
    let early =
        [media(MediaKind::Video, 0, &header), media(MediaKind::Audio, 0, &sound), media(MediaKind::Video, 0, &picture)];
    assert_eq!(server.events(), early);
    let live = send(&mut server, |client| {
        client.full(4, 8, 1, 20, &sound);
    });
    assert_eq!(live.0, [media(MediaKind::Audio, 20, &sound)]);
}

#[test]
fn media_of_a_publish_that_was_refused_or_withdrawn_is_no_part_of_the_next_one() {
    let mut server = Server::connected("live");
    let early = |client: &mut Client| {
        client.publish(1, "cam").full(6, 9, 1, 0, b"early");
    };
    send(&mut server, early);
    server.conn.reject_publish(1, PublishRejection::Failed, "later");
    send(&mut server, early);
    send(&mut server, |client| {
        client.command(1, "closeStream", 0.0, &[null()]).publish(1, "cam");
    });
    server.conn.accept_publish(1);
    assert_eq!(server.events(), []);
}

#[test]
fn every_way_to_end_a_publish_gives_one_event() {
    let ended = [Event::PublishEnded { stream_id: 1 }];
    type Way = fn(&mut Client);
    let ways: [Way; 3] = [
        |client| {
            client.command(1, "closeStream", 0.0, &[null()]);
        },
        |client| {
            client.command(0, "deleteStream", 0.0, &[null(), number(1.0)]);
        },
        |client| {
            client.command(0, "FCUnpublish", 0.0, &[null(), text("cam")]);
        },
    ];
    for way in ways {
        let mut server = Server::publishing();
        assert_eq!(send(&mut server, way).0, ended);
        let (again, _) = send(&mut server, |client| ways.iter().for_each(|way| way(client)));
        assert_eq!(again, []);
    }
}

#[test]
fn second_publish_on_a_stream_ends_the_first() {
    let mut server = Server::publishing();
    let (events, _) = send(&mut server, |client| {
        client.publish(1, "other").full(6, 9, 1, 0, b"of whom?");
    });
    assert_eq!(events, [Event::PublishEnded { stream_id: 1 }, publish_request("live", "other", "")]);
    server.conn.accept_publish(1);
    assert_eq!(server.replies().len(), 2);
}

#[test]
fn request_taken_back_before_the_answer_is_ended_and_the_answer_ignored() {
    let mut server = Server::connected("live");
    let (events, _) = send(&mut server, |client| {
        client.publish(1, "cam").command(0, "deleteStream", 0.0, &[null(), number(1.0)]);
    });
    assert_eq!(events, [publish_request("live", "cam", ""), Event::PublishEnded { stream_id: 1 }]);
    server.conn.accept_publish(1);
    server.conn.reject_publish(1, PublishRejection::Failed, "");
    server.conn.end_publish(1, "");
    server.conn.reject_play(1, "");
    assert_eq!(server.replies(), []);
}

#[test]
fn several_streams_publish_side_by_side_and_numbers_are_used_again() {
    let mut server = Server::publishing();
    send(&mut server, |client| {
        client.create_stream().publish(2, "second");
    });
    server.conn.accept_publish(2);
    server.replies();
    let (events, _) = send(&mut server, |client| {
        client.full(6, 9, 2, 0, b"b").full(6, 9, 1, 0, b"a");
        client.command(0, "deleteStream", 0.0, &[null(), number(1.0)]);
        client.full(6, 9, 2, 0, b"c").full(6, 9, 1, 0, b"gone").create_stream();
    });
    let streams: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Media(media) => media.stream_id,
            Event::PublishEnded { stream_id } => 100 + stream_id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(streams, [2, 1, 101, 2]);
}

#[test]
fn unknown_commands_and_messages_are_skipped_whatever_they_hold() {
    let mut server = Server::publishing();
    let (events, replies) = send(&mut server, |client| {
        // AMF3 behind the command's number: never read.
        client.full(3, 20, 0, 0, &[command("whatever", 9.0, &[]), vec![0x11, 0xff]].concat());
        client.command(0, "_error", 1.0, &[null()]).command(0, "onBWDone", 0.0, &[null()]);
        for type_id in [0, 3, 7, 10, 16, 19, 21, 23, 255] {
            client.full(2, type_id, 0, 0, &pattern(40, 1));
        }
        for event in [0, 1, 2, 3, 4, 7, 26, 0xffff_u16] {
            client.full(2, 4, 0, 0, &event.to_be_bytes());
        }
        client.full(6, 9, 1, 5, b"alive");
    });
    assert_eq!((events, replies), (vec![media(MediaKind::Video, 5, b"alive")], vec![]));
}

#[test]
fn bandwidth_check_is_answered() {
    let mut server = Server::connected("live");
    let (_, replies) = send(&mut server, |client| {
        client.command(0, "_checkbw", 5.0, &[null()]);
    });
    assert!(replies[0].has("_result"));
}

#[test]
fn amf3_messages_are_read_behind_their_format_byte() {
    let mut server = Server::new(Default::default());
    let connect = command("connect", 1.0, &[object(&[("app", text("live"))])]);
    let (events, _) = send(&mut server, |client| {
        client.full(3, 17, 0, 0, &[vec![0], connect].concat());
        client.full(3, 17, 0, 0, &command("createStream", 2.0, &[null()]));
        client.full(3, 17, 1, 0, &[vec![0], command("publish", 3.0, &[null(), text("cam")])].concat());
    });
    assert_eq!(events[1], publish_request("live", "cam", ""));
    server.conn.accept_publish(1);
    let (events, _) = send(&mut server, |client| {
        client.full(3, 15, 1, 0, &[vec![0], text("@setDataFrame"), text("onMetaData")].concat());
    });
    assert_eq!(events, [media(MediaKind::Script, 0, &text("onMetaData"))]);
}

#[test]
fn data_keeps_everything_but_set_data_frame() {
    let mut server = Server::publishing();
    let (events, _) = send(&mut server, |client| {
        client.full(4, 18, 1, 0, &[text("@setDataFrame"), text("onMetaData"), null()].concat());
        client.full(4, 18, 1, 7, &[text("onTextData"), null()].concat());
        client.full(4, 18, 1, 7, &text("@setDataFrame"));
    });
    assert_eq!(
        events,
        [
            media(MediaKind::Script, 0, &[text("onMetaData"), null()].concat()),
            media(MediaKind::Script, 7, &[text("onTextData"), null()].concat()),
        ]
    );
}

/// A part of an aggregate: an FLV tag and its back pointer.
fn part(type_id: u8, timestamp_ms: u32, body: &[u8]) -> Vec<u8> {
    let [high, rest @ ..] = timestamp_ms.to_be_bytes();
    let length = &(body.len() as u32).to_be_bytes()[1..];
    let back = (body.len() as u32 + 11).to_be_bytes();
    [&[type_id][..], length, &rest, &[high, 0, 0, 0], body, &back].concat()
}

#[test]
fn aggregate_is_split_and_its_times_moved_to_the_message() {
    let parts = [part(8, u32::MAX - 4, b"a"), part(9, 15, b"v"), part(18, 20, &text("onX")), part(99, 0, b"?")];
    for keep_last_back_pointer in [true, false] {
        let mut aggregate = parts.concat();
        aggregate.truncate(aggregate.len() - if keep_last_back_pointer { 0 } else { 4 });
        let mut server = Server::publishing();
        let (events, _) = send(&mut server, |client| {
            client.full(6, 22, 1, 1000, &aggregate);
        });
        assert_eq!(
            events,
            [
                media(MediaKind::Audio, 1000, b"a"),
                media(MediaKind::Video, 1020, b"v"),
                media(MediaKind::Script, 1025, &text("onX")),
            ]
        );
    }
}

#[test]
fn aggregate_cut_short_is_malformed_at_the_part() {
    let aggregate = [part(8, 0, b"abc"), part(9, 0, b"defg")].concat();
    let second = part(8, 0, b"abc").len();
    for end in (second + 1..aggregate.len()).filter(|end| *end != aggregate.len() - 4) {
        let mut server = Server::publishing();
        let error = server.feed(&Client::new().full(6, 22, 1, 0, &aggregate[..end]).out).unwrap_err();
        assert_eq!(error, RtmpError::Malformed { what: "aggregate message", offset: second as u64 });
    }
}

#[test]
fn ping_is_answered_with_its_own_time() {
    let mut server = Server::connected("live");
    let (_, replies) = send(&mut server, |client| {
        client.full(2, 4, 0, 0, &[0, 6, 1, 2, 3, 4]);
    });
    assert_eq!((replies[0].type_id, &replies[0].body[..]), (4, &[0, 7, 1, 2, 3, 4][..]));
}

#[test]
fn acknowledgement_counts_all_bytes_and_comes_once_per_window() {
    let mut server = Server::new(Default::default());
    let mut client = Client::new();
    client.full(2, 5, 0, 0, &1000_u32.to_be_bytes());
    let mut received = 3073 + client.out.len() as u32;
    server.feed(&client.take()).unwrap();
    // More than the window came since nothing was told.
    assert_eq!(acknowledged(&mut server), [received]);
    for _ in 0..20 {
        client.full(6, 9, 1, 0, &pattern(300, 1));
        let input = client.take();
        received += input.len() as u32;
        server.feed(&input).unwrap();
    }
    let told = acknowledged(&mut server);
    assert!(told.windows(2).all(|pair| (1000..1000 + 330).contains(&(pair[1] - pair[0]))), "{told:?}");
    assert!((5..=6).contains(&told.len()) && received - told.last().unwrap() < 1000, "{told:?} of {received}");
}

fn acknowledged(server: &mut Server) -> Vec<u32> {
    let replies = server.replies().into_iter().filter(|reply| reply.type_id == 3);
    replies.map(|reply| u32::from_be_bytes(reply.body.try_into().unwrap())).collect()
}

#[test]
fn acknowledgement_goes_on_when_the_count_wraps() {
    let mut server = Server::publishing();
    let mut client = Client::new();
    server.feed(&client.set_chunk_size(0xff_ffff).take()).unwrap();
    let megabytes = client.full(6, 9, 1, 0, &vec![1; 0xff_ff00]).take();
    let mut told = Vec::new();
    for _ in 0..260 {
        server.feed(&megabytes).unwrap();
        server.events();
        told.extend(acknowledged(&mut server));
    }
    assert_eq!(told.len(), 260);
    assert!(told.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) as usize == megabytes.len()));
    assert!(told.windows(2).any(|pair| pair[1] < pair[0]), "the count wrapped");
}

#[test]
fn default_window_is_2_500_000_bytes_and_0_does_not_change_it() {
    let mut server = Server::publishing();
    server.feed(&Client::new().full(2, 5, 0, 0, &[0; 4]).out).unwrap();
    let message = Client::new().full(6, 9, 1, 0, &pattern(100_000, 1)).take();
    let mut inputs = 0;
    while acknowledged(&mut server).is_empty() {
        server.feed(&message).unwrap();
        inputs += 1;
    }
    assert_eq!(inputs, 25);
}

#[test]
fn body_of_a_message_is_not_shared_with_the_input() {
    let mut server = Server::publishing();
    let (events, _) = send(&mut server, |client| {
        client.full(6, 9, 1, 0, &pattern(5000, 1));
    });
    let [Event::Media(media)] = &events[..] else { panic!("{events:?}") };
    assert!(media.body.is_unique(), "one buffer, one owner");
}
