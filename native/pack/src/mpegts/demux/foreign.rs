//! Codec by codec: what ffmpeg muxes is read as ffprobe reads it, and what is muxed of that is read by ffprobe as the same.

use std::collections::BTreeMap;

use arcly_bus::{Frame, Track, TrackSet};
use arcly_codec::{Codec, DolbyVision, MediaKind};

use super::{super::probe::Probe, tests::Read};
use crate::{
    mpegts::TsMuxer,
    testing::{AUDIO, Scratch, VIDEO, by_time, run, track_set},
};

/// A packet as ffprobe tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) size: usize,
    pub(super) is_key: bool,
    crc: u32,
}

/// The packets of every stream.
pub(super) fn ffprobe(scratch: &Scratch, file: &str) -> BTreeMap<usize, Vec<Packet>> {
    let entries = "packet=stream_index,pts,dts,size,flags,data_hash";
    let args = ["-v", "error", "-show_data_hash", "CRC32", "-show_entries", entries, "-of", "compact=p=0", file];
    let text = String::from_utf8(run("ffprobe", &args, &scratch.path(""))).unwrap();
    let mut packets: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    // Side data, which is not asked for, leaves an end of line in the middle.
    let text = text.replace("\n|", "|").replace("||", "|");
    for line in text.lines().filter(|line| line.starts_with("stream_index")) {
        let fields: BTreeMap<&str, &str> = line.split('|').filter_map(|field| field.split_once('=')).collect();
        let number = |name: &str| fields[name].parse::<i64>().unwrap_or_else(|_| panic!("{name} in {line}"));
        let crc = u32::from_str_radix(fields["data_hash"].trim_start_matches("CRC32:"), 16).unwrap();
        let packet = Packet {
            pts: number("pts"),
            dts: number("dts"),
            size: number("size") as usize,
            is_key: fields["flags"].contains('K'),
            crc,
        };
        packets.entry(number("stream_index") as usize).or_default().push(packet);
    }
    packets
}

