//! Broken sessions: no panic, no unbounded memory. `arcly-fuzz` does the same for longer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arcly_wire::rtmp::{Event, Limits, ServerConn, amf::Decoder, chunk::ChunkReader};

use crate::{
    client::{Client, T0, command, object, text},
    script,
};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// One to four edits: a bit, a byte, a cut, a repeat.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0..3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3..5 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random.next() as u8][random.below(6)],
            5 => bytes.truncate(at.max(1)),
            6 => drop(bytes.drain(at..bytes.len().min(at + random.below(20)))),
            _ => {
                let end = bytes.len().min(at + random.below(40));
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Runs `target` on `count` mutations of each seed, and names the one that fails.
fn sweep(count: u64, seeds: &[Vec<u8>], target: impl Fn(&mut Random, &[u8])) {
    for number in 0..count {
        let mut random = Random(number);
        let mut input = seeds[random.below(seeds.len())].clone();
        mutate(&mut random, &mut input);
        let result = catch_unwind(AssertUnwindSafe(|| target(&mut random, &input)));
        assert!(result.is_ok(), "seed {number}: {input:02x?}");
    }
}

#[test]
fn mutated_amf0_never_panics() {
    let seeds = [script::metadata(), command("connect", 1.0, &[object(&[("app", text("live"))])])];
    let limits = Limits::default();
    sweep(120_000, &seeds, |_, input| {
        let mut decoder = Decoder::new(input, limits.amf());
        while let Ok(Some(_)) = decoder.next_value() {}
    });
}

#[test]
fn mutated_chunks_never_panic_and_stay_small() {
    let mut client = Client::new();
    client.full(6, 9, 1, 5, &[7; 300]).full(70, 8, 1, 0x100_0000, &[8; 200]).full(400, 18, 1, 9, &[9; 10]);
    let limits = Limits { unfinished_bytes: 1 << 16, chunk_streams: 8, ..Limits::default() };
    sweep(50_000, &[client.out], |random, input| {
        let mut reader = ChunkReader::new(limits);
        for piece in input.chunks(1 + random.below(400)) {
            let mut piece = piece;
            while let Ok(Some(_)) = reader.read(&mut piece) {}
            assert!(reader.buffered_bytes() <= (1 << 16) + 16 * 128);
        }
    });
}

/// A session in small, so that the edits hit what matters.
fn small_session() -> Vec<u8> {
    let mut client = Client::new();
    client.connect("live").create_stream().publish(1, "cam?token=x").set_chunk_size(200);
    client.full(4, 18, 1, 0, &script::metadata()).full(6, 9, 1, 0, &[1; 250]).full(4, 8, 1, 0, &[2; 20]);
    client.full(6, 22, 1, 0, b"\x08\0\0\x01\0\0\0\0\0\0\0x\0\0\0\x0c").full(2, 4, 0, 0, &[0, 6, 1, 2, 3, 4]);
    client.command(1, "closeStream", 0.0, &[]);
    client.out
}

#[test]
fn mutated_sessions_never_panic_and_stay_small() {
    let limits = Limits { unfinished_bytes: 1 << 18, ..Limits::default() };
    let handshake = Client::handshake();
    let accepted = std::cell::Cell::new(0);
    sweep(40_000, &[small_session()], |random, input| {
        let mut conn = ServerConn::new(limits, 0, T0);
        conn.handle_input(T0, &handshake).unwrap();
        while conn.poll_output().is_some() {}
        for piece in input.chunks(1 + random.below(300)) {
            let _ = conn.handle_input(T0, piece);
            assert!(conn.buffered_bytes() < (1 << 18) + (1 << 17), "{}", conn.buffered_bytes());
            while let Some(event) = conn.poll_event() {
                if let Event::PublishRequested(request) = event {
                    conn.accept_publish(request.stream_id);
                    accepted.set(accepted.get() + 1);
                }
            }
            while conn.poll_output().is_some() {}
        }
    });
    assert!(accepted.get() > 15_000, "most inputs get as far as a publish: {}", accepted.get());
}
