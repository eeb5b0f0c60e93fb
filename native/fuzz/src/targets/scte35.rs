//! Cues of SCTE 35, one section behind the other: when they are, what players are told of them, and their way through MPEG-TS.

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, aac::AudioSpecificConfig, data::DataConfig};
use arcly_pack::{
    Item, PackError,
    cmaf::Cues,
    mpegts::{Splice, TS_EPOCH_90K, TsDemuxer, TsMuxer, TsOptions},
};
use bytes::Bytes;

use super::Target;
use crate::{
    avc::unhex,
    bit_edits::edit_bits,
    mutate::{Input, MAX_INPUT_BYTES},
    play_back::is_due,
    ts::TIME_SIGNAL,
    ts_edits::mend,
};

/// Cues that are kept, and what a tag has beside its section.
const TAGS_BYTES_MAX: usize = 256 * 256;
/// The times of the sections, of which `cw_index` picks one: it says nothing without encryption.
const TIMES_US: [i64; 8] =
    [1_000_000, 2_000_000, 31_000_000, 61_294_000, 1 << 61, 100_000_000, -(1 << 61), 1_795_640_986_000_000];
/// As the demuxer numbers them.
const SOUND: TrackId = TrackId(1);
const CUES: TrackId = TrackId(2);
const CW_INDEX_AT: usize = 9;
const TIME_MASK_90K: i64 = (1 << 33) - 1;

pub const TARGET: Target = Target {
    name: "scte35",
    vectors,
    edit: Some(edit_bits),
    // Two letters a byte.
    buffered_bytes_max: 2 * MAX_INPUT_BYTES + TAGS_BYTES_MAX,
    run,
};

/// ANSI/SCTE 35 §14.2.
const SPLICE_INSERT: &str =
    "fc302f000000000000fffff014054800008f7feffe7369c02efe0052ccf500000000000a0008435545490000013562dba30a";

fn vectors() -> Vec<Vec<u8>> {
    let signal = |changes: &[_]| changed(TIME_SIGNAL, changes);
    let insert = |changes: &[_]| changed(SPLICE_INSERT, changes);
    let (begins, ends) = (insert(&[(CW_INDEX_AT, 0)]), insert(&[(19, 0x6F), (CW_INDEX_AT, 2)]));
    let again = insert(&[(CW_INDEX_AT, 3)]);
    vec![
        unhex(TIME_SIGNAL),
        unhex(SPLICE_INSERT),
        [&begins[..], &ends, &again].concat(),
        [&begins[..], &begins, &signal(&[(CW_INDEX_AT, 1)]), &signal(&[(48, 0x35), (CW_INDEX_AT, 3)])].concat(),
        // Cancelled, of components, at once, of no program; encrypted; `splice_null`.
        [[(18, 0xFF)], [(19, 0xAF)], [(19, 0xDF)], [(19, 0x8F)], [(4, 0x80)], [(13, 0)]].map(|it| insert(&it)).concat(),
        [[(31, 0xFF)], [(32, 0x8F)], [(32, 0x4F)], [(14, 0x7E)]].map(|it| signal(&it)).concat(),
        // Lengths that lead behind the end: of the section, the command, the descriptors, the descriptor, the UPID.
        insert(&[(1, 0x3F), (2, 0xFF)]),
        insert(&[(11, 0xFF), (12, 0xFF), (34, 0xFF), (35, 0xFF), (37, 0xFF)]),
        signal(&[(19, 0xFF), (20, 0xFF), (22, 0xFF), (39, 0xFF)]),
        signal(&[(2, 0)]),
    ]
}

/// A sample with other bytes at some positions, and its CRC.
fn changed(sample: &str, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut section = unhex(sample);
    for &(at, new) in changes {
        section.iter_mut().skip(at).take(1).for_each(|byte| *byte = new);
    }
    mend(&mut section);
    section
}