/// That of zip and of ffprobe.
fn crc_32_ieee(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// One and a half seconds of picture and sound.
fn encode(scratch: &Scratch, video: &[&str], audio: &[&str]) -> Vec<u8> {
    let inputs = "-v error -f lavfi -i testsrc2=size=320x180:rate=30000/1001 -f lavfi -i sine=440:sample_rate=48000";
    let args: Vec<&str> = inputs.split(' ').chain(video.iter().copied()).chain(audio.iter().copied()).collect();
    let args = [&args[..], &["-t", "1.5", "-metadata:s:a:0", "language=deu", "-f", "mpegts", "in.ts"]].concat();
    run("ffmpeg", &args, &scratch.path(""));
    std::fs::read(scratch.path("in.ts")).unwrap()
}

fn mux(tracks: &TrackSet, frames: &[Frame]) -> Vec<u8> {
    let (mut muxer, mut out) = (TsMuxer::new(tracks).unwrap(), Vec::new());
    frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
    out
}

fn in_order(read: &Read) -> Vec<Frame> {
    by_time(&track_set(read.tracks.last().unwrap()), &read.frames)
}

fn assert_video(read: &Read, packets: &[Packet], shift_90k: i64) {
    let seen = read.of(VIDEO);
    assert_eq!(seen.len(), packets.len(), "pictures");
    for (frame, packet) in seen.iter().zip(packets) {
        let times = (frame.pts + shift_90k, frame.dts + shift_90k, frame.is_key());
        assert_eq!(times, (packet.pts, packet.dts, packet.is_key));
    }
}

fn assert_audio(read: &Read, codec: Codec, packets: &[Packet], shift_90k: i64) {
    let seen = read.of(AUDIO);
    assert_eq!(seen.len(), packets.len(), "sounds");
    let rate = i64::from(read.tracks.last().unwrap()[1].clock_rate_hz);
    for (frame, packet) in seen.iter().zip(packets) {
        let pts = frame.pts * 90_000 / rate + shift_90k;
        assert!((pts - packet.pts).abs() <= 1, "{pts}, not {}", packet.pts);
        // ffprobe sees AAC with its ADTS header, or as LOAS.
        assert!(codec == Codec::Aac || crc_32_ieee(&frame.payload) == packet.crc, "bit for bit at {pts}");
    }
}

/// Both ways.
fn check(video: &[&str], audio: &[&str], codecs: (Codec, Codec)) {
    let scratch = Scratch::new(&format!("mpegts-{}-{}", codecs.0.name(), audio.join("")));
    let read = Read::all(&encode(&scratch, video, audio));
    let tracks = track_set(read.tracks.last().unwrap());
    let seen: Vec<Codec> = tracks.tracks.iter().map(|track| track.config.codec()).collect();
    assert_eq!(seen, [codecs.0, codecs.1]);
    assert_eq!(tracks.first(MediaKind::Audio).unwrap().language.unwrap().as_str(), "deu");
    let packets = ffprobe(&scratch, "in.ts");
    assert_video(&read, &packets[&0], 0);
    assert_audio(&read, codecs.1, &packets[&1], 0);

    let out = mux(&tracks, &in_order(&read));
    Probe::read(&out);
    scratch.write("out.ts", &out);
    let packets = ffprobe(&scratch, "out.ts");
    assert_video(&read, &packets[&0], 90_000);
    assert_audio(&read, codecs.1, &packets[&1], 90_000);
    let again = Read::all(&out);
    for track in [VIDEO, AUDIO] {
        let payloads = |read: &Read| read.of(track).iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>();
        assert!(payloads(&again) == payloads(&read), "track {} bit for bit", track.0);
    }
    let decode = |file: &str, map: &str| {
        run("ffmpeg", &["-v", "error", "-i", file, "-map", map, "-f", "md5", "-"], &scratch.path(""))
    };
    assert_eq!(decode("in.ts", "0:v"), decode("out.ts", "0:v"));
    assert_eq!(decode("in.ts", "0:a"), decode("out.ts", "0:a"));
    let language = ["-v", "error", "-show_entries", "stream_tags=language", "-of", "csv=p=0", "out.ts"];
    assert!(String::from_utf8(run("ffprobe", &language, &scratch.path(""))).unwrap().contains("deu"));
}

const X264: [&str; 8] = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "20"];

#[test]
fn h264_and_mp3() {
    check(&X264, &["-c:a", "libmp3lame"], (Codec::H264, Codec::Mp3));
}

#[test]
fn h264_and_mp2() {
    check(&X264, &["-c:a", "mp2"], (Codec::H264, Codec::Mp2));
}

#[test]
fn h264_and_ac3() {
    check(&X264, &["-c:a", "ac3"], (Codec::H264, Codec::Ac3));
}

#[test]
fn h264_and_ac3_as_dvb_signals_it() {
    check(&X264, &["-c:a", "ac3", "-mpegts_flags", "system_b"], (Codec::H264, Codec::Ac3));
}

#[test]
fn h264_and_eac3() {
    check(&X264, &["-c:a", "eac3"], (Codec::H264, Codec::Eac3));
}

#[test]
fn h264_and_eac3_as_dvb_signals_it() {
    check(&X264, &["-c:a", "eac3", "-mpegts_flags", "system_b"], (Codec::H264, Codec::Eac3));
}

#[test]
fn h265_and_opus() {
    let x265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=2:keyint=20"];
    check(&x265, &["-c:a", "libopus"], (Codec::H265, Codec::Opus));
}

#[test]
fn h264_and_latm() {
    check(&X264, &["-c:a", "aac", "-mpegts_flags", "latm"], (Codec::H264, Codec::Aac));
}

