//! Files of FFmpeg 9 (tests/vectors/flv) against the packets that FFmpeg reads in them, and through our muxer and back.

use std::path::Path;

use arcly_bus::{Frame, TrackId, TrackSet};
use arcly_codec::{Chroma, Codec, CodecConfig, MediaKind};
use bytes::Bytes;

use super::{super::*, Folder, demux_all, make_clip, probe, run};
use crate::flv::pcm;

/// Each file, and what its streams are to us, in FFmpeg's order.
const VECTORS: [(&str, &[(u8, Codec)]); 12] = [
    ("hevc_opus", &[(0, Codec::H265), (1, Codec::Opus)]),
    ("av1_ac3", &[(1, Codec::Ac3), (0, Codec::Av1)]),
    ("vp9_eac3", &[(0, Codec::Vp9), (1, Codec::Eac3)]),
    ("vvc_aac", &[(0, Codec::H266), (1, Codec::Aac)]),
    ("avc_flac", &[(0, Codec::H264), (1, Codec::Flac)]),
    ("avc_mp3", &[(0, Codec::H264), (1, Codec::Mp3)]),
    ("alaw", &[(1, Codec::G711A)]),
    ("mulaw", &[(1, Codec::G711U)]),
    ("pcm16", &[(1, Codec::Pcm)]),
    ("pcm8", &[(1, Codec::Pcm)]),
    ("multitrack", &[(0, Codec::H264), (2, Codec::H265), (1, Codec::Aac), (3, Codec::Opus)]),
    ("hdr10", &[(0, Codec::H265)]),
];

fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/flv").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A packet as FFmpeg prints it.
#[derive(Debug)]
struct Packet {
    dts_ms: i64,
    pts_ms: i64,
    size: usize,
    crc: u32,
}

/// The packets of one stream of a file.
fn packets(name: &str, stream: usize) -> Vec<Packet> {
    rows(&String::from_utf8(vector(&format!("{name}.packets"))).unwrap(), stream)
}

/// The packets of one stream, as framehash prints them.
fn rows(text: &str, stream: usize) -> Vec<Packet> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let rows = rows.map(|line| line.split(',').map(str::trim).collect::<Vec<_>>());
    rows.filter(|row| row[0] == stream.to_string())
        .map(|row| Packet {
            dts_ms: row[1].parse().unwrap(),
            pts_ms: row[2].parse().unwrap(),
            size: row[4].parse().unwrap(),
            crc: u32::from_str_radix(row[5], 16).unwrap(),
        })
        // FFmpeg makes a packet of an empty sequence header.
        .filter(|packet: &Packet| packet.size > 0)
        .collect()
}

/// A payload as FFmpeg had it before it came to the bus.
fn foreign(config: &CodecConfig, payload: &Bytes) -> Bytes {
    match config {
        CodecConfig::Pcm(config) => pcm::from_bus(payload, config.info.bits_per_sample),
        // A temporal delimiter in front of each unit, which Enhanced RTMP does not ask for.
        CodecConfig::Av1(_) => [&[0x12, 0], payload.as_ref()].concat().into(),
        _ => payload.clone(),
    }
}

/// CRC-32 of IEEE 802.3, as FFmpeg's framehash has it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

fn frames_of(frames: &[Frame], id: u8) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.track == TrackId(id)).collect()
}

