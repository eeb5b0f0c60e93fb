//! The same access units for all.

use std::collections::BTreeMap;

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig};
use arcly_stream::MediaFrame;
use bytes::Bytes;

/// An avcC record written by libx264: 320x240, baseline.
const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];

/// Access units from one key picture to the next.
pub const GOP: usize = 50;

/// Bytes of payloads that lie in the cache next to the processor (32 KB and more), beside as many of what is made of them.
const NEAR_BYTES: usize = 12 << 10;

/// How fast a copy is hangs on how its two ends lie to one another, by their lowest twelve bits. Chance would decide it for a whole run: so
/// pictures lie in so many ways, one after the other.
const LAYS: usize = 8;
const PAGE_BYTES: usize = 4 << 10;

/// Pictures, 50 a second, each with one NAL unit of so many bytes, in both forms.
pub struct Pictures {
    pub ours: Vec<Frame>,
    pub theirs: Vec<MediaFrame>,
    pub nal_bytes: usize,
    /// So many are written behind each other before what was written is written over.
    pub lap: usize,
}

impl Pictures {
    /// `count` of them, each in memory of its own.
    pub fn new(nal_bytes: usize, count: usize) -> Self {
        Self::sharing(nal_bytes, (count, count), count, None)
    }

    /// A second of them, which share so little memory that it stays in the nearest cache: as a frame is there that has just come in, and
    /// leaves. Once for each of [`LAYS`].
    pub fn near(nal_bytes: usize) -> Vec<Self> {
        let near = NEAR_BYTES / nal_bytes;
        (0..LAYS).map(|lay| Self::sharing(nal_bytes, (GOP, near.max(2)), near.max(1), Some(lay))).collect()
    }

    /// `count` of them, in the memory of `places`.
    fn sharing(nal_bytes: usize, (count, places): (usize, usize), lap: usize, lay: Option<usize>) -> Self {
        let mut units = BTreeMap::new();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for index in 0..count {
            let is_key = index % GOP == 0;
            let make = || {
                let nal = nal(index, is_key, nal_bytes);
                let ours = [&(nal.len() as u32).to_be_bytes()[..], &nal].concat();
                (lay.map_or_else(|| Bytes::from(ours.clone()), |lay| laid(&ours, lay)), annex_b(&nal, is_key))
            };
            let (payload, body) = units.entry((is_key, index % places)).or_insert_with(make).clone();
            let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
            let at_90k = index as i64 * 1_800;
            ours.push(Frame { track: TrackId(0), flags, pts: at_90k, dts: at_90k, duration: 1_800, payload });
            let at_ms = index as i64 * 20;
            theirs.push(MediaFrame::new_video(at_ms, at_ms, body, arcly_stream::CodecId::H264, is_key));
        }
        Self { ours, theirs, nal_bytes, lap }
    }
}

/// A copy at another place in its page for each `lay`.
fn laid(payload: &[u8], lay: usize) -> Bytes {
    let mut memory = vec![0; payload.len() + PAGE_BYTES];
    let place = lay * (PAGE_BYTES / LAYS);
    let start = (PAGE_BYTES + place - memory.as_ptr() as usize % PAGE_BYTES) % PAGE_BYTES;
    memory[start..start + payload.len()].copy_from_slice(payload);
    Bytes::from(memory).slice(start..start + payload.len())
}

/// A video track.
pub fn tracks() -> TrackSet {
    let config = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).expect("the record is valid");
    TrackSet { revision: 1, tracks: vec![Track::new(TrackId(0), config)] }
}

/// A track whose bytes a container carries as they are.
pub fn data_tracks() -> TrackSet {
    let config = CodecConfig::parse(Codec::Klv, Bytes::new()).expect("there is nothing in it");
    TrackSet { revision: 1, tracks: vec![Track::new(TrackId(0), config)] }
}

/// A slice of an I picture by its header, filled with bytes without a pattern and without a start code.
fn nal(index: usize, is_key: bool, bytes: usize) -> Vec<u8> {
    let header: &[u8] = if is_key { &[0x65, 0x88, 0x84] } else { &[0x41, 0x9A, 0x24] };
    let mut state = index as u64 + 1;
    let mut filler = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    // As many zeros as coded pictures have, but never two in a row.
    let mut nal = header.to_vec();
    while nal.len() < bytes {
        let byte = filler();
        nal.push(if byte == 0 && nal.last() == Some(&0) { 0x80 } else { byte });
    }
    if let Some(last) = nal.last_mut() {
        *last |= 1;
    }
    nal
}

/// What the peer wants: parameter sets in front of key pictures.
fn annex_b(nal: &[u8], is_key: bool) -> Bytes {
    let (sps, pps) = (&AVCC[8..30], &AVCC[33..37]);
    let nals: &[&[u8]] = if is_key { &[sps, pps, nal] } else { &[nal] };
    nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect::<Vec<u8>>().into()
}

/// The configuration as the peer wants it.
pub fn parameter_sets() -> Vec<u8> {
    [&[0, 0, 0, 1], &AVCC[8..30], &[0, 0, 0, 1], &AVCC[33..37]].concat()
}
