//! FLV tags as the targets have them in their inputs, and vectors of them.

use crate::avc::{RECORDS, unhex};

/// The demo clip: an encoder's own tags.
const DEMO: &[u8] = include_bytes!("../../../arcly/server/demo.flv");
/// So much of it: the first GOP nearly whole, and below the longest input.
const DEMO_BYTES: usize = 60_000;
/// A beginning has no more.
const BEGINNING_BYTES: usize = 800;
/// FLV header and the first `PreviousTagSize` (FLV §E.2, §E.3).
pub const FILE_HEADER: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];
/// `TagType`.
pub const AUDIO: u8 = 8;
/// `TagType`.
pub const VIDEO: u8 = 9;

/// AVC sequence header, key picture, other picture, end of sequence: the five bytes in front of the data (§E.4.3).
const AVC_CONFIG: &[u8] = &[0x17, 0, 0, 0, 0];
const AVC_KEY: &[u8] = &[0x17, 1, 0, 0, 0];
const AVC_PICTURE: &[u8] = &[0x27, 1, 0, 0, 40];
const AVC_END: &[u8] = &[0x17, 2, 0, 0, 0];
/// AAC sequence header and access unit (§E.4.2).
const AAC_CONFIG: &[u8] = &[0xaf, 0];
const AAC_SOUND: &[u8] = &[0xaf, 1];

/// NAL units behind their lengths: an IDR picture, another one, an SEI recovery point, an SPS and a PPS in-band.
const IDR: &[u8] = &[0, 0, 0, 4, 0x65, 0x88, 0x80, 0x10];
const SLICE: &[u8] = &[0, 0, 0, 3, 0x41, 0x9a, 0x20];
const RECOVERY_POINT: &[u8] = &[0, 0, 0, 5, 0x06, 6, 1, 0x84, 0x80];
const DELIMITER: &[u8] = &[0, 0, 0, 2, 0x09, 0xf0];
const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
const IN_BAND: &[u8] = &[0, 0, 0, 8, 0x67, 66, 0, 30, 0xda, 5, 7, 0xec, 0, 0, 0, 4, 0x68, 0xce, 0x0f, 0xc8];

/// Files of FFmpeg with Enhanced RTMP, and what is rarer in the old form.
const FFMPEG: [&[u8]; 8] = [
    include_bytes!("../../pack/tests/vectors/flv/hevc_opus.flv"),
    include_bytes!("../../pack/tests/vectors/flv/av1_ac3.flv"),
    include_bytes!("../../pack/tests/vectors/flv/vp9_eac3.flv"),
    include_bytes!("../../pack/tests/vectors/flv/vvc_aac.flv"),
    include_bytes!("../../pack/tests/vectors/flv/avc_flac.flv"),
    include_bytes!("../../pack/tests/vectors/flv/avc_mp3.flv"),
    include_bytes!("../../pack/tests/vectors/flv/multitrack.flv"),
    include_bytes!("../../pack/tests/vectors/flv/pcm8.flv"),
];

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// `TagType` with the bits in front of it.
    pub kind: u8,
    pub timestamp_ms: u32,
    pub body: Vec<u8>,
}

impl Tag {
    fn new(kind: u8, timestamp_ms: u32, header: &[u8], data: &[u8]) -> Self {
        Self { kind, timestamp_ms, body: [header, data].concat() }
    }
}

/// Tags without a file header. Any bytes are tags: where the end is missing, it is where the bytes end.
pub fn read_tags(mut bytes: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    while let Some((&[kind, s0, s1, s2, t0, t1, t2, t3, ..], rest)) = bytes.split_first_chunk::<11>() {
        let body_bytes = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        let (body, rest) = rest.split_at_checked(body_bytes).unwrap_or((rest, &[]));
        tags.push(Tag { kind, timestamp_ms: u32::from_be_bytes([t3, t0, t1, t2]), body: body.to_vec() });
        bytes = rest.get(4..).unwrap_or_default();
    }
    tags
}

/// The tags as in a file (§E.4.1), each with the size behind it.
pub fn write_tags(tags: &[Tag]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for tag in tags {
        let begin = bytes.len();
        let [_, s0, s1, s2] = (tag.body.len() as u32).to_be_bytes();
        let [t3, t0, t1, t2] = tag.timestamp_ms.to_be_bytes();
        bytes.extend([tag.kind, s0, s1, s2, t0, t1, t2, t3, 0, 0, 0]);
        bytes.extend(&tag.body);
        let tag_bytes = (bytes.len() - begin) as u32;
        bytes.extend(tag_bytes.to_be_bytes());
    }
    bytes
}

