//! Access units of every codec, in the form of the bus: real beginnings, and bodies that nobody decodes.

use arcly_codec::{Codec, CodecConfig, opus::OpusConfig, pcm::PcmConfig};
use arcly_wire::rtp::{Encoding, Format, Parameters};
use bytes::Bytes;

use crate::{
    nal,
    stream::{Rng, unhex},
};

/// A stream to be sent.
pub struct Media {
    pub format: Format,
    pub config: CodecConfig,
    /// Payload, and whether decoding can begin there.
    pub units: Vec<(Vec<u8>, bool)>,
}

/// Sequence header and key frame, inter frame: libaom through ffmpeg 5.1.
const AV1_KEY: [&str; 2] = ["0a0b000000043cfeccdaf90040", "32101400a16010d86f45a096c997d9b48be4"];
const AV1_INTER: &str = "32102905f020000011a2f0020821025082ba";

/// How many kinds [`media`] makes.
pub const KINDS: usize = 17;

/// A stream of `count` access units; every tenth is a key frame.
pub fn media(kind: usize, count: usize, rng: &mut Rng) -> Media {
    let pcm = |rate, channels, bits| PcmConfig::new(rate, channels, bits).unwrap();
    match kind {
        0 => of(nal::h264(), count, |key| nal::access_unit(&nal::h264(), key, rng)),
        1 => of(nal::h265(), count, |key| nal::access_unit(&nal::h265(), key, rng)),
        2 => in_band(Codec::Vp8, count, |key| with_body(vp8(key), rng)),
        3 => in_band(Codec::Vp9, count, |key| with_body(vp9(key), rng)),
        4 => in_band(Codec::Av1, count, |key| av1(key, rng)),
        5 => of(nal::aac(), count, |_| with_body(&[0x21], rng)),
        6 => latm(of(nal::aac(), count, |_| with_body(&[0x21], rng))),
        7 => of(CodecConfig::Opus(OpusConfig::new(2).unwrap()), count, |_| {
            let bytes = 1 + rng.below(50);
            [&[0xfc][..], &rng.bytes(bytes)].concat()
        }),
        8 => of(CodecConfig::G711A(pcm(8_000, 1, 8)), count, |_| samples(1, rng)),
        9 => of(CodecConfig::G711U(pcm(8_000, 2, 8)), count, |_| samples(2, rng)),
        10 => of(CodecConfig::G722(pcm(16_000, 1, 4)), count, |_| samples(1, rng)),
        11 => of(CodecConfig::Pcm(pcm(48_000, 2, 16)), count, |_| samples(4, rng)),
        12 => of(CodecConfig::Pcm(pcm(48_000, 6, 24)), count, |_| samples(18, rng)),
        // 128 kbit/s at 48 kHz: 384 bytes; layer II with 192 kbit/s: 576.
        13 => in_band(Codec::Mp3, count, |_| [&[0xff, 0xfb, 0x94, 0x44][..], &rng.bytes(380)].concat()),
        14 => in_band(Codec::Mp2, count, |_| [&[0xff, 0xfd, 0xa4, 0x44][..], &rng.bytes(572)].concat()),
        // 192 kbit/s at 48 kHz: 768 bytes; a dependent substream behind an independent one.
        15 => in_band(Codec::Ac3, count, |_| [&unhex("0b7700001440430000")[..], &rng.bytes(759)].concat()),
        _ => in_band(Codec::Eac3, count, |_| {
            let body = |head: &str, rng: &mut Rng| [&unhex(head)[..], &rng.bytes(768 - 10)].concat();
            [body("0b77017f3487c0000000", rng), body("0b77417f3487c0000000", rng)].concat()
        }),
    }
}

fn of(config: CodecConfig, count: usize, mut unit: impl FnMut(bool) -> Vec<u8>) -> Media {
    let format = Format::of(96, &config).unwrap();
    let is_video = config.video().is_some();
    let units = (0..count).map(|index| index.is_multiple_of(10)).map(|key| (unit(key), key && is_video)).collect();
    Media { format, config, units }
}

/// Of a codec that has its configuration in its frames.
fn in_band(codec: Codec, count: usize, mut unit: impl FnMut(bool) -> Vec<u8>) -> Media {
    let config = match codec {
        Codec::Eac3 => CodecConfig::Eac3(arcly_codec::ac3::Eac3Config::from_access_unit(&unit(true)).unwrap()),
        codec => CodecConfig::from_frame(codec, Bytes::from(unit(true))).unwrap(),
    };
    of(config, count, unit)
}

fn latm(mut media: Media) -> Media {
    media.format = Format { encoding: Encoding::Mp4aLatm, parameters: Parameters::parse("cpresent=1"), ..media.format };
    media
}

fn with_body(head: &[u8], rng: &mut Rng) -> Vec<u8> {
    let bytes = [10, 300, 1_500, 6_000][rng.below(4)];
    // No superframe index at its end.
    [head, &rng.bytes(bytes), &[0]].concat()
}

fn vp8(is_key: bool) -> &'static [u8] {
    if is_key { &[0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0] } else { &[0x11, 0, 0] }
}

fn vp9(is_key: bool) -> &'static [u8] {
    // Profile 0, 320×240.
    if is_key { &[0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0e, 0xf0] } else { &[0x86, 0, 0x40] }
}

/// Frames, and now and then a metadata OBU with an extension and a long one behind it.
fn av1(is_key: bool, rng: &mut Rng) -> Vec<u8> {
    let mut unit = if is_key { AV1_KEY.map(unhex).concat() } else { unhex(AV1_INTER) };
    for _ in 0..rng.below(5) {
        // A metadata OBU of 3 to 3000 bytes.
        let longest = [3_000, 50, 50][rng.below(3)];
        let bytes = 3 + rng.below(longest);
        unit.extend([0x2e, 0x08]);
        arcly_codec::av1::put_leb128(&mut unit, bytes);
        unit.extend(rng.bytes(bytes));
    }
    unit
}

fn samples(block_bytes: usize, rng: &mut Rng) -> Vec<u8> {
    let blocks = [1, 80, 500, 2_000][rng.below(4)];
    rng.bytes(block_bytes * blocks)
}
