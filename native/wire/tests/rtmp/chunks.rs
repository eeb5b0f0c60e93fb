//! The chunk reader alone (RTMP §5.3, §5.4.1, §5.4.2).

use arcly_wire::rtmp::{Limits, Message, RtmpError, chunk::ChunkReader};

use crate::client::{Client, Wire, basic_header, pattern};

/// Messages as (type, stream, timestamp, body).
type Read = (u8, u32, u32, Vec<u8>);

fn read_into(reader: &mut ChunkReader, mut input: &[u8], out: &mut Vec<Read>) -> Result<(), RtmpError> {
    while let Some(Message { type_id, stream_id, timestamp_ms, body }) = reader.read(&mut input)? {
        out.push((type_id, stream_id, timestamp_ms, body.to_vec()));
    }
    assert!(input.is_empty(), "all input is taken");
    Ok(())
}

fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Read>, RtmpError> {
    let mut reader = ChunkReader::new(Limits::default());
    let mut out = Vec::new();
    for piece in pieces {
        read_into(&mut reader, piece, &mut out)?;
    }
    Ok(out)
}

/// What comes out, after checking that no cut of the input changes it.
#[track_caller]
fn read(input: &[u8]) -> Result<Vec<Read>, RtmpError> {
    let whole = read_pieces([input]);
    for point in 0..=input.len() {
        let (head, tail) = input.split_at(point);
        assert_eq!(read_pieces([head, tail]), whole, "cut at {point}");
    }
    assert_eq!(read_pieces(input.chunks(1)), whole, "byte by byte");
    whole
}

fn video(format: u8, time: u32, body: &[u8]) -> Wire<'_> {
    Wire { chunk_stream: 6, format, time, type_id: 9, stream_id: 1, body }
}

