//! The handshake (RTMP §5.2), both sides: C0 C1 ▶ S0 S1 S2 ▶ C2. With digests where the client brings one.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::{
    RtmpError,
    digest::{self, Layout, PART_BYTES, Part, Side},
};

/// The only version (RTMP §5.2.2).
const VERSION: u8 = 3;

/// The server's side of the handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    state: State,
    seed: u64,
}

#[derive(Debug)]
enum State {
    Version,
    /// What came of C1, to be echoed in S2.
    C1(Vec<u8>),
    /// What is missing of C2. Its content is not looked at: ffmpeg, OBS and hardware encoders echo
    /// S1 more or less exactly, and nothing depends on it.
    C2 {
        missing: usize,
    },
    Done,
}

impl Handshake {
    /// C0, C1 and C2: what comes in front of the first chunk.
    pub(super) const INPUT_BYTES: u64 = 1 + 2 * PART_BYTES as u64;

    pub(super) fn new(seed: u64) -> Self {
        Self { state: State::Version, seed }
    }

    /// Takes its bytes off the front of `input`; true when the handshake is done.
    pub(super) fn read(&mut self, now: Duration, input: &mut &[u8], output: &mut BytesMut) -> Result<bool, RtmpError> {
        while !input.is_empty() && !matches!(self.state, State::Done) {
            self.step(now, input, output)?;
        }
        Ok(matches!(self.state, State::Done))
    }

    fn step(&mut self, now: Duration, input: &mut &[u8], output: &mut BytesMut) -> Result<(), RtmpError> {
        match &mut self.state {
            State::Version => {
                check_version(take_up_to(input, 1))?;
                self.state = State::C1(Vec::new());
            }
            State::C1(c1) => {
                c1.extend_from_slice(take_up_to(input, PART_BYTES.saturating_sub(c1.len())));
                if c1.len() == PART_BYTES {
                    write_reply(now, c1, self.seed, output);
                    self.state = State::C2 { missing: PART_BYTES };
                }
            }
            State::C2 { missing } => {
                *missing = missing.saturating_sub(take_up_to(input, *missing).len());
                if *missing == 0 {
                    self.state = State::Done;
                }
            }
            State::Done => {}
        }
        Ok(())
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        if let State::C1(c1) = &self.state { c1.capacity() } else { 0 }
    }
}

fn take_up_to<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = input.split_at_checked(count).unwrap_or((*input, &[]));
    *input = tail;
    head
}

/// Says at the first byte what the peer speaks instead, where it can be told.
fn check_version(c0: &[u8]) -> Result<(), RtmpError> {
    let hint = match c0.first() {
        Some(&VERSION) => return Ok(()),
        Some(6 | 8 | 9) => {
            return Err(RtmpError::Unsupported { what: "RTMPE (encrypted RTMP); use rtmp:// or rtmps://" });
        }
        Some(0x16) => "is this TLS (rtmps://) on the port of plain RTMP?",
        Some(byte) if byte.is_ascii_uppercase() => "is this an HTTP client (or RTMPT)?",
        _ => "C0 must be 3",
    };
    let byte = c0.first().copied().unwrap_or_default();
    Err(RtmpError::Misbehaved { state: "handshake", got: format!("not RTMP: first byte 0x{byte:02x}; {hint}") })
}

/// S0, S1 and S2 in one piece: all three are due when C1 is complete (RTMP §5.2.5).
fn write_reply(now: Duration, c1: &[u8], seed: u64, output: &mut BytesMut) {
    output.reserve(1 + 2 * PART_BYTES);
    output.put_u8(VERSION);
    let digest = c1.first_chunk().filter(|c1| has_version(c1)).and_then(|c1: &Part| digest::find(c1, Side::Client));
    let Some((layout, of_client)) = digest else {
        // Version zero: anything else announces the digest handshake to clients that know it.
        output.put_slice(&random_part(now, [0; 4], seed));
        // S2: C1 as it came. RTMP §5.2.4 puts the time of reading into its second word, but librtmp, and so OBS, compares all of it
        // and complains in its log.
        return output.put_slice(c1);
    };
    let mut s1 = random_part(now, SERVER_VERSION, seed);
    digest::put(&mut s1, Side::Server, layout);
    output.put_slice(&s1);
    let mut s2 = random_part(now, [0; 4], !seed);
    digest::put_answer(&mut s2, Side::Server, &of_client);
    output.put_slice(&s2);
}

/// What a server and a client that know digests say in the second word of their first part.
const SERVER_VERSION: [u8; 4] = [5, 0, 1, 1];
const CLIENT_VERSION: [u8; 4] = [9, 0, 124, 2];

fn has_version(part: &Part) -> bool {
    part.get(4..8) != Some(&[0; 4])
}

/// The time in milliseconds modulo 2^32, as the field says, a version, and random bytes.
fn random_part(now: Duration, version: [u8; 4], seed: u64) -> Part {
    let mut bytes = BytesMut::with_capacity(PART_BYTES);
    bytes.put_u32(now.as_millis() as u32);
    bytes.put_slice(&version);
    put_random(seed, PART_BYTES - 8, &mut bytes);
    bytes.first_chunk().copied().unwrap_or([0; PART_BYTES])
}

/// The client's side. It brings a digest, which servers that know none pass over.
#[derive(Debug)]
pub(super) struct ClientHandshake {
    seed: u64,
    /// What came of S0, S1 and S2.
    came: Vec<u8>,
}

/// S0, S1 and S2.
const REPLY_BYTES: usize = 1 + 2 * PART_BYTES;

impl ClientHandshake {
    /// Begins: C0 and C1.
    pub(super) fn begin(now: Duration, seed: u64, output: &mut BytesMut) -> Self {
        let mut c1 = random_part(now, CLIENT_VERSION, seed);
        digest::put(&mut c1, Side::Client, Layout::First);
        output.put_u8(VERSION);
        output.put_slice(&c1);
        Self { seed, came: Vec::new() }
    }

    /// Takes its bytes off the front of `input`; true when the handshake is done.
    pub(super) fn read(&mut self, now: Duration, input: &mut &[u8], output: &mut BytesMut) -> Result<bool, RtmpError> {
        if self.came.is_empty() && !input.is_empty() {
            check_version(input.get(..1).unwrap_or_default())?;
        }
        self.came.extend_from_slice(take_up_to(input, REPLY_BYTES.saturating_sub(self.came.len())));
        if self.came.len() < REPLY_BYTES {
            return Ok(false);
        }
        let s1: Part = self.came.get(1..).and_then(|parts| parts.first_chunk()).copied().unwrap_or([0; PART_BYTES]);
        // C2 answers the digest of S1, or is S1 as it came. S2 is not looked at: servers differ, and nothing depends on it.
        match digest::find(&s1, Side::Server).filter(|_| has_version(&s1)) {
            Some((_, of_server)) => {
                let mut c2 = random_part(now, [0; 4], !self.seed);
                digest::put_answer(&mut c2, Side::Client, &of_server);
                output.put_slice(&c2);
            }
            None => output.put_slice(&s1),
        }
        Ok(true)
    }
}

/// Fills with SplitMix64. "Random" here tells a connection from itself; it protects nothing.
fn put_random(seed: u64, bytes: usize, output: &mut BytesMut) {
    let mut state = seed;
    for _ in 0..bytes / 8 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        output.put_u64(mixed ^ (mixed >> 31));
    }
}