/// Publishes, each from its sequence headers on; and of each the beginning alone, in which most of what can be said has been said.
pub fn publishes() -> Vec<Vec<u8>> {
    let made = [camera(0), camera(0xffff_f800), odd(), apart(), many_tracks()];
    let files = FFMPEG.iter().map(|file| file.get(FILE_HEADER.len()..).unwrap_or_default().to_vec());
    let whole: Vec<_> = [demo()].into_iter().chain(made.iter().map(|tags| write_tags(tags))).chain(files).collect();
    let beginnings = whole.iter().map(|tags| beginning(tags)).filter(|tags| read_tags(tags).len() >= 3).collect();
    [whole, beginnings].concat()
}

/// The first tags that fit, small ones of them.
fn beginning(tags: &[u8]) -> Vec<u8> {
    let small = read_tags(tags).into_iter().filter(|tag| tag.body.len() <= BEGINNING_BYTES / 4);
    let mut beginning = Vec::new();
    for tag in small {
        let written = write_tags(&[tag]);
        if beginning.len() + written.len() > BEGINNING_BYTES {
            break;
        }
        beginning.extend(written);
    }
    beginning
}

/// The beginning of the demo clip.
fn demo() -> Vec<u8> {
    DEMO.get(FILE_HEADER.len()..DEMO_BYTES).unwrap_or_default().to_vec()
}

fn configs(record: &str, asc: &str, timestamp_ms: u32) -> Vec<Tag> {
    let video = Tag::new(VIDEO, timestamp_ms, AVC_CONFIG, &unhex(record));
    vec![video, Tag::new(AUDIO, timestamp_ms, AAC_CONFIG, &unhex(asc))]
}

/// 60 pictures in 2.4 s and AAC of 48 kHz, a key picture each 600 ms.
fn camera(start_ms: u32) -> Vec<Tag> {
    let [record, ..] = RECORDS;
    let mut tags = configs(record, "1190", start_ms);
    for index in 0..60 {
        let at_ms = start_ms.wrapping_add(40 * index);
        let picture = if index % 15 == 0 { [AVC_KEY, IDR] } else { [AVC_PICTURE, SLICE] };
        tags.push(Tag { kind: VIDEO, timestamp_ms: at_ms, body: picture.concat() });
        let sounds = (40 * index).div_ceil(21)..(40 * index + 40).div_ceil(21);
        tags.extend(sounds.map(|sound| Tag::new(AUDIO, start_ms.wrapping_add(21 * sound), AAC_SOUND, b"sound")));
    }
    tags.push(Tag::new(VIDEO, start_ms.wrapping_add(2400), AVC_END, &[]));
    tags
}

/// What is rarer: parameter sets and delimiters in-band, recovery points, other configurations in mid-stream, two-byte
/// lengths, Enhanced RTMP, HE-AAC, AAC-LD and a program_config_element.
fn odd() -> Vec<Tag> {
    let [_, high_422, .., fields, _, full_vui] = RECORDS;
    let two_byte_lengths = full_vui.replacen("64001eff", "64001efd", 1);
    let pce = "118004c848002008c8200d4c61766335392e33372e31303056e500";
    let mut tags = configs(high_422, "2b920800", 0);
    tags.push(Tag::new(VIDEO, 0, AVC_KEY, &[DELIMITER, IN_BAND, IDR].concat()));
    tags.push(Tag::new(AUDIO, 1, AAC_SOUND, b"sound"));
    tags.push(Tag::new(VIDEO, 400, AVC_KEY, &[RECOVERY_POINT, SLICE].concat()));
    tags.extend(configs(&two_byte_lengths, "ba1000", 500));
    tags.push(Tag::new(VIDEO, 800, AVC_KEY, &[0, 2, 0x65, 0x88, 0, 0, 0, 3, 0x41, 1, 1]));
    tags.push(Tag::new(AUDIO, 801, AAC_SOUND, b"sound"));
    tags.extend(configs(fields, pce, 900));
    tags.push(Tag::new(VIDEO, 1200, &[0x91, b'a', b'v', b'c', b'1', 0, 0, 40], IDR));
    tags.push(Tag::new(VIDEO, 1240, &[0xa3, b'a', b'v', b'c', b'1'], SLICE));
    tags.push(Tag::new(AUDIO, 1250, &[0x90, b'm', b'p', b'4', b'a'], &unhex("1210")));
    tags.push(Tag::new(AUDIO, 1260, &[0x91, b'm', b'p', b'4', b'a'], b"sound"));
    tags.push(Tag::new(VIDEO, 1280, &[0x90, b'h', b'v', b'c', b'1'], b"record"));
    tags.push(Tag::new(18, 1280, b"\x02\0\x0aonMetaData", b"\x08\0\0\0\0\0\0\x09"));
    tags.push(Tag::new(VIDEO, 2400, AVC_KEY, IDR));
    tags
}

