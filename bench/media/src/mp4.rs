//! Fragmented MP4.

use std::hint::black_box;

use arcly_bench_report::{Contestant, Goal, Row, interleaved};
use arcly_pack::mp4::{Fmp4Muxer, Head};
use arcly_stream::packager::{Fmp4Muxer as PeerMuxer, Muxer};

use crate::{
    libavformat::Libavformat,
    stream::{Pictures, parameter_sets, tracks},
    ts::{FILE_PICTURES, OUTPUT_BYTES, ROUNDS, copy, each, per_picture},
};

/// Pictures in a fragment: a part of LL-HLS of 200 ms.
const PART_PICTURES: usize = 10;

pub fn rows(libavformat: Option<&Libavformat>) -> Vec<Row> {
    let mux = |nal_bytes| [near_rows(nal_bytes, libavformat), far_rows(nal_bytes)].concat();
    [mux(10 << 10), mux(2 << 10)].concat()
}

/// The payloads are next to the processor.
fn near_rows(nal_bytes: usize, libavformat: Option<&Libavformat>) -> Vec<Row> {
    let near = Pictures::near(nal_bytes);
    let theirs = libavformat.map(|libavformat| libavformat.task("mux", "mp4", &muxed(nal_bytes)));
    let mut contestants = vec![
        each(&near, |pictures| mux_arcly(pictures, PART_PICTURES)),
        each(&near, |pictures| mux_peer(pictures, PART_PICTURES)),
        each(&near, |pictures| mux_arcly(pictures, 1)),
        each(&near, |pictures| mux_peer(pictures, 1)),
        each(&near, copy),
    ];
    contestants.extend(theirs.iter().map(|task| Box::new(|| task.ns()) as Contestant<'_>));
    let times = interleaved(ROUNDS, contestants);
    let (part, one, floor) = ((times[0], times[1]), (times[2], times[3]), times[4]);
    let row = |detail, goal, ns| Row::new(name(nal_bytes, detail), "ns", ns, Goal::Ratio(goal)).floor(floor);
    let mut rows = vec![
        row("; beside arcly-stream", 5.0, part.0).peer(part.1),
        row(", one a fragment; beside arcly-stream", 5.0, one.0).peer(one.1),
    ];
    rows.extend(times.get(5).map(|libavformat| row("; beside libavformat", 3.0, part.0).peer(*libavformat)));
    rows
}

/// They are in the second cache.
fn far_rows(nal_bytes: usize) -> Vec<Row> {
    let far = [Pictures::new(nal_bytes, OUTPUT_BYTES / nal_bytes / PART_PICTURES * PART_PICTURES)];
    let contestants = vec![
        each(&far, |pictures| mux_arcly(pictures, PART_PICTURES)),
        each(&far, mux_in_pieces),
        each(&far, |pictures| mux_peer(pictures, PART_PICTURES)),
        each(&far, copy),
    ];
    let times = interleaved(ROUNDS, contestants);
    let row = |detail, ns, goal| Row::new(name(nal_bytes, detail), "ns", ns, goal).peer(times[2]).floor(times[3]);
    vec![
        row(", in pieces; beside arcly-stream", times[1], Goal::Ratio(5.0)),
        row(", in the second cache; beside arcly-stream", times[0], Goal::None),
    ]
}

fn name(nal_bytes: usize, detail: &str) -> String {
    format!("fMP4 mux, access units of {} KB{detail}", nal_bytes >> 10)
}

fn mux_arcly(pictures: &Pictures, fragment_pictures: usize) -> f64 {
    let mut muxer = Fmp4Muxer::new(&tracks()).expect("H.264 can be carried");
    let mut out = Vec::with_capacity(2 * OUTPUT_BYTES);
    per_picture(pictures.ours.len(), pictures.nal_bytes, || {
        for frames in pictures.ours.chunks(fragment_pictures) {
            out.clear();
            muxer.write_fragment(frames, &Head::default(), &mut out).expect("the frames are sound");
            black_box(&out);
        }
    })
}

/// As recordings are written: what is in front of the samples is made, and they are handed over where they lie.
fn mux_in_pieces(pictures: &Pictures) -> f64 {
    let mut muxer = Fmp4Muxer::new(&tracks()).expect("H.264 can be carried");
    let mut out = Vec::with_capacity(2 * OUTPUT_BYTES);
    per_picture(pictures.ours.len(), pictures.nal_bytes, || {
        for frames in pictures.ours.chunks(PART_PICTURES) {
            out.clear();
            let samples = muxer.write_fragment_head(frames, &Head::default(), &mut out).expect("the frames are sound");
            black_box((&samples, &out));
        }
    })
}

fn mux_peer(pictures: &Pictures, fragment_pictures: usize) -> f64 {
    let mut muxer = PeerMuxer::new();
    muxer.init_segment(arcly_stream::CodecId::H264, &parameter_sets()).expect("they are sound");
    per_picture(pictures.theirs.len(), pictures.nal_bytes, || {
        for frames in pictures.theirs.chunks(fragment_pictures) {
            for frame in frames {
                muxer.write(frame).expect("the frame is sound");
            }
            // The only way to its bytes.
            black_box(muxer.finish_segment().expect("it cannot fail"));
        }
    })
}

/// What libavformat is given the packets of.
fn muxed(nal_bytes: usize) -> Vec<u8> {
    let mut muxer = Fmp4Muxer::new(&tracks()).expect("H.264 can be carried");
    let mut out = muxer.init_segment().to_vec();
    let pictures = Pictures::new(nal_bytes, FILE_PICTURES);
    for frames in pictures.ours.chunks(PART_PICTURES) {
        muxer.write_fragment(frames, &Head::default(), &mut out).expect("the frames are sound");
    }
    out
}
