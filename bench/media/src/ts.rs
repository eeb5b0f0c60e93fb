//! MPEG-TS.

use std::hint::black_box;

use arcly_bench_report::{Contestant, Goal, Row, cpu_ns_of, interleaved};
use arcly_bus::TrackSet;
use arcly_pack::{
    Item,
    mpegts::{PacketBuffer, TsDemuxer, TsMuxer, TsOptions},
};
use arcly_stream::{
    packager::{MpegTsMuxer, Muxer},
    protocol::tsdemux,
};

use crate::{
    libavformat::Libavformat,
    stream::{Pictures, data_tracks, tracks},
};

pub const ROUNDS: usize = 31;

/// Bytes of access units in a round: some milliseconds.
const ROUND_BYTES: usize = 32 << 20;

/// Bytes that a muxer writes before it begins again at the same place, in the second cache mostly, and of which the peer makes a segment.
pub const OUTPUT_BYTES: usize = 128 << 10;

/// How a stream comes: seven packets, a datagram.
const PIECE_BYTES: usize = 1_316;

/// Access units that a demuxer reads before another begins: so many that finding the tables hides nothing.
const DEMUX_PICTURES: usize = 200;

/// The same packets for libavformat: seconds of them, so that opening a file and closing it hide nothing.
pub const FILE_PICTURES: usize = 2_000;

pub fn rows(libavformat: Option<&Libavformat>) -> Vec<Row> {
    let mux = |nal_bytes, goal| [mux_rows(nal_bytes, goal, libavformat), vec![far_row(nal_bytes)]].concat();
    [mux(10 << 10, 5.0), mux(2 << 10, 8.0), vec![one_pass_row(10 << 10)], demux_rows(10 << 10, libavformat)].concat()
}

/// Start codes in the place of lengths: a second pass would cost what `memcpy` does.
fn one_pass_row(nal_bytes: usize) -> Row {
    let near = Pictures::near(nal_bytes);
    let times = interleaved(ROUNDS, vec![each(&near, mux_arcly), each(&near, mux_unchanged), each(&near, copy)]);
    let name = format!("TS mux, access units of {} KB; beside bytes that stay as they are (KLV)", nal_bytes >> 10);
    Row::new(name, "ns", times[0], Goal::Ratio(0.8)).peer(times[1]).floor(times[2])
}

