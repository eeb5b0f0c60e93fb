//! The chunk reader; what it reads must not depend on how the input is cut.

use arcly_wire::rtmp::{Limits, Message, RtmpError, chunk::ChunkReader};

use super::Target;
use crate::mutate::Input;

/// Small, so that they are reached.
const UNFINISHED_BYTES: usize = 64 << 10;
const CHUNK_STREAMS: usize = 16;

pub const TARGET: Target = Target {
    name: "rtmp_chunk",
    vectors,
    edit: None,
    // With the states of the chunk streams, less than 128 bytes each.
    buffered_bytes_max: UNFINISHED_BYTES + CHUNK_STREAMS * 128,
    run,
};

fn vectors() -> Vec<Vec<u8>> {
    let body = |length: usize| (0..length).map(|index| index as u8).collect::<Vec<_>>();
    // Type 0 in two chunks of 128, then types 1, 2 and 3.
    let every_type = [
        &b"\x06\x00\x03\xe8\x00\x00\xc8\x09\x01\x00\x00\x00"[..],
        &body(128),
        b"\xc6",
        &body(72),
        b"\x46\x00\x00\x28\x00\x00\x04\x09abcd",
        b"\x86\x00\x00\x21abcd",
        b"\xc6abcd",
    ];
    // Extended timestamps, repeated in the continuation; a chunk stream id of two bytes.
    let extended = [
        &b"\x00\x10\xff\xff\xff\x00\x00\x90\x08\x01\x00\x00\x00\x01\x00\x00\x00"[..],
        &body(128),
        b"\xc0\x10\x01\x00\x00\x00",
        &body(16),
    ];
    // Two messages interleaved; chunk stream ids of one and three bytes.
    let interleaved = [
        &b"\x04\x00\x00\x05\x00\x00\x90\x08\x01\x00\x00\x00"[..],
        &body(128),
        b"\x01\x00\x01\x00\x00\x05\x00\x00\x02\x09\x01\x00\x00\x00vv",
        b"\xc4",
        &body(16),
    ];
    vec![every_type.concat(), extended.concat(), interleaved.concat(), [&every_type[..], &extended].concat().concat()]
}

/// Messages up to the first error, and that error.
type Outcome = (Vec<Message>, Option<RtmpError>);

fn run(input: &Input) -> usize {
    let mut held = 0;
    let in_pieces = read(input.pieces(), &mut held);
    let whole = read(Input::whole(input.bytes.clone()).pieces(), &mut held);
    // Memory follows the bytes as they come, so that its limit may be met in one way of cutting only.
    if !out_of_memory(&in_pieces) && !out_of_memory(&whole) {
        assert_eq!(in_pieces, whole, "the cuts change the messages");
    }
    held
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, held: &mut usize) -> Outcome {
    let limits = Limits { unfinished_bytes: UNFINISHED_BYTES, chunk_streams: CHUNK_STREAMS, ..Limits::default() };
    let mut reader = ChunkReader::new(limits);
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(message)) => obey(&mut reader, &message, &mut messages),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
            *held = reader.buffered_bytes().max(*held);
        }
        *held = reader.buffered_bytes().max(*held);
    }
    (messages, None)
}

/// What a connection does with Set Chunk Size and Abort Message.
fn obey(reader: &mut ChunkReader, message: &Message, messages: &mut Vec<Message>) {
    let value = message.body.first_chunk().copied().map(u32::from_be_bytes);
    match (message.type_id, value) {
        // An error leaves the size as it was, in both ways of cutting.
        (1, Some(size)) => drop(reader.set_chunk_bytes(size)),
        (2, Some(chunk_stream)) => reader.abort(chunk_stream),
        _ => {}
    }
    messages.push(message.clone());
}

fn out_of_memory((_, error): &Outcome) -> bool {
    matches!(error, Some(RtmpError::LimitExceeded { limit: "unfinished_bytes", .. }))
}