/// As long as each says that it is.
fn sections(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = match bytes {
            [] => return None,
            [_, high, low, ..] => usize::from(u16::from_be_bytes([high & 0x0F, *low])) + 3,
            _ => bytes.len(),
        };
        let (section, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        bytes = rest;
        Some(section)
    })
}

fn run(input: &Input) -> usize {
    let (mut cues, mut held, mut sound) = (Cues::default(), 0, Vec::new());
    for section in sections(&input.bytes) {
        let mut mended = section.to_vec();
        mend(&mut mended);
        check_time(section);
        if check_time(&mended) {
            sound.push(Bytes::from(mended));
        }
        let index = section.get(CW_INDEX_AT).copied().unwrap_or_default();
        let at_us = TIMES_US.get(usize::from(index % 8)).copied().unwrap_or_default();
        cues.push(section, at_us);
        if index == 8 {
            held = check_tags(&cues).max(held);
            cues.forget_before(at_us);
        }
    }
    if is_due(&input.bytes) {
        go_through(&sound);
    }
    check_tags(&cues).max(held)
}

/// Whether it can be read; times have 33 bits.
fn check_time(section: &[u8]) -> bool {
    let found = Splice::parse(section);
    let times = found.iter().flat_map(|found| [found.pts_time, Some(found.pts_adjustment)]).flatten();
    times.for_each(|time| assert_eq!(time & TIME_MASK_90K, time));
    found.is_some()
}

/// A tag is a line of a playlist that nothing can end early, and the section is in it. Their bytes.
fn check_tags(cues: &Cues) -> usize {
    assert!(cues.tags().count() <= 256, "cues are bounded");
    for tag in cues.tags() {
        assert!(tag.starts_with("#EXT-X-DATERANGE:ID=\"") && tag.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        assert_eq!(tag.bytes().filter(|byte| *byte == b'"').count(), 4, "ID and START-DATE: {tag}");
        let hex = tag.rsplit_once("=0x").map_or("-", |(_, hex)| hex);
        assert!(hex.len().is_multiple_of(2) && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{tag}");
    }
    cues.tags().map(str::len).sum()
}

/// What the muxer takes the demuxer gives back, and it happens when the frame says.
fn go_through(sections: &[Bytes]) {
    let Ok(config) = AudioSpecificConfig::new(2, 48_000, 2) else { return };
    let sound = Track::new(SOUND, CodecConfig::Aac(config));
    let cues = Track::new(CUES, CodecConfig::Scte35(DataConfig::default()));
    let Ok(mut muxer) = TsMuxer::new(&TrackSet { revision: 1, tracks: vec![sound, cues] }) else { return };
    let mut stream = Vec::new();
    let mut write = |track, pts, payload: &Bytes| {
        let frame = Frame { track, flags: FrameFlags::NONE, pts, dts: 0, duration: 0, payload: payload.clone() };
        muxer.write(&frame, &mut stream)
    };
    let _ = write(SOUND, 0, &Bytes::from_static(&[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c]));
    let mut written = Vec::new();
    for (pts, section) in (1..).map(|number| number * 90_000).zip(sections) {
        match write(CUES, pts, section) {
            Ok(()) => written.push(pts),
            Err(error) => assert!(matches!(error, PackError::LimitExceeded { .. }), "{error}"),
        }
    }
    let mut demuxer = TsDemuxer::new(TsOptions::default());
    demuxer.push(&stream);
    let _ = demuxer.finish();
    let items = std::iter::from_fn(|| demuxer.poll());
    let frames = items.filter_map(|item| if let Item::Frame(frame) = item { Some(frame) } else { None });
    let found: Vec<_> = frames.filter(|frame| frame.track == CUES).collect();
    assert_eq!(found.len(), written.len(), "cues are lost");
    for (pts, frame) in written.into_iter().zip(found) {
        let splice = Splice::parse(&frame.payload);
        let at_90k = splice.and_then(|splice| Some((splice.pts_time? + splice.pts_adjustment) & TIME_MASK_90K));
        assert!(at_90k.is_none_or(|at_90k| at_90k == TS_EPOCH_90K + pts), "it happens at another time");
    }
}