/// Payloads and packets are next to the processor, as those of a frame are that has just come and goes out at once.
fn mux_rows(nal_bytes: usize, goal: f64, libavformat: Option<&Libavformat>) -> Vec<Row> {
    let near = Pictures::near(nal_bytes);
    let theirs = libavformat.map(|libavformat| libavformat.task("mux", "ts", &muxed(nal_bytes)));
    let mut contestants = vec![each(&near, mux_arcly), each(&near, mux_peer), each(&near, copy)];
    contestants.extend(theirs.iter().map(|task| Box::new(|| task.ns()) as Contestant<'_>));
    let times = interleaved(ROUNDS, contestants);
    let name = format!("TS mux, access units of {} KB", nal_bytes >> 10);
    report(&name, goal, &times)
}

/// Told, not judged: the same where they lie in the second cache.
fn far_row(nal_bytes: usize) -> Row {
    let far = [Pictures::new(nal_bytes, OUTPUT_BYTES / nal_bytes)];
    let times = interleaved(ROUNDS, vec![each(&far, mux_arcly), each(&far, mux_peer), each(&far, copy)]);
    let name = format!("TS mux, access units of {} KB, in the second cache; beside arcly-stream", nal_bytes >> 10);
    Row::new(name, "ns", times[0], Goal::None).peer(times[1]).floor(times[2])
}

/// `measure` of another of `pictures` each round.
pub fn each<'a>(pictures: &'a [Pictures], measure: impl Fn(&Pictures) -> f64 + 'a) -> Contestant<'a> {
    let mut turns = pictures.iter().cycle();
    Box::new(move || turns.next().map_or(0.0, &measure))
}

fn demux_rows(nal_bytes: usize, libavformat: Option<&Libavformat>) -> Vec<Row> {
    let pictures = DEMUX_PICTURES;
    let stream = muxed_pictures(&Pictures::new(nal_bytes, pictures));
    let theirs = libavformat.map(|libavformat| libavformat.task("demux", "ts", &muxed(nal_bytes)));
    let payloads = Pictures::new(nal_bytes, OUTPUT_BYTES / nal_bytes);
    let mut contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| demux_arcly(&stream, pictures)),
        Box::new(|| demux_peer(&stream, pictures)),
        Box::new(|| copy(&payloads)),
    ];
    contestants.extend(theirs.iter().map(|task| Box::new(|| task.ns()) as Contestant<'_>));
    let times = interleaved(ROUNDS, contestants);
    report(&format!("TS demux, access units of {} KB", nal_bytes >> 10), 5.0, &times)
}

/// Ours, arcly-stream's, memcpy's, and libavformat's if it is there.
fn report(name: &str, goal: f64, times: &[f64]) -> Vec<Row> {
    let (ours, peer, floor) = (times[0], times[1], times[2]);
    let row = |beside: &str, goal| Row::new(format!("{name}; beside {beside}"), "ns", ours, goal).floor(floor);
    let mut rows = vec![row("arcly-stream", Goal::Ratio(goal)).peer(peer)];
    if name.contains("mux, access units of 10") && !name.contains("demux") {
        rows.push(row("memcpy", Goal::OfFloor(0.35)));
    }
    rows.extend(times.get(3).map(|libavformat| row("libavformat", Goal::Ratio(3.0)).peer(*libavformat)));
    rows
}

/// CPU time of an access unit, when `once` does so many of so many bytes.
pub fn per_picture(pictures: usize, bytes: usize, mut once: impl FnMut()) -> f64 {
    let laps = (ROUND_BYTES / (pictures * bytes)).max(1);
    cpu_ns_of(|| (0..laps).for_each(|_| once())) / (laps * pictures) as f64
}

fn mux_arcly(pictures: &Pictures) -> f64 {
    mux_tracks(pictures, &tracks())
}

fn mux_unchanged(pictures: &Pictures) -> f64 {
    mux_tracks(pictures, &data_tracks())
}

fn mux_tracks(pictures: &Pictures, tracks: &TrackSet) -> f64 {
    let mut muxer = TsMuxer::new(tracks).expect("they can be carried");
    let mut frames = pictures.ours.clone();
    let all_90k = frames.len() as i64 * 1_800;
    let mut out = PacketBuffer::with_capacity(2 * pictures.lap * pictures.nal_bytes);
    per_picture(frames.len(), pictures.nal_bytes, || {
        for lap in frames.chunks_mut(pictures.lap) {
            out.clear();
            for frame in lap {
                muxer.write_in(frame, &mut out).expect("the frame is sound");
                // Time goes on, as it does.
                frame.pts += all_90k;
                frame.dts += all_90k;
            }
            black_box(&out);
        }
    })
}

fn mux_peer(pictures: &Pictures) -> f64 {
    let mut muxer = MpegTsMuxer::new();
    per_picture(pictures.theirs.len(), pictures.nal_bytes, || {
        for segment in pictures.theirs.chunks(OUTPUT_BYTES / pictures.nal_bytes) {
            muxer.start_segment().expect("it cannot fail");
            for frame in segment {
                muxer.write(frame).expect("the frame is sound");
            }
            // The only way to its bytes; more often would cost it more.
            black_box(muxer.finish_segment().expect("it cannot fail"));
        }
    })
}

/// The bytes alone, into a buffer that is in the cache.
pub fn copy(pictures: &Pictures) -> f64 {
    let mut out = Vec::with_capacity(2 * pictures.lap * pictures.nal_bytes);
    per_picture(pictures.ours.len(), pictures.nal_bytes, || {
        for lap in pictures.ours.chunks(pictures.lap) {
            out.clear();
            for frame in lap {
                out.extend_from_slice(&frame.payload);
            }
            black_box(&out);
        }
    })
}

/// A demuxer must not see its packets twice: each round has one of its own.
fn demux_arcly(stream: &[u8], pictures: usize) -> f64 {
    per_picture(pictures, stream.len() / pictures, || {
        let mut demuxer = TsDemuxer::new(TsOptions::default());
        let mut frames = 0;
        for piece in stream.chunks(PIECE_BYTES) {
            demuxer.push(piece);
            while let Some(item) = demuxer.poll() {
                frames += usize::from(matches!(black_box(item), Item::Frame(_)));
            }
        }
        assert_eq!(frames, pictures);
    })
}

fn demux_peer(stream: &[u8], pictures: usize) -> f64 {
    per_picture(pictures, stream.len() / pictures, || {
        let mut demuxer = tsdemux::TsDemuxer::new();
        let units: usize = stream.chunks(PIECE_BYTES).map(|piece| black_box(demuxer.push(piece)).len()).sum();
        assert!(units >= pictures - 1, "a configuration more");
    })
}

fn muxed(nal_bytes: usize) -> Vec<u8> {
    muxed_pictures(&Pictures::new(nal_bytes, FILE_PICTURES))
}

fn muxed_pictures(pictures: &Pictures) -> Vec<u8> {
    let mut muxer = TsMuxer::new(&tracks()).expect("H.264 can be carried");
    let mut out = Vec::new();
    pictures.ours.iter().for_each(|frame| muxer.write(frame, &mut out).expect("the frame is sound"));
    out
}
