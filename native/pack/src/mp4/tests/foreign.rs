//! Packets as ffprobe sees them, beside frames as we see them, in both directions.

use std::{path::Path, sync::LazyLock};

use arcly_bus::FrameFlags;
use arcly_codec::MediaKind;

use super::{Plain, Read, index, push};
use crate::testing::{Scratch, run};

/// A packet of ffprobe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packet {
    pub pts: i64,
    pub dts: i64,
    pub is_key: bool,
    pub crc: u32,
}

/// The packets of a stream (`v:0`, `a:0`), and the denominator of its time base.
pub(super) fn packets(directory: &Path, file: &str, stream: &str) -> (Vec<Packet>, i64) {
    let entries = "packet=pts,dts,flags,data_hash:stream=time_base";
    let args = ["-v", "error", "-select_streams", stream, "-show_data_hash", "CRC32", "-show_entries", entries];
    let text = run("ffprobe", &[&args[..], &["-of", "compact", file]].concat(), directory);
    // Side data breaks the line of a packet.
    let text = String::from_utf8(text).unwrap().replace("\n|", "|");
    let field = |line: &str, name: &str| {
        line.split('|').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let packets = text.lines().filter(|line| line.starts_with("packet")).map(|line| Packet {
        pts: field(line, "pts").unwrap().parse().unwrap(),
        dts: field(line, "dts").unwrap().parse().unwrap(),
        is_key: field(line, "flags").unwrap().starts_with('K'),
        crc: u32::from_str_radix(field(line, "data_hash").unwrap().trim_start_matches("CRC32:"), 16).unwrap(),
    });
    let base = text.lines().find_map(|line| field(line, "time_base")).unwrap();
    (packets.collect(), base.strip_prefix("1/").unwrap().parse().unwrap())
}

/// CRC-32 of IEEE 802.3, as ffprobe has it.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: LazyLock<[u32; 256]> = LazyLock::new(|| {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        std::array::from_fn(|index| (0..8).fold(index as u32, step))
    });
    let table: &[u32; 256] = &TABLE;
    !bytes.iter().fold(!0_u32, |crc, &byte| crc >> 8 ^ table[usize::from(crc as u8 ^ byte)])
}

/// Frames and packets are the same: bytes, key flags of video, times within a tick of either clock.
pub(super) fn assert_same(frames: &[&Plain], clock_hz: u32, packets: &[Packet], base_hz: i64, what: &str) {
    assert_eq!(frames.len(), packets.len(), "{what}: number of packets");
    let clock_hz = i64::from(clock_hz);
    for (number, (frame, packet)) in frames.iter().zip(packets).enumerate() {
        assert_eq!(crc32(&frame.payload), packet.crc, "{what}: bytes of packet {number}");
        for (ours, theirs, which) in [(frame.pts, packet.pts, "PTS"), (frame.dts, packet.dts, "DTS")] {
            let off = (ours * base_hz - theirs * clock_hz).abs();
            assert!(off <= clock_hz.max(base_hz), "{what}: {which} of packet {number}: {ours} but {theirs}");
        }
    }
}

/// What was read, each time, is what ffprobe reads of the file.
pub(super) fn assert_as_ffprobe(reads: &[Read], directory: &Path, file: &str) {
    for (kind, stream) in [(MediaKind::Video, "v:0"), (MediaKind::Audio, "a:0")] {
        let (packets, base_hz) = packets(directory, file, stream);
        reads.iter().for_each(|read| assert_stream(read, kind, &packets, base_hz, &format!("{file} {stream}")));
    }
}

fn assert_stream(read: &Read, kind: MediaKind, packets: &[Packet], base_hz: i64, what: &str) {
    let track = read.tracks.iter().find(|track| track.kind() == kind).unwrap();
    let frames = read.of(track.id);
    assert_same(&frames, track.clock_rate_hz, packets, base_hz, what);
    if kind == MediaKind::Video {
        let keys: Vec<_> = frames.iter().map(|frame| frame.flags.contains(FrameFlags::KEY)).collect();
        assert_eq!(keys, packets.iter().map(|packet| packet.is_key).collect::<Vec<_>>(), "{what}: key frames");
    }
}