/// Two tracks of each kind in one tag, an announcement in front, and times with nanoseconds.
fn many_tracks() -> Vec<Tag> {
    let [record, ..] = RECORDS.map(unhex);
    let sized = |id: u8, data: &[u8]| [&[id], &(data.len() as u32).to_be_bytes()[1..], data].concat();
    let both = |data: &[u8]| [sized(0, data), sized(1, data)].concat();
    let announcement = b"\x02\0\x0aonMetaData\x08\0\0\0\x02\0\x0cvideocodecid\0\x40\x1c\0\0\0\0\0\0\0\x0caudiocodecid\0\x40\x24\0\0\0\0\0\0\0\0\x09";
    let mut tags = vec![Tag::new(18, 0, announcement, &[])];
    tags.push(Tag::new(VIDEO, 0, b"\x96\x10avc1", &both(&record)));
    tags.push(Tag::new(
        AUDIO,
        0,
        b"\x95\x20",
        &[&b"mp4a"[..], &sized(0, &[0x11, 0x90]), b"Opus", &sized(1, OPUS_HEAD)].concat(),
    ));
    tags.push(Tag::new(VIDEO, 0, b"\x94avc1", b"\x02\0\x09colorInfo\x03\0\x07hdrCll\x03\0\0\x09\0\0\x09"));
    for index in 0..40 {
        let picture = [&[0, 0, 40][..], if index % 10 == 0 { IDR } else { SLICE }].concat();
        let first = if index % 10 == 0 { 0x90 } else { 0xa0 };
        tags.push(Tag::new(
            VIDEO,
            33 * index,
            &[first | 7, 2, 5, 0x98, 0x4a, 6, 0x11, b'a', b'v', b'c', b'1'],
            &both(&picture),
        ));
        tags.push(Tag::new(
            AUDIO,
            33 * index,
            b"\x95\x21",
            &[&b"mp4a"[..], &sized(0, b"sound"), b"Opus", &sized(1, &[0x80, 1])].concat(),
        ));
    }
    tags
}

/// Tracks whose times have nothing to do with each other.
fn apart() -> Vec<Tag> {
    let [record, ..] = RECORDS;
    let mut tags = configs(record, "1210", 0);
    for index in 0..30 {
        tags.push(Tag::new(VIDEO, 1_000_000 + 100 * index, AVC_KEY, IDR));
        tags.push(Tag::new(AUDIO, 23 * index, AAC_SOUND, b"sound"));
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_were_written() {
        for tags in [camera(0), odd(), apart(), many_tracks()] {
            assert_eq!(read_tags(&write_tags(&tags)), tags);
        }
    }

    #[test]
    fn beginnings_have_media() {
        let small: Vec<_> = publishes().into_iter().filter(|tags| tags.len() <= BEGINNING_BYTES).collect();
        assert!(small.len() > FFMPEG.len(), "{}", small.len());
        for tags in small {
            let headers = read_tags(&tags).iter().filter(|tag| matches!(tag.kind, AUDIO | VIDEO)).count();
            assert!(headers >= 2, "{tags:?}");
        }
    }

    #[test]
    fn any_bytes_are_tags() {
        assert_eq!(read_tags(&[9; 10]), []);
        let cut = Tag { kind: 9, timestamp_ms: 0, body: b"body".to_vec() };
        assert_eq!(read_tags(b"\x09\0\0\x08\0\0\0\0\0\0\0body"), [cut]);
    }

    #[test]
    fn the_demo_begins_with_its_configurations() {
        let tags = read_tags(&demo());
        assert!(tags.len() > 10 && tags.iter().all(|tag| matches!(tag.kind, AUDIO | VIDEO | 18)));
        assert!(tags.iter().any(|tag| tag.body.starts_with(&[0x17, 1])));
    }
}
