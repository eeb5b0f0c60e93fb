//! Messages cut once for all viewers, read by our reader and by hand.

use arcly_wire::rtmp::{Limits, MediaKind, Message, chunk::ChunkReader, egress};

use crate::client::pattern;

fn read(bytes: &[u8]) -> Vec<Message> {
    let mut reader = ChunkReader::new(Limits::default());
    reader.set_chunk_bytes(egress::CHUNK_BYTES).unwrap();
    let mut input = bytes;
    let messages: Vec<_> = std::iter::from_fn(|| reader.read(&mut input).unwrap()).collect();
    assert!(input.is_empty() && reader.buffered_bytes() < 1 << 16);
    messages
}

#[test]
fn message_is_read_as_it_was_written_whatever_its_length_and_time() {
    for kind in [MediaKind::Audio, MediaKind::Video, MediaKind::Script] {
        for length in [0, 1, 65_530, 65_531, 65_532, 131_067, 200_000] {
            for timestamp_ms in [0, 1, 0xff_fffe, 0xff_ffff, 0x100_0000, u32::MAX] {
                let payload = pattern(length, 3);
                let bytes = egress::chunked(kind, timestamp_ms, b"\x17\x01\0\0\0", &payload);
                let [message] = &read(&bytes)[..] else { panic!("{kind:?} {length}") };
                let type_id = match kind {
                    MediaKind::Audio => 8,
                    MediaKind::Video => 9,
                    MediaKind::Script => 18,
                };
                assert_eq!((message.type_id, message.stream_id, message.timestamp_ms), (type_id, 1, timestamp_ms));
                assert_eq!(message.body[..], [b"\x17\x01\0\0\0", &payload[..]].concat());
            }
        }
    }
}

#[test]
fn header_has_the_bytes_of_the_specification() {
    let bytes = egress::chunked(MediaKind::Video, 0x0102_0304, b"h", b"body");
    assert_eq!(bytes[..], b"\x07\xff\xff\xff\x00\x00\x05\x09\x01\x00\x00\x00\x01\x02\x03\x04hbody"[..]);
    let long = egress::chunked(MediaKind::Audio, 0x0102_0304, b"", &[7; 65_537]);
    assert_eq!(long[16 + 65_536..], b"\xc6\x01\x02\x03\x04\x07"[..], "type 3 repeats the extended timestamp");
}

#[test]
fn what_stands_in_front_of_a_payload_is_the_same_without_it() {
    for length in [0, 1, 65_530, 65_531, 65_532, 200_000] {
        for timestamp_ms in [5, 0xff_ffff, 0x100_0000] {
            let (header, payload) = (b"\x17\x01\0\0\0", pattern(length, 3));
            let (mut apart, mut whole) = (vec![9; 7], vec![9; 7]);
            egress::put_chunked(MediaKind::Video, timestamp_ms, header, &payload, &mut whole);
            if egress::put_head(MediaKind::Video, timestamp_ms, header, length, &mut apart) {
                let mut moved = apart.split_off(7);
                apart.extend_from_slice(&moved);
                egress::move_to_stream(&mut moved, 77);
                assert_eq!(moved[8..12], 77u32.to_le_bytes());
                apart.extend_from_slice(&payload);
                assert_eq!(apart, whole);
            } else {
                assert!(length + header.len() > egress::CHUNK_BYTES as usize);
                assert_eq!(apart, [9; 7], "nothing is appended");
            }
        }
    }
}

/// Any message may be the first, any may be missing, and the kinds do not disturb each other.
#[test]
fn viewer_may_begin_with_any_message_and_leave_any_out() {
    let kinds = [MediaKind::Video, MediaKind::Audio, MediaKind::Script];
    let messages: Vec<_> = (0..30)
        .map(|n| {
            egress::chunked(kinds[n % 3], [0xff_fff0, 0x100_0000, 5][n % 3] + n as u32, b"hd", &pattern(n * 9_000, n))
        })
        .collect();
    let alone: Vec<_> = messages.iter().flat_map(|message| read(message)).collect();
    for step in 1..5 {
        for begin in 0..10 {
            let chosen = (begin..30).step_by(step);
            let bytes: Vec<u8> = chosen.clone().flat_map(|index| messages[index].to_vec()).collect();
            let expected: Vec<_> = chosen.map(|index| alone[index].clone()).collect();
            assert_eq!(read(&bytes), expected);
        }
    }
}

#[test]
fn messages_can_be_moved_to_another_message_stream() {
    let messages: Vec<_> =
        [(7, 100_000), (0xff_ffff, 65_536), (0x100_0000, 65_534), (9, 65_535), (0x200_0000, 140_000)]
            .iter()
            .map(|&(time, length)| egress::chunked(MediaKind::Video, time, b"hd", &pattern(length, 1)))
            .collect();
    let mut moved = messages.concat();
    egress::move_to_stream(&mut moved, 0x0102_0304);
    let expected: Vec<_> = messages
        .iter()
        .flat_map(|message| read(message))
        .map(|message| Message { stream_id: 0x0102_0304, ..message })
        .collect();
    assert_eq!(read(&moved), expected);
    for cut in 0..20 {
        egress::move_to_stream(&mut moved[..cut], 2);
    }
}

#[test]
fn body_that_no_message_can_hold_is_cut() {
    let bytes = egress::chunked(MediaKind::Video, 0, b"hd", &vec![0; 0x100_0000]);
    assert_eq!(read(&bytes)[0].body.len(), 0xff_ffff);
}