#[test]
fn packets_of_ffmpeg_are_the_same_in_bytes_and_times() {
    for (name, streams) in VECTORS {
        let (sets, frames) = demux_all(&vector(&format!("{name}.flv")));
        assert_eq!(sets.len(), 1, "{name}: one set of tracks, though they come one after the other");
        let tracks = TrackSet { revision: 1, tracks: sets[0].clone() };
        assert_eq!(tracks.tracks.len(), streams.len(), "{name}");
        for (stream, (id, codec)) in streams.iter().enumerate() {
            let track = tracks.find(TrackId(*id)).unwrap();
            assert_eq!(track.config.codec(), *codec, "{name}");
            let (frames, packets) = (frames_of(&frames, *id), packets(name, stream));
            assert_eq!(frames.len(), packets.len(), "{name}, stream {stream}");
            for (frame, packet) in frames.iter().zip(&packets) {
                let payload = foreign(&track.config, &frame.payload);
                // x265 for HDR10 has parameter sets in front of key pictures, libvvenc delimiters too: they are taken out.
                let may_shrink = frame.is_key() || *codec == Codec::H266;
                let is_stripped = may_shrink && payload.len() < packet.size;
                if !is_stripped {
                    assert_eq!((payload.len(), crc32(&payload)), (packet.size, packet.crc), "{name}: {packet:?}");
                }
                let rate = i64::from(track.clock_rate_hz);
                let off = |ticks: i64, ms: i64| (ticks * 1_000 - ms * rate).abs();
                // Audio goes back onto its grid, within two milliseconds.
                let allowed = if codec.kind() == MediaKind::Video { 0 } else { 2 * rate };
                let pts_ms = if codec.kind() == MediaKind::Video { packet.pts_ms } else { packet.dts_ms };
                assert!(off(frame.dts, packet.dts_ms) <= allowed, "{name}: {} is not {packet:?}", frame.dts);
                assert!(off(frame.pts, pts_ms) <= allowed, "{name}: {} is not {packet:?}", frame.pts);
            }
            let is_video = codec.kind() == MediaKind::Video;
            assert_eq!(frames[0].is_key(), is_video, "{name}: the first picture");
            assert!(!is_video || frames.iter().any(|frame| !frame.is_key()), "{name}: not all are key pictures");
            assert!(is_video || frames.iter().all(|frame| frame.duration > 0), "{name}: sound has a length");
        }
    }
}

#[test]
fn facts_of_the_files_are_those_that_they_were_made_with() {
    for (name, streams) in VECTORS {
        let (sets, _) = demux_all(&vector(&format!("{name}.flv")));
        for track in &sets[0] {
            if let Some(video) = track.config.video() {
                assert_eq!((video.width, video.height, video.chroma), (96, 64, Chroma::Yuv420), "{name}");
            }
            if let Some(audio) = track.config.audio() {
                assert!([8_000, 11_025, 44_100, 48_000].contains(&audio.sample_rate_hz), "{name}: {audio:?}");
                assert_eq!(audio.channels, if streams[streams.len() - 1].1 == Codec::Flac { 2 } else { 1 }, "{name}");
            }
        }
    }
}

/// All tags of these frames, as they are in a file.
fn mux(tracks: &TrackSet, frames: &[Frame], options: FlvMuxOptions) -> Vec<u8> {
    let mut muxer = FlvMuxer::new(options);
    muxer.reconfigure(tracks);
    assert_eq!(muxer.left_out(), []);
    let (mut tags, mut file) = (Vec::new(), file_header(true, true).to_vec());
    frames.iter().for_each(|frame| muxer.write(frame, &mut tags).unwrap());
    tags.iter().for_each(|tag| tag.write(&mut file));
    file
}

#[test]
fn what_is_muxed_is_demuxed_to_the_same() {
    for (name, _) in VECTORS {
        let (sets, frames) = demux_all(&vector(&format!("{name}.flv")));
        let tracks = TrackSet { revision: 1, tracks: sets[0].clone() };
        for dialect in [Dialect::Classic, Dialect::Enhanced] {
            for nanosecond_offsets in [false, true] {
                let options = FlvMuxOptions { dialect, origin_ms: None, nanosecond_offsets };
                let (again, frames_again) = demux_all(&mux(&tracks, &frames, options));
                assert_eq!(again, [sets[0].clone()], "{name}, {options:?}");
                assert_eq!(frames_again.len(), frames.len(), "{name}, {options:?}");
                for (frame, before) in frames_again.iter().zip(&frames) {
                    let facts = |frame: &Frame| (frame.track, frame.flags, frame.duration, frame.payload.clone());
                    assert_eq!(facts(frame), facts(before), "{name}, {options:?}");
                    let rate = i64::from(tracks.find(frame.track).unwrap().clock_rate_hz);
                    // These times came out of milliseconds, but for audio on its grid.
                    let allowed = if frame.track.0.is_multiple_of(2) { 0 } else { 2 * rate };
                    assert!(((frame.dts - before.dts) * 1_000).abs() <= allowed, "{name}, {options:?}: {frame:?}");
                    assert!(((frame.pts - before.pts) * 1_000).abs() <= allowed, "{name}, {options:?}: {frame:?}");
                }
            }
        }
    }
}

