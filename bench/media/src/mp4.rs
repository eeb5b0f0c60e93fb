//! Fragmented MP4.

use std::hint::black_box;

use arcly_bench_report::{Contestant, Goal, Row, interleaved};
use arcly_pack::mp4::{Fmp4Muxer, Head};
use arcly_stream::packager::{Fmp4Muxer as PeerMuxer, Muxer};

use crate::{
    libavformat::Libavformat,
    stream::{Pictures, parameter_sets, tracks},
    ts::{FILE_PICTURES, OUTPUT_BYTES, ROUNDS, copy, per_picture},
};

/// Pictures in a fragment: a part of LL-HLS of 200 ms.
const FRAGMENT_PICTURES: usize = 10;

pub fn rows(libavformat: Option<&Libavformat>) -> Vec<Row> {
    [mux_rows(10 << 10, libavformat), mux_rows(2 << 10, libavformat)].concat()
}

fn mux_rows(nal_bytes: usize, libavformat: Option<&Libavformat>) -> Vec<Row> {
    let pictures = Pictures::new(nal_bytes, OUTPUT_BYTES / nal_bytes / FRAGMENT_PICTURES * FRAGMENT_PICTURES);
    let theirs = libavformat.map(|libavformat| libavformat.task("mux", "mp4", &muxed(nal_bytes)));
    let mut contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| mux_arcly(&pictures)),
        Box::new(|| mux_peer(&pictures)),
        Box::new(|| copy(&pictures)),
        Box::new(|| mux_arcly_in_pieces(&pictures)),
    ];
    contestants.extend(theirs.iter().map(|task| Box::new(|| task.ns()) as Contestant<'_>));
    let times = interleaved(ROUNDS, contestants);
    let (ours, peer, floor, in_pieces) = (times[0], times[1], times[2], times[3]);
    let name = format!("fMP4 mux, access units of {} KB", nal_bytes >> 10);
    let row = |beside: &str, goal| Row::new(format!("{name}; beside {beside}"), "ns", ours, goal).floor(floor);
    let pieces = Row::new(format!("{name}, in pieces; beside arcly-stream"), "ns", in_pieces, Goal::Ratio(5.0));
    let mut rows = vec![row("arcly-stream", Goal::Ratio(5.0)).peer(peer), pieces.floor(floor).peer(peer)];
    rows.extend(times.get(4).map(|libavformat| row("libavformat", Goal::Ratio(3.0)).peer(*libavformat)));
    rows
}

fn mux_arcly(pictures: &Pictures) -> f64 {
    let mut muxer = Fmp4Muxer::new(&tracks()).expect("H.264 can be carried");
    let mut out = Vec::with_capacity(2 * OUTPUT_BYTES);
    per_picture(pictures.ours.len(), pictures.nal_bytes, || {
        out.clear();
        for frames in pictures.ours.chunks(FRAGMENT_PICTURES) {
            muxer.write_fragment(frames, &Head::default(), &mut out).expect("the frames are sound");
        }
        black_box(&out);
    })
}

/// As recordings are written: what is in front of the samples is made, and they are handed over where they lie.
fn mux_arcly_in_pieces(pictures: &Pictures) -> f64 {
    let mut muxer = Fmp4Muxer::new(&tracks()).expect("H.264 can be carried");
    let mut out = Vec::with_capacity(2 * OUTPUT_BYTES);
    per_picture(pictures.ours.len(), pictures.nal_bytes, || {
        out.clear();
        for frames in pictures.ours.chunks(FRAGMENT_PICTURES) {
            let samples = muxer.write_fragment_head(frames, &Head::default(), &mut out).expect("the frames are sound");
            black_box(&samples);
        }
        black_box(&out);
    })
}

fn mux_peer(pictures: &Pictures) -> f64 {
    let mut muxer = PeerMuxer::new();
    muxer.init_segment(arcly_stream::CodecId::H264, &parameter_sets()).expect("they are sound");
    per_picture(pictures.theirs.len(), pictures.nal_bytes, || {
        for frames in pictures.theirs.chunks(FRAGMENT_PICTURES) {
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
    for frames in pictures.ours.chunks(FRAGMENT_PICTURES) {
        muxer.write_fragment(frames, &Head::default(), &mut out).expect("the frames are sound");
    }
    out
}