/// Encodes a second of pictures or sound.
pub(super) fn encode(scratch: &Scratch, name: &str, codec: &[&str]) {
    let video = "testsrc2=size=160x120:rate=30000/1001:duration=1.2";
    let audio = "sine=frequency=440:sample_rate=48000:duration=1.2";
    let source = if codec[0] == "-c:v" { video } else { audio };
    let input = ["-v", "error", "-f", "lavfi", "-i", source];
    run("ffmpeg", &[&input[..], codec, &[name]].concat(), &scratch.path("."));
}

pub(super) const VIDEO: [(&str, &[&str]); 5] = [
    ("h264", &["-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-bf", "0"]),
    ("h264b", &["-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-bf", "2", "-pix_fmt", "yuv420p"]),
    ("h265", &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=12:bframes=2"]),
    ("av1", &["-c:v", "libaom-av1", "-cpu-used", "8", "-g", "12", "-usage", "realtime", "-pix_fmt", "yuv420p"]),
    ("vp9", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "12", "-pix_fmt", "yuv420p"]),
];
pub(super) const AUDIO: [(&str, &[&str]); 4] = [
    ("aac", &["-c:a", "aac"]),
    ("opus", &["-c:a", "libopus"]),
    ("mp3", &["-c:a", "libmp3lame"]),
    ("ac3", &["-c:a", "ac3"]),
];

/// The ways in which ffmpeg writes MP4.
const LAYOUTS: [(&str, &[&str]); 5] = [
    ("plain", &[]),
    ("delayed", &["-movflags", "+frag_keyframe+delay_moov+separate_moof"]),
    ("faststart", &["-movflags", "+faststart"]),
    ("fragmented", &["-movflags", "+frag_keyframe+empty_moov+default_base_moof"]),
    ("indexed", &["-movflags", "+frag_keyframe+delay_moov+default_base_moof+global_sidx"]),
];

#[test]
fn files_of_ffmpeg_are_read_as_ffprobe_reads_them() {
    let scratch = Scratch::new("mp4-read");
    let directory = scratch.path(".");
    for (name, codec) in VIDEO.iter().chain(&AUDIO) {
        encode(&scratch, &format!("{name}.mp4"), codec);
    }
    for (video, _) in VIDEO {
        for (audio, _) in AUDIO {
            // Every pair in two layouts, one in all of them.
            let count = if (video, audio) == ("h264b", "aac") { LAYOUTS.len() } else { 2 };
            for (layout, flags) in &LAYOUTS[..count] {
                let name = format!("{video}-{audio}-{layout}.mp4");
                let (video, audio) = (format!("{video}.mp4"), format!("{audio}.mp4"));
                let inputs = ["-v", "error", "-i", &video, "-i", &audio, "-c", "copy"];
                run("ffmpeg", &[&inputs[..], *flags, &[&name]].concat(), &directory);
                let file = std::fs::read(scratch.path(&name)).unwrap();
                let read = index(&file);
                assert_eq!((read.dropped, read.broken, read.tracks.len()), (0, 0, 2), "{name}");
                let pushed = (*layout != "plain").then(|| push(&file, 4_096));
                let reads: Vec<Read> = pushed.into_iter().chain([read]).collect();
                assert_as_ffprobe(&reads, &directory, &name);
            }
        }
    }
}

/// ffprobe moves the presentation of such a file by a picture; its own plain file says what is right.
#[test]
fn signed_composition_offsets_present_as_unsigned_ones_do_and_decode_before() {
    let scratch = Scratch::new("mp4-signed");
    let directory = scratch.path(".");
    encode(&scratch, "plain.mp4", VIDEO[1].1);
    let flags = ["-movflags", "+frag_keyframe+delay_moov+negative_cts_offsets"];
    run(
        "ffmpeg",
        &[&["-v", "error", "-i", "plain.mp4", "-c", "copy"][..], &flags, &["signed.mp4"]].concat(),
        &directory,
    );
    let read = |name| std::fs::read(scratch.path(name)).unwrap();
    let (plain, signed) = (index(&read("plain.mp4")), push(&read("signed.mp4"), 777));
    let pts = |read: &Read| read.frames.iter().map(|frame| frame.pts).collect::<Vec<_>>();
    assert_eq!(pts(&signed), pts(&plain));
    assert!(signed.frames.iter().all(|frame| frame.dts <= frame.pts));
    assert!(signed.frames.is_sorted_by(|one, next| one.dts < next.dts));
}

#[test]
fn crc_of_the_check_string() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
