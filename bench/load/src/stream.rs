//! The stream that is published: H.264 and AAC in FLV bodies whose every byte a viewer can foretell.
//!
//! A picture is one SEI of unregistered user data (H.264 §7.3.2.3, D.1.7), which holds its number and the instant at which it was sent,
//! and one slice whose bytes follow from the number. Nothing decodes it; every server has to carry it.

use std::sync::LazyLock;

/// Key frames come every two seconds, as encoders for live streams are set.
pub const FRAMES_PER_GOP: u64 = 60;
pub const FRAMES_PER_S: u64 = 30;
pub const AUDIO_RATE_HZ: u64 = 44_100;
pub const AUDIO_FRAME_SAMPLES: u64 = 1024;

/// 1280x720, Main profile, level 3.1: FLV header, then an avcC with the parameter sets of x264.
pub const VIDEO_CONFIG: &[u8] = b"\x17\0\0\0\0\
    \x01\x4d\x40\x1f\xff\xe1\0\x19\x67\x4d\x40\x1f\xd9\0\x50\x05\xbb\x01\x10\0\0\x03\0\x10\0\0\x03\x03\xc0\xf1\x83\x24\x80\x01\0\x05\x68\xeb\xc3\xcb\x20";
/// AAC-LC, 44.1 kHz, stereo.
pub const AUDIO_CONFIG: &[u8] = b"\xaf\0\x12\x10";

/// Names our SEI among others.
const SEI_UUID: [u8; 16] = *b"arcly-bench-load";
const NUMBER_BYTES: usize = 10;
const SEI_NAL_BYTES: usize = 3 + 16 + 2 * NUMBER_BYTES + 1;
/// From the FLV header to the first byte of the slice that is pattern.
pub const VIDEO_HEAD_BYTES: usize = 5 + 4 + SEI_NAL_BYTES + 4 + 1;
pub const AUDIO_HEAD_BYTES: usize = 2 + NUMBER_BYTES;

/// Sizes of the frames of a bit rate.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    bits_per_s: u64,
    key_bytes: u64,
    delta_bytes: u64,
    audio_bytes: u64,
}

/// What the head of a video body says.
#[derive(Debug, PartialEq, Eq)]
pub struct VideoHead {
    pub number: u64,
    pub sent_ns: u64,
    pub is_key: bool,
}

impl Shape {
    /// The bit rate is that of video and audio together. A key frame is ten times the size of the others, and more at low rates.
    pub fn of(bits_per_s: u64) -> Self {
        let audio_bits_per_s = if bits_per_s >= 1_000_000 { 128_000 } else { 48_000 };
        let audio_bytes = audio_bits_per_s / 8 * AUDIO_FRAME_SAMPLES / AUDIO_RATE_HZ;
        let gop_bytes = (bits_per_s - audio_bits_per_s) / 8 * FRAMES_PER_GOP / FRAMES_PER_S;
        let key_bytes = gop_bytes / 7;
        Self { bits_per_s, key_bytes, delta_bytes: (gop_bytes - key_bytes) / (FRAMES_PER_GOP - 1), audio_bytes }
    }

    pub fn bits_per_s(&self) -> u64 {
        self.bits_per_s
    }

    /// The size of the body of picture `number`: others than key frames vary between half and one and a half of their mean.
    pub fn video_bytes(&self, number: u64) -> usize {
        let bytes = if number.is_multiple_of(FRAMES_PER_GOP) {
            self.key_bytes
        } else {
            self.delta_bytes / 2 + self.delta_bytes * (scrambled(number) % 1024) / 1024
        };
        (bytes as usize).max(VIDEO_HEAD_BYTES + 1)
    }

    pub fn audio_bytes(&self) -> usize {
        (self.audio_bytes as usize).max(AUDIO_HEAD_BYTES + 1)
    }

    /// The FLV body of picture `number`, stamped with the instant at which it is sent.
    pub fn video_body(&self, number: u64, sent_ns: u64) -> Vec<u8> {
        let bytes = self.video_bytes(number);
        let is_key = number.is_multiple_of(FRAMES_PER_GOP);
        let mut body = Vec::with_capacity(bytes);
        body.extend([if is_key { 0x17 } else { 0x27 }, 1, 0, 0, 0]);
        body.extend((SEI_NAL_BYTES as u32).to_be_bytes());
        body.extend([0x06, 0x05, (16 + 2 * NUMBER_BYTES) as u8]);
        body.extend(SEI_UUID);
        body.extend(encoded(number));
        body.extend(encoded(sent_ns));
        body.push(0x80);
        body.extend(((bytes - VIDEO_HEAD_BYTES + 1) as u32).to_be_bytes());
        body.push(if is_key { 0x65 } else { 0x41 });
        extend_with_pattern(&mut body, number, bytes);
        body
    }

    pub fn audio_body(&self, number: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.audio_bytes());
        body.extend([0xaf, 1]);
        body.extend(encoded(number));
        extend_with_pattern(&mut body, number, self.audio_bytes());
        body
    }
}

/// Reads what [`Shape::video_body`] wrote; `None` when it is anything else. `bytes` is the size of the whole body.
pub fn read_video_head(head: &[u8; VIDEO_HEAD_BYTES], bytes: usize) -> Option<VideoHead> {
    let number = decoded(head[28..38].first_chunk()?).filter(|number| *number <= NUMBER_MAX)?;
    let sent_ns = decoded(head[38..48].first_chunk()?)?;
    let is_key = number.is_multiple_of(FRAMES_PER_GOP);
    let begin = [if is_key { 0x17 } else { 0x27 }, 1, 0, 0, 0, 0, 0, 0, SEI_NAL_BYTES as u8, 0x06, 0x05, 36];
    let [a, b, c, d] = ((bytes - VIDEO_HEAD_BYTES + 1) as u32).to_be_bytes();
    let end = [0x80, a, b, c, d, if is_key { 0x65 } else { 0x41 }];
    (head[..12] == begin && head[12..28] == SEI_UUID && head[48..] == end).then_some(VideoHead {
        number,
        sent_ns,
        is_key,
    })
}