fn timestamps(messages: &[Wire<'_>]) -> Vec<u32> {
    let mut client = Client::new();
    messages.iter().for_each(|message| {
        client.write(message);
    });
    read(&client.out).unwrap().into_iter().map(|(_, _, timestamp_ms, _)| timestamp_ms).collect()
}

#[test]
fn four_header_types_inherit_from_the_header_before() {
    let (a, b) = (pattern(300, 1), pattern(20, 2));
    let mut client = Client::new();
    client.write(&video(0, 1000, &a)).write(&video(1, 40, &b));
    client.write(&video(2, 33, &b)).write(&video(3, 33, &b)).write(&video(3, 33, &b));
    let expected = [(1000, &a), (1040, &b), (1073, &b), (1106, &b), (1139, &b)];
    let expected = expected.map(|(timestamp_ms, body)| (9, 1, timestamp_ms, body.clone()));
    assert_eq!(read(&client.out).unwrap(), expected);
}

#[test]
fn type_3_behind_type_0_takes_the_timestamp_as_its_delta() {
    assert_eq!(timestamps(&[video(0, 1000, &[1]), video(3, 0, &[2]), video(3, 0, &[3])]), [1000, 2000, 3000]);
}

#[test]
fn type_0_again_sets_the_clock_back_or_forth() {
    assert_eq!(timestamps(&[video(0, 1000, &[1]), video(0, 10, &[2]), video(1, 5, &[3])]), [1000, 10, 15]);
}

#[test]
fn timestamps_wrap_at_32_bits() {
    assert_eq!(timestamps(&[video(0, u32::MAX - 9, &[1]), video(1, 40, &[2])]), [u32::MAX - 9, 30]);
}

#[test]
fn extended_timestamps_are_read_in_every_type_and_every_continuation() {
    let body = pattern(500, 1);
    for time in [0xff_fffe_u32, 0xff_ffff, 0x100_0000, 0xfedc_ba98] {
        let expected = [time, time.wrapping_add(20), time.wrapping_add(40)];
        assert_eq!(timestamps(&[video(0, time, &body), video(1, 20, &body), video(3, 20, &body)]), expected);
        let expected = [7, time.wrapping_add(7), time.wrapping_mul(2).wrapping_add(7)];
        assert_eq!(timestamps(&[video(0, 7, &body), video(2, time, &body), video(3, time, &body)]), expected);
    }
}

/// OBS, whose librtmp leaves the repetition out.
#[test]
fn extended_timestamps_that_type_3_does_not_repeat_are_no_part_of_the_body() {
    let time = 0x0100_0000;
    for length in (129..=140).chain([256, 257, 300, 500]) {
        // A body that begins each chunk like the timestamp, but for the last byte.
        let body: Vec<u8> = (0..length).map(|n| [1, 0, 0, 7, 9][n % 128 % 5]).collect();
        let mut bytes = Vec::new();
        for (index, chunk) in video(0, time, &body).chunks(128).into_iter().enumerate() {
            bytes.extend(if index == 0 { chunk } else { [&chunk[..1], &chunk[5..]].concat() });
        }
        bytes.extend(video(1, 20, &[1, 2, 3]).chunks(128).concat());
        let expected = [(9, 1, time, body), (9, 1, time + 20, vec![1, 2, 3])];
        assert_eq!(read(&bytes).unwrap(), expected, "{length}");
        for split in 0..bytes.len() {
            let mut reader = ChunkReader::new(Limits::default());
            let mut out = Vec::new();
            read_into(&mut reader, &bytes[..split], &mut out).unwrap();
            read_into(&mut reader, &bytes[split..], &mut out).unwrap();
            assert_eq!(out, expected, "{length} bytes, split at {split}");
        }
        let mut reader = ChunkReader::new(Limits::default());
        let mut out = Vec::new();
        bytes.iter().for_each(|byte| read_into(&mut reader, &[*byte], &mut out).unwrap());
        assert_eq!(out, expected, "{length} bytes, one by one");
    }
}

#[test]
fn chunk_stream_ids_have_one_two_or_three_bytes() {
    for chunk_stream in [3, 63, 64, 319, 320, 1000, 65_599] {
        let mut client = Client::new();
        client.write(&Wire { chunk_stream, ..video(0, 5, &pattern(300, 1)) });
        assert_eq!(read(&client.out).unwrap(), [(9, 1, 5, pattern(300, 1))], "{chunk_stream}");
    }
    // The same id in a longer form is the same chunk stream.
    let mut client = Client::new();
    client.write(&Wire { chunk_stream: 100, ..video(0, 5, &[1]) });
    client.out.extend([0xc1, 36, 0, 2]);
    assert_eq!(read(&client.out).unwrap(), [(9, 1, 5, vec![1]), (9, 1, 10, vec![2])]);
}

#[test]
fn interleaved_chunk_streams_keep_their_messages_apart() {
    let (audio, video) = (pattern(700, 1), pattern(1500, 2));
    let mut chunks = Wire { chunk_stream: 4, format: 0, time: 3, type_id: 8, stream_id: 1, body: &audio }.chunks(128);
    let others = Wire { chunk_stream: 6, format: 0, time: 4, type_id: 9, stream_id: 1, body: &video }.chunks(128);
    for (position, chunk) in others.into_iter().enumerate() {
        chunks.insert((2 * position + 1).min(chunks.len()), chunk);
    }
    assert_eq!(read(&chunks.concat()).unwrap(), [(8, 1, 3, audio), (9, 1, 4, video)]);
}

#[test]
fn empty_messages_are_messages() {
    assert_eq!(timestamps(&[video(0, 1, &[]), video(3, 1, &[]), video(1, 1, &[9])]), [1, 2, 3]);
}

#[test]
fn new_chunk_size_counts_from_the_next_chunk_even_within_a_message() {
    let body = pattern(600, 1);
    let chunks = video(0, 0, &body).chunks(128);
    let mut reader = ChunkReader::new(Limits::default());
    let mut out = Vec::new();
    read_into(&mut reader, &chunks[0], &mut out).unwrap();
    reader.set_chunk_bytes(1000).unwrap();
    read_into(&mut reader, &[&[0xc6], &body[128..]].concat(), &mut out).unwrap();
    assert_eq!(out, [(9, 1, 0, body)]);
}

#[test]
fn chunk_size_is_one_to_2_31_less_one() {
    let mut reader = ChunkReader::new(Limits { chunk_bytes: 70_000, ..Limits::default() });
    assert!(matches!(reader.set_chunk_bytes(0), Err(RtmpError::Malformed { .. })));
    assert!(matches!(reader.set_chunk_bytes(0x8000_0000), Err(RtmpError::Malformed { .. })));
    assert!(matches!(reader.set_chunk_bytes(70_001), Err(RtmpError::LimitExceeded { limit: "chunk_bytes", .. })));
    assert_eq!(reader.set_chunk_bytes(70_000), Ok(()));
    assert_eq!(reader.set_chunk_bytes(1), Ok(()));
    assert_eq!(ChunkReader::new(Limits::default()).set_chunk_bytes(0x7fff_ffff), Ok(()));
}

#[test]
fn aborted_message_is_gone_and_its_memory_with_it() {
    let chunks = video(0, 10, &pattern(600, 1)).chunks(128);
    let mut reader = ChunkReader::new(Limits::default());
    let mut out = Vec::new();
    read_into(&mut reader, &chunks[..3].concat(), &mut out).unwrap();
    let before = reader.buffered_bytes();
    reader.abort(5);
    assert_eq!(reader.buffered_bytes(), before, "another chunk stream");
    reader.abort(6);
    assert!(reader.buffered_bytes() + 600 <= before);
    read_into(&mut reader, &video(1, 5, &[7]).chunks(128).concat(), &mut out).unwrap();
    assert_eq!(out, [(9, 1, 15, vec![7])]);
}

#[test]
fn new_header_within_a_message_is_refused() {
    for format in 0..3 {
        let mut client = Client::new();
        client.out = video(0, 0, &pattern(300, 1)).chunks(128)[0].clone();
        client.write(&video(format, 0, &[1]));
        let error = read(&client.out).unwrap_err();
        assert!(error.to_string().contains("a new message on chunk stream 6 after 128 of 300 bytes"), "{error}");
    }
}

#[test]
fn fresh_chunk_stream_needs_a_length() {
    for format in [2, 3] {
        let input = [basic_header(format, 9), vec![0; 3]].concat();
        assert!(matches!(read_pieces([&input[..]]), Err(RtmpError::Malformed { .. })), "{format}");
    }
    assert_eq!(timestamps(&[video(1, 9, &[1])]), [9], "librtmp begins with type 1");
}

#[test]
fn announced_length_costs_no_memory_until_bytes_come() {
    let mut reader = ChunkReader::new(Limits::default());
    reader.set_chunk_bytes(0xff_ffff).unwrap();
    let header = [&[6, 0, 0, 0, 0xff, 0xff, 0xff, 9][..], &[1, 0, 0, 0]].concat();
    let mut out = Vec::new();
    read_into(&mut reader, &header, &mut out).unwrap();
    let state = reader.buffered_bytes();
    assert!(state < 1024, "{state}");
    let piece = vec![0; 10_000];
    for received in (10_000..=200_000).step_by(10_000) {
        read_into(&mut reader, &piece, &mut out).unwrap();
        let bound = state + (2 * received).max(16 << 10);
        assert!(reader.buffered_bytes() <= bound, "{} for {received}", reader.buffered_bytes());
    }
}

#[test]
fn unfinished_messages_together_stay_under_their_limit() {
    let mut reader = ChunkReader::new(Limits { unfinished_bytes: 1 << 20, ..Limits::default() });
    reader.set_chunk_bytes(40_000).unwrap();
    let begin_message = |reader: &mut ChunkReader, chunk_stream| {
        // 1 MiB announced, the first chunk of it here.
        let header = [chunk_stream, 0, 0, 0, 0x10, 0, 0, 9, 1, 0, 0, 0];
        read_into(reader, &[&header[..], &[0; 40_000]].concat(), &mut Vec::new())
    };
    for chunk_stream in 3..29 {
        begin_message(&mut reader, chunk_stream).unwrap();
        assert!(reader.buffered_bytes() <= (1 << 20) + 64 * 128);
    }
    let error = begin_message(&mut reader, 29).unwrap_err();
    assert!(matches!(error, RtmpError::LimitExceeded { limit: "unfinished_bytes", .. }), "{error}");
}

#[test]
fn chunk_streams_and_message_lengths_stay_under_their_limits() {
    let mut reader = ChunkReader::new(Limits { message_bytes: 1000, ..Limits::default() });
    let error = read_into(&mut reader, &video(0, 0, &[0; 1001]).chunks(128)[0], &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "limit exceeded: message_bytes is 1000, the peer wanted 1001");

    let mut reader = ChunkReader::new(Limits::default());
    let mut opened = 0;
    for chunk_stream in 2..65_600 {
        let input = Wire { chunk_stream, ..video(0, 0, &[1, 2]) }.chunks(128).concat();
        match read_into(&mut reader, &input[..input.len() - 1], &mut Vec::new()) {
            Ok(()) => opened += 1,
            Err(error) => {
                assert!(matches!(error, RtmpError::LimitExceeded { limit: "chunk_streams", max: 64, seen: 65 }));
                break;
            }
        }
        let _ = read_into(&mut reader, &input[input.len() - 1..], &mut Vec::new());
    }
    assert_eq!(opened, 64);
}
