//! Whole sessions: what comes out, and that it does not depend on how the input is cut.

use arcly_wire::rtmp::{Event, MediaKind};

use crate::{
    client::{media, pattern, publish_request, read_replies},
    script::{self, Script, play},
};

fn whole(script: &Script) -> (Vec<Event>, Vec<u8>) {
    play(script, |_, bytes| vec![bytes.to_vec()])
}

#[test]
fn ffmpeg_session_gives_its_events() {
    let (events, _) = whole(&script::ffmpeg());
    let Event::Connected(info) = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!((info.app.as_str(), info.query.as_str()), ("live", ""));
    assert_eq!(info.tc_url, "rtmp://example.net:1935/live");
    assert_eq!(info.flash_ver, "FMLE/3.0 (compatible; Lavf59.27.100)");
    assert_eq!(
        events[1..],
        [
            publish_request("live", "cam", "token=s3cret"),
            media(MediaKind::Script, 0, &script::metadata()),
            media(MediaKind::Video, 0, &pattern(49, 1)),
            media(MediaKind::Audio, 0, &pattern(7, 2)),
            media(MediaKind::Video, 0, &pattern(4500, 3)),
            media(MediaKind::Audio, 0, &pattern(210, 4)),
            media(MediaKind::Audio, 23, &pattern(230, 5)),
            media(MediaKind::Video, 40, &pattern(700, 6)),
            media(MediaKind::Audio, 46, &pattern(231, 7)),
            Event::PublishEnded { stream_id: 1 },
        ]
    );
}

#[test]
fn obs_session_gives_its_events() {
    let (events, _) = whole(&script::obs());
    let Event::Connected(info) = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!((info.app.as_str(), info.query.as_str()), ("live/inst", "token=obs"));
    assert_eq!(
        events[1..],
        [
            publish_request("live/inst", "cam", "token=obs"),
            media(MediaKind::Script, 0, &script::metadata()),
            media(MediaKind::Audio, 0, &pattern(7, 1)),
            media(MediaKind::Video, 0, &pattern(44, 2)),
            media(MediaKind::Video, 0, &pattern(4500, 3)),
            media(MediaKind::Audio, 0, &pattern(371, 4)),
            media(MediaKind::Audio, 21, &pattern(371, 5)),
            media(MediaKind::Audio, 42, &pattern(371, 6)),
            media(MediaKind::Video, 50, &pattern(900, 7)),
            Event::PublishEnded { stream_id: 1 },
        ]
    );
}

#[test]
fn recorded_ffmpeg_session_gives_its_events() {
    let (events, _) = whole(&script::recorded_ffmpeg());
    assert_eq!(events[1], publish_request("live", "cam", "token=s3cret"));
    let of = |wanted| {
        let times = events.iter().filter_map(move |event| match event {
            Event::Media(media) if media.kind == wanted => Some(media.timestamp_ms),
            _ => None,
        });
        times.collect::<Vec<_>>()
    };
    // Sequence header, five pictures 200 ms apart, end of sequence.
    assert_eq!(of(MediaKind::Video), [0, 0, 200, 400, 600, 800, 800]);
    // A sequence header, then 1024 samples at 44.1 kHz each; the pictures began 377 ms earlier.
    let audio = of(MediaKind::Audio);
    assert_eq!((audio.len(), audio[0], audio[1], audio[45]), (46, 0, 377, 1398));
    assert!(audio[1..].windows(2).all(|pair| (23..=24).contains(&(pair[1] - pair[0]))), "{audio:?}");
    let Some(Event::Media(metadata)) = events.get(2) else { panic!("{:?}", events[2]) };
    assert!(metadata.body.starts_with(b"\x02\x00\x0aonMetaData\x08"));
    assert_eq!(events.last(), Some(&Event::PublishEnded { stream_id: 1 }));
}

#[test]
fn ffmpeg_session_is_answered_command_by_command() {
    let (_, output) = whole(&script::ffmpeg());
    let replies = read_replies(&output[1 + 2 * 1536..]);
    let types: Vec<_> = replies.iter().map(|reply| reply.type_id).collect();
    assert_eq!(types, [5, 6, 1, 4, 20, 20, 20, 20, 20, 4, 20, 20, 20, 20]);
    assert!(replies[4].has("NetConnection.Connect.Success"));
    assert!(replies[6].has("_result") && replies[7].has("onFCPublish"));
    // _result, transaction 4, null, stream 1.
    assert_eq!(replies[8].body[10..], *b"\x00\x40\x10\0\0\0\0\0\0\x05\x00\x3f\xf0\0\0\0\0\0\0");
    assert_eq!(replies[9].body, [0, 0, 0, 0, 0, 1]);
    assert!(replies[10].has("NetStream.Publish.Start") && replies[10].stream_id == 1);
    assert!(replies[11].has("onFCUnpublish") && replies[13].has("NetStream.Unpublish.Success"));
}

#[test]
fn handshake_echoes_c1_and_announces_no_digest() {
    let (_, output) = whole(&script::ffmpeg());
    assert_eq!(output[0], 3);
    assert_eq!(output[5..9], [0, 0, 0, 0]);
    assert_eq!(output[1 + 1536..][..4], [0, 0, 0, 9], "S2 begins with C1's time");
    assert_eq!(output[1 + 1536 + 8..][..1528], [0x5a; 1528], "S2 ends with C1's random bytes");
}

#[test]
fn every_split_point_gives_the_same_events_and_answers() {
    for script in script::all() {
        let expected = whole(&script);
        for half in 0..2 {
            let length = [&script.until_publish, &script.after_publish][half].len();
            for point in 0..=length {
                let halves = play(&script, |index, bytes| {
                    let (head, tail) = bytes.split_at(if index == half { point } else { 0 });
                    vec![head.to_vec(), tail.to_vec()]
                });
                assert_eq!(halves, expected, "{}: half {half} cut at {point}", script.name);
            }
        }
    }
}

#[test]
fn pieces_of_every_size_give_the_same_events_and_answers() {
    for script in script::all() {
        let expected = whole(&script);
        for size in (1..300).chain([1460, 4096]) {
            let pieces = play(&script, |_, bytes| bytes.chunks(size).map(<[u8]>::to_vec).collect());
            assert_eq!(pieces, expected, "{}: pieces of {size}", script.name);
        }
    }
}