/// Our files, read by an FFmpeg that knows Enhanced RTMP v2: the packets that went in.
#[test]
#[ignore = "needs FFmpeg 8 or newer in ARCLY_FFMPEG: make test-foreign"]
fn what_is_muxed_is_what_a_new_ffmpeg_reads() {
    let ffmpeg = std::env::var("ARCLY_FFMPEG").expect("the path of an FFmpeg in ARCLY_FFMPEG");
    let folder = Folder::new("new-ffmpeg");
    for (name, streams) in VECTORS {
        let (sets, frames) = demux_all(&vector(&format!("{name}.flv")));
        let tracks = TrackSet { revision: 1, tracks: sets[0].clone() };
        for dialect in [Dialect::Classic, Dialect::Enhanced] {
            let file = folder.file("written.flv");
            let options = FlvMuxOptions { dialect, ..FlvMuxOptions::default() };
            std::fs::write(&file, mux(&tracks, &frames, options)).unwrap();
            let hash = ["-map", "0", "-c", "copy", "-f", "framehash", "-hash", "CRC32", "-"];
            let text = run(&ffmpeg, &[&["-v", "error", "-copyts", "-i", &file], &hash[..]].concat());
            for (id, _) in streams {
                let ours = frames_of(&frames, *id);
                // In the order of their first tags, which is that of the tracks.
                let stream = tracks.tracks.iter().position(|track| track.id == TrackId(*id)).unwrap();
                let read = rows(&text, stream);
                let track = tracks.find(TrackId(*id)).unwrap();
                assert_eq!(read.len(), ours.len(), "{name}, {dialect:?}: {text}");
                for (packet, frame) in read.iter().zip(ours) {
                    let payload = match &track.config {
                        CodecConfig::Av1(_) => frame.payload.clone(),
                        config => foreign(config, &frame.payload),
                    };
                    assert_eq!((packet.size, packet.crc), (payload.len(), crc32(&payload)), "{name}, {dialect:?}");
                    let rate = i64::from(track.clock_rate_hz);
                    assert!(
                        (packet.dts_ms * rate - frame.dts * 1_000).abs() * 2 <= rate,
                        "{name}, {dialect:?}: {packet:?}"
                    );
                    assert!(
                        (packet.pts_ms * rate - frame.pts * 1_000).abs() * 2 <= rate,
                        "{name}, {dialect:?}: {packet:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn colour_info_of_ffmpeg_is_that_of_the_encoder() {
    let mut reader = FlvReader::new();
    reader.feed(&vector("hdr10.flv"));
    let mut demuxer = FlvDemuxer::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        demuxer.push(tag.kind, tag.timestamp_ms, tag.body).unwrap();
    }
    let info = demuxer.colour_info(VIDEO_TRACK).unwrap();
    let colour = info.colour.unwrap();
    assert_eq!((colour.primaries, colour.transfer, colour.matrix), (9, 16, 9));
    assert_eq!(demuxer.colour_info(AUDIO_TRACK), None);
}

/// The old form, read by any FFmpeg: B-frames, key frames and all times as they were.
#[test]
fn what_is_muxed_is_what_ffprobe_reads() {
    let folder = Folder::new("ffprobe");
    let (clip, written) = (folder.file("clip.flv"), folder.file("written.flv"));
    make_clip(&clip);
    let (sets, frames) = demux_all(&std::fs::read(&clip).unwrap());
    let tracks = TrackSet { revision: 1, tracks: sets[0].clone() };
    std::fs::write(&written, mux(&tracks, &frames, FlvMuxOptions::default())).unwrap();
    let video = probe(&written, "v");
    assert_eq!(video, probe(&clip, "v"));
    assert!(video.len() > 80 && video.iter().any(|packet| packet.0 != packet.1), "there were B-frames");
    let (ours, theirs) = (probe(&written, "a"), probe(&clip, "a"));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(ours.2 == theirs.2 && (ours.0 - theirs.0).abs() <= 2, "{ours:?} was {theirs:?}");
    }
    let entries = ["-show_entries", "stream=codec_name,width,height,sample_rate,channels", "-of", "csv=p=0"];
    let facts = run("ffprobe", &[&["-v", "error"], &entries[..], &[&written]].concat());
    assert_eq!(facts, "h264,320,240\naac,44100,1\n");
}
