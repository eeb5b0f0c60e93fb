//! Whole sessions: what comes out, and that it does not depend on how the input is cut.

use arcly_wire::rtmp::{Event, Media, MediaKind};

use crate::{
    client::{media, pattern, publish_request, read_replies},
    script::{self, Script, play},
};

fn whole(script: &Script) -> (Vec<Event>, Vec<u8>) {
    play(script, |_, bytes| vec![bytes.to_vec()])
}

/// The media of one kind, in order.
fn media_of(events: &[Event], kind: MediaKind) -> Vec<&Media> {
    let of_kind = events.iter().filter_map(|event| match event {
        Event::Media(media) if media.kind == kind => Some(media),
        _ => None,
    });
    of_kind.collect()
}

fn times(events: &[Event], kind: MediaKind) -> Vec<u32> {
    media_of(events, kind).iter().map(|media| media.timestamp_ms).collect()
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
    // Sequence header, five pictures 200 ms apart, end of sequence.
    assert_eq!(times(&events, MediaKind::Video), [0, 0, 200, 400, 600, 800, 800]);
    // A sequence header, then 1024 samples at 44.1 kHz each; the pictures began 377 ms earlier.
    let audio = times(&events, MediaKind::Audio);
    assert_eq!((audio.len(), audio[0], audio[1], audio[45]), (46, 0, 377, 1398));
    assert!(audio[1..].windows(2).all(|pair| (23..=24).contains(&(pair[1] - pair[0]))), "{audio:?}");
    let Some(Event::Media(metadata)) = events.get(2) else { panic!("{:?}", events[2]) };
    assert!(metadata.body.starts_with(b"\x02\x00\x0aonMetaData\x08"));
    assert_eq!(events.last(), Some(&Event::PublishEnded { stream_id: 1 }));
}

#[test]
fn recorded_obs_session_gives_its_events() {
    let (events, _) = whole(&script::recorded_obs());
    let Event::Connected(info) = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!((info.app.as_str(), info.query.as_str()), ("live", ""));
    assert_eq!(info.flash_ver, "FMLE/3.0 (compatible; FMSc/1.0)");
    assert_eq!(events[1], publish_request("live", "cam", ""));
    // Connected, requested, onMetaData, media, ended: nothing else.
    assert_eq!(events.len(), 2 + 1 + 19 + 26 + 1);
    // A sequence header, then pictures at 30 Hz, in OBS's rounding: 99, not 100.
    let pictures = times(&events, MediaKind::Video);
    assert_eq!(pictures[..8], [0, 0, 33, 66, 99, 132, 166, 199]);
    assert_eq!((pictures.len(), pictures[18]), (19, 566));
    // A sequence header, then 1024 samples at 48 kHz each; the pictures began 66 ms earlier.
    let audio = times(&events, MediaKind::Audio);
    assert_eq!(audio[..6], [0, 66, 87, 108, 130, 151]);
    assert_eq!((audio.len(), audio[25]), (26, 578));
    assert_eq!(events.last(), Some(&Event::PublishEnded { stream_id: 1 }));
}

#[test]
fn recorded_obs_bodies_are_whole() {
    let (events, _) = whole(&script::recorded_obs());
    let [metadata] = media_of(&events, MediaKind::Script)[..] else { panic!("one onMetaData") };
    assert!(metadata.body.starts_with(b"\x02\x00\x0aonMetaData\x08\0\0\0\x14"));
    assert!(metadata.body.ends_with(b"obs-output module (libobs version 29.0.2.1-1+b1)\0\0\x09"));
    let video = media_of(&events, MediaKind::Video);
    assert!(video[0].body.starts_with(b"\x17\x00\0\0\0\x01\x64\x00\x1e"), "avcC, High 3.0");
    // Longer than OBS's chunk size of 4096: the one message that goes on in a type 3 chunk.
    assert!(video[1].body.starts_with(b"\x17\x01\x00\x00\x42") && video[1].body.len() == 4700);
    assert_eq!(video.iter().map(|media| media.body.len()).sum::<usize>(), 11_221);
    let audio = media_of(&events, MediaKind::Audio);
    assert_eq!(audio[0].body[..], *b"\xaf\x00\x11\x90\x56\xe5\x00");
    assert!(audio[1..].iter().all(|media| media.body[..] == *b"\xaf\x01\x21\x10\x04\x60\x8c\x1c"), "silence");
}

#[test]
fn recorded_c1_announces_a_digest_from_ffmpeg_and_none_from_obs() {
    // Where RTMP §5.2.3 has zeroes, a client that wants the digest handshake puts its version.
    assert_eq!(script::recorded_ffmpeg().until_publish[5..9], [9, 0, 124, 2]);
    assert_eq!(script::recorded_obs().until_publish[5..9], [0, 0, 0, 0]);
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
    let script = script::ffmpeg();
    let (_, output) = whole(&script);
    assert_eq!(output[0], 3);
    assert_eq!(output[5..9], [0, 0, 0, 0]);
    let c1 = &script.until_publish[1..][..1536];
    assert_eq!(&output[1 + 1536..][..1536], c1, "S2 is C1 to the last bit: librtmp compares them");
}

#[test]
fn every_split_point_gives_the_same_events_and_answers() {
    for script in script::all() {
        let expected = whole(&script);
        for half in 0..2 {
            let length = [&script.until_publish, &script.after_publish][half].len();
            // Far inside a long recording, among the bytes of pictures, every fifth point will do.
            for point in (0..=length).filter(|point| *point < 4096 || point % 5 == 0) {
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