/// Reads the number of an audio frame; `None` when it is not ours.
pub fn read_audio_head(head: &[u8; AUDIO_HEAD_BYTES]) -> Option<u64> {
    (head[..2] == [0xaf, 1]).then(|| decoded(head[2..].first_chunk()?)).flatten().filter(|number| *number <= NUMBER_MAX)
}

/// When picture `number` is due, in milliseconds of the stream.
pub fn video_ms(number: u64) -> u64 {
    number * 1000 / FRAMES_PER_S
}

/// When audio frame `number` is due, in milliseconds of the stream.
pub fn audio_ms(number: u64) -> u64 {
    number * AUDIO_FRAME_SAMPLES * 1000 / AUDIO_RATE_HZ
}

pub fn video_due_ns(number: u64) -> u64 {
    number * 1_000_000_000 / FRAMES_PER_S
}

pub fn audio_due_ns(number: u64) -> u64 {
    number * AUDIO_FRAME_SAMPLES * 1_000_000_000 / AUDIO_RATE_HZ
}

/// Whether `piece`, found `offset` bytes into the body of frame `number`, is what was sent.
pub fn is_pattern(number: u64, offset: usize, mut piece: &[u8]) -> bool {
    let mut at = pattern_start(number, offset);
    loop {
        let run = piece.len().min(PATTERN_BYTES - at);
        if piece[..run] != PATTERN[at..at + run] {
            return false;
        }
        if run == piece.len() {
            return true;
        }
        (piece, at) = (&piece[run..], 0);
    }
}

fn extend_with_pattern(body: &mut Vec<u8>, number: u64, bytes: usize) {
    while body.len() < bytes {
        let at = pattern_start(number, body.len());
        let run = (bytes - body.len()).min(PATTERN_BYTES - at);
        body.extend(&PATTERN[at..at + run]);
    }
}

/// Another place for every frame, so that parts of two frames cannot pass for one.
fn pattern_start(number: u64, offset: usize) -> usize {
    (number as usize).wrapping_mul(7919).wrapping_add(offset) % PATTERN_BYTES
}

/// Small enough to stay in a core's cache while hundreds of viewers are compared with it.
const PATTERN_BYTES: usize = 1 << 16;

/// Without zeros: no start code can appear in it, and nothing has to be escaped (H.264 §7.4.1).
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..PATTERN_BYTES as u64).map(|at| (scrambled(at) % 255) as u8 + 1).collect());

/// The output function of splitmix64.
fn scrambled(value: u64) -> u64 {
    let mixed = value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Seven bits a byte, the top bit set: a number without a zero byte.
fn encoded(number: u64) -> [u8; NUMBER_BYTES] {
    std::array::from_fn(|byte| (number >> (7 * byte)) as u8 | 0x80)
}

/// No stream lasts as long as that many frames: a larger number is none of ours.
const NUMBER_MAX: u64 = 1 << 40;

fn decoded(bytes: &[u8; NUMBER_BYTES]) -> Option<u64> {
    bytes.iter().all(|byte| byte & 0x80 != 0).then(|| {
        let bits = |(byte, value): (usize, &u8)| u64::from(value & 0x7f) << (7 * byte);
        bytes.iter().enumerate().map(bits).fold(0, |number, bits| number | bits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_says_its_number_and_instant() {
        let shape = Shape::of(2_500_000);
        for number in [0, 1, 59, 60, 12_345] {
            let body = shape.video_body(number, u64::MAX - number);
            let head = read_video_head(body.first_chunk().unwrap(), body.len()).unwrap();
            assert_eq!(head, VideoHead { number, sent_ns: u64::MAX - number, is_key: number % 60 == 0 });
            assert!(is_pattern(number, VIDEO_HEAD_BYTES, &body[VIDEO_HEAD_BYTES..]));
            assert!(!is_pattern(number + 1, VIDEO_HEAD_BYTES, &body[VIDEO_HEAD_BYTES..]));
        }
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let shape = Shape::of(500_000);
        let body = shape.video_body(7, 1 << 40);
        for at in 0..body.len() {
            let mut bad = body.clone();
            bad[at] ^= 0x01;
            let head = read_video_head(bad.first_chunk().unwrap(), bad.len());
            let same =
                head.is_some_and(|head| head == read_video_head(body.first_chunk().unwrap(), body.len()).unwrap());
            assert!(!same || !is_pattern(7, VIDEO_HEAD_BYTES, &bad[VIDEO_HEAD_BYTES..]), "byte {at}");
        }
    }

    #[test]
    fn the_bit_rate_is_what_was_asked_for() {
        for bits_per_s in [200_000, 500_000, 2_500_000] {
            let shape = Shape::of(bits_per_s);
            let video: usize = (0..600).map(|number| shape.video_bytes(number)).sum();
            let audio = shape.audio_bytes() as u64 * 20 * AUDIO_RATE_HZ / AUDIO_FRAME_SAMPLES;
            let measured = (video as u64 + audio) * 8 / 20;
            assert!(measured.abs_diff(bits_per_s) < bits_per_s / 50, "{measured}");
        }
    }

    #[test]
    fn audio_says_its_number() {
        let body = Shape::of(2_500_000).audio_body(99);
        assert_eq!(read_audio_head(body.first_chunk().unwrap()), Some(99));
        assert_eq!(audio_ms(43), 998);
    }
}