#[test]
fn h264_and_aac_of_several_frames_in_a_pes_packet() {
    check(&X264, &["-c:a", "aac", "-b:a", "64k"], (Codec::H264, Codec::Aac));
}

/// What AC-3 of 5.1 becomes. No channel_configuration has speakers at the sides, so a program_config_element says them, once.
#[test]
fn aac_with_speakers_at_the_sides_is_read_as_ffprobe_reads_it() {
    let scratch = Scratch::new("mpegts-aac-side");
    let side = "pan=5.1(side)|FL=c0|FR=c0|FC=c0|LFE=c0|SL=c0|SR=c0";
    let read = Read::all(&encode(&scratch, &X264, &["-c:a", "aac", "-af", side]));
    let seen: Vec<Option<u8>> =
        read.tracks.last().unwrap().iter().map(|track| Some(track.config.audio()?.channels)).collect();
    assert_eq!(seen, [None, Some(6)]);
    let packets = ffprobe(&scratch, "in.ts");
    assert_video(&read, &packets[&0], 0);
    assert_audio(&read, Codec::Aac, &packets[&1], 0);

    // Who joins behind the one that says it is told by each, and the decoder has nothing to complain of.
    let joined: Vec<Frame> = in_order(&read).into_iter().filter(|frame| frame.pts > 2 * 1024).collect();
    let out = mux(&track_set(read.tracks.last().unwrap()), &joined);
    let again = Read::all(&out);
    assert_eq!(again.tracks.last().unwrap()[1].config.audio().unwrap().channels, 6);
    assert_eq!(again.of(AUDIO).len(), joined.iter().filter(|frame| frame.track == AUDIO).count());
    scratch.write("out.ts", &out);
    let args = ["-v", "error", "-select_streams", "a", "-show_entries", "stream=channels", "-of", "csv=p=0", "out.ts"];
    assert!(run("ffprobe", &args, &scratch.path("")).starts_with(b"6"));
    let args: Vec<&str> = "-v error -xerror -i out.ts -map a -f s16le -".split(' ').collect();
    let samples = run("ffmpeg", &args, &scratch.path("")).len() / (2 * 6);
    assert!(samples >= (again.of(AUDIO).len() - 1) * 1024, "{samples} of {} frames", again.of(AUDIO).len());
}

/// Compatible with HLG, and with nothing: then it is private data for everybody who does not know it.
#[test]
fn dolby_vision_comes_back_and_ffprobe_sees_it() {
    let scratch = Scratch::new("mpegts-dolby-vision");
    let hevc = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=20:bframes=2"];
    let read = Read::all(&encode(&scratch, &hevc, &["-an"]));
    for (profile, compatibility, stream_type) in [(8, 4, 0x24), (5, 0, 0x06)] {
        let found = DolbyVision::parse(&[1, 0, profile << 1, 6 << 3 | 0b101, compatibility << 4]).unwrap();
        let track = Track { dolby_vision: Some(found), ..read.tracks.last().unwrap()[0].clone() };
        let out = mux(&track_set(std::slice::from_ref(&track)), &in_order(&read));
        assert_eq!(Probe::read(&out).programs[0].streams[0].1, stream_type);
        let again = Read::all(&out);
        assert_eq!(again.tracks, [[track]]);
        let payloads = |read: &Read| read.of(VIDEO).iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>();
        assert!(payloads(&again) == payloads(&read));
        // FFmpeg 5 looks at private data only where it knows the registration.
        if stream_type == 0x24 {
            scratch.write("out.ts", &out);
            let args = ["-v", "error", "-select_streams", "v", "-show_streams", "-of", "flat", "out.ts"];
            let text = String::from_utf8(run("ffprobe", &args, &scratch.path(""))).unwrap();
            assert!(text.contains(&format!("dv_profile={profile}\n")), "{text}");
            assert!(text.contains(&format!("dv_bl_signal_compatibility_id={compatibility}\n")), "{text}");
        }
    }
}
