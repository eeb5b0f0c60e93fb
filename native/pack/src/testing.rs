//! For the tests of this crate: seeded numbers, tracks, frames, and what foreign programs say.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{
    CodecConfig, VideoInfo,
    aac::{AudioSpecificConfig, parse_adts},
    annex_b,
    h264::{AvcConfig, NAL_IDR, NAL_PPS, NAL_SLICE, NAL_SPS, annex_b_to_canonical, has_idr, nal_type},
};
use bytes::Bytes;

pub(crate) const VIDEO: TrackId = TrackId(0);
pub(crate) const AUDIO: TrackId = TrackId(1);

/// In the order of decoding, as a muxer wants them.
pub(crate) fn by_time(tracks: &TrackSet, frames: &[Frame]) -> Vec<Frame> {
    let rate = |track: TrackId| i128::from(tracks.find(track).unwrap().clock_rate_hz);
    let mut frames = frames.to_vec();
    frames.sort_by_key(|frame| i128::from(frame.dts) * 1_000_000 / rate(frame.track));
    frames
}

/// SplitMix64.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Prints what replays a test that fails.
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

pub(crate) fn video_track() -> Track {
    let sps = Bytes::from_static(&[0x67, 0x64, 0, 0x1F, 0xAC, 1, 2, 3]);
    let pps = Bytes::from_static(&[0x68, 0xEB, 0xE3, 0xCB]);
    let info = VideoInfo {
        profile: 100,
        level: 31,
        width: 1280,
        height: 720,
        frame_rate: Some((30_000, 1_001)),
        ..VideoInfo::default()
    };
    let config = AvcConfig { nal_length_size: 4, sps: vec![sps], pps: vec![pps], info, ..AvcConfig::default() };
    Track::new(VIDEO, CodecConfig::H264(config))
}

pub(crate) fn audio_track(sample_rate_hz: u32) -> Track {
    Track::new(AUDIO, CodecConfig::Aac(AudioSpecificConfig::new(2, sample_rate_hz, 2).unwrap()))
}

pub(crate) fn track_set(tracks: &[Track]) -> Arc<TrackSet> {
    Arc::new(TrackSet { revision: 1, tracks: tracks.to_vec() })
}

/// An access unit of about `bytes` bytes in one to three NAL units.
pub(crate) fn picture(rng: &mut Rng, dts: i64, delay: i64, key: bool, bytes: usize) -> Frame {
    let flags = if key { FrameFlags::KEY } else { FrameFlags::NONE };
    let mut payload = Vec::new();
    for part in 0..1 + rng.below(3) as usize {
        let bytes = if part == 0 { bytes } else { rng.below(300) as usize };
        let nal = rng.bytes(bytes);
        payload.extend_from_slice(&u32::try_from(nal.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(&nal);
    }
    Frame { track: VIDEO, flags, pts: dts + delay, dts, duration: 0, payload: payload.into() }
}

pub(crate) fn sound(rng: &mut Rng, dts: i64, bytes: usize) -> Frame {
    let payload = rng.bytes(bytes).into();
    Frame { track: AUDIO, flags: FrameFlags::NONE, pts: dts, dts, duration: 1024, payload }
}

/// E-AC-3 at 48 kHz (ETSI TS 102 366 §E.1.2): 5.1; 5.1 with twelve objects (ETSI TS 103 420); the rear pair that makes 7.1 of it.
pub(crate) const EAC3_MAIN: &[u8] = &[0x0b, 0x77, 0x00, 0x3f, 0x3f, 0x80, 0x3f, 0xe0];
pub(crate) const EAC3_OBJECTS: &[u8] = &[0x0b, 0x77, 0x00, 0x3f, 0x3f, 0x80, 0x3f, 0xe4, 0x10, 0x10, 0xc0];
pub(crate) const EAC3_REAR: &[u8] = &[0x0b, 0x77, 0x40, 0x3f, 0x34, 0x80, 0x3f, 0xf0, 0x20, 0x00];

/// An access unit of syncframes that begin so: 128 bytes each.
pub(crate) fn eac3(beginnings: &[&[u8]]) -> Vec<u8> {
    beginnings.iter().flat_map(|begin| begin.iter().copied().chain(std::iter::repeat(0)).take(128)).collect()
}

/// What a stream is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// Ticks of 90 kHz of a picture; 0 for no pictures.
    pub(crate) picture_90k: i64,
    pub(crate) gop: u64,
    pub(crate) b_frames: bool,
    /// 0 for no sound.
    pub(crate) sample_rate_hz: u32,
    pub(crate) seconds: i64,
    pub(crate) start_90k: i64,
    pub(crate) max_picture_bytes: u64,
}

impl Recipe {
    pub(crate) fn tracks(&self) -> Arc<TrackSet> {
        let video = (self.picture_90k > 0).then(video_track);
        let audio = (self.sample_rate_hz > 0).then(|| audio_track(self.sample_rate_hz));
        track_set(&video.into_iter().chain(audio).collect::<Vec<_>>())
    }

    /// Frames in the order of their decoding times, the tracks a little out of step.
    pub(crate) fn frames(&self, rng: &mut Rng) -> Vec<Frame> {
        let mut timed = self.pictures(rng);
        timed.extend(self.sounds(rng));
        timed.sort_by_key(|(at_90k, _)| *at_90k);
        timed.into_iter().map(|(_, frame)| frame).collect()
    }

    fn pictures(&self, rng: &mut Rng) -> Vec<(i64, Frame)> {
        let count = (self.seconds * 90_000).checked_div(self.picture_90k).unwrap_or(0);
        let picture = |index: i64| {
            let dts = self.start_90k + index * self.picture_90k;
            let delay = if self.b_frames { self.picture_90k * [2, 3, 1, 1][index as usize % 4] } else { 0 };
            let bytes = 1 + rng.below(self.max_picture_bytes) as usize;
            let frame = picture(rng, dts, delay, (index as u64).is_multiple_of(self.gop), bytes);
            (dts + rng.below(self.picture_90k.min(3_000) as u64) as i64, frame)
        };
        (0..count).map(picture).collect()
    }

    fn sounds(&self, rng: &mut Rng) -> Vec<(i64, Frame)> {
        let rate = i64::from(self.sample_rate_hz);
        let start = self.start_90k * rate / 90_000;
        let sound = |index: i64| {
            let dts = start + index * 1024;
            let bytes = 1 + rng.below(700) as usize;
            (dts * 90_000 / rate + 1_000, sound(rng, dts, bytes))
        };
        (0..self.seconds * rate / 1024).map(sound).collect()
    }
}

/// A directory that is gone when the test is over.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("arcly-pack-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a foreign program, which must end well and say nothing on stderr. Returns its stdout.
pub(crate) fn run(program: &str, args: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program).args(args).current_dir(directory).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be on the PATH for this test: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "{program} {args:?}: {complaint}");
    output.stdout
}

/// A clip that ffmpeg has encoded: elementary streams, cut into frames. Times are those of a constant rate, since
/// elementary streams have none; those of the pictures come from ffprobe.
pub(crate) struct Clip {
    pub(crate) tracks: Arc<TrackSet>,
    /// By decoding time.
    pub(crate) frames: Vec<Frame>,
}

/// Pictures a second of the clip, as a fraction that no millisecond clock can say.
const CLIP_RATE: (i64, i64) = (30_000, 1_001);

impl Clip {
    /// 30000/1001 pictures a second in GOPs of 60 with B-frames, and sound of 44.1 kHz.
    pub(crate) fn make(scratch: &Scratch, seconds: u32) -> Self {
        let video = format!("testsrc2=size=320x180:rate=30000/1001:duration={seconds}");
        let audio = format!("sine=frequency=440:sample_rate=44100:duration={seconds}");
        let inputs = ["-v", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio];
        let video_codec = ["-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-bf", "2"];
        let exact = ["-sc_threshold", "0", "-x264-params", "repeat-headers=1", "-f", "mp4", "clip.mp4"];
        run("ffmpeg", &[&inputs[..], &video_codec, &exact].concat(), &scratch.0);
        run("ffmpeg", &["-v", "error", "-i", "clip.mp4", "-c", "copy", "-f", "h264", "clip.h264"], &scratch.0);
        let audio_codec = ["-map", "1:a", "-c:a", "aac", "-f", "adts", "clip.aac"];
        run("ffmpeg", &[&inputs[..], &audio_codec].concat(), &scratch.0);
        let times = ["-v", "error", "-show_entries", "packet=pts,dts", "-of", "csv=p=0", "clip.mp4"];
        let times = String::from_utf8(run("ffprobe", &times, &scratch.0)).unwrap();
        Self::from_elementary_streams(
            &std::fs::read(scratch.path("clip.h264")).unwrap(),
            &std::fs::read(scratch.path("clip.aac")).unwrap(),
            &times,
        )
    }

    fn from_elementary_streams(h264: &[u8], adts: &[u8], times: &str) -> Self {
        let (video, pictures) = split_h264(h264, times);
        let (audio, sounds) = split_adts(adts);
        let rate = i64::from(audio.clock_rate_hz);
        let mut frames: Vec<Frame> = pictures.into_iter().chain(sounds).collect();
        frames.sort_by_key(|frame| if frame.track == VIDEO { frame.dts * rate } else { frame.dts * 90_000 });
        Self { tracks: track_set(&[video, audio]), frames }
    }

    /// The frames of one track.
    pub(crate) fn of(&self, track: TrackId) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| frame.track == track)
    }
}

/// Access units of a stream whose pictures have one slice each. The times of mp4 are in its own time base; only their
/// distances in pictures are used.
fn split_h264(stream: &[u8], times: &str) -> (Track, Vec<Frame>) {
    let nals: Vec<&[u8]> = annex_b::units(stream).collect();
    let of_type = |wanted| nals.iter().find(|nal| nal_type(nal) == wanted).map(|nal| Bytes::copy_from_slice(nal));
    let config =
        AvcConfig::from_parameter_sets(vec![of_type(NAL_SPS).unwrap()], vec![of_type(NAL_PPS).unwrap()]).unwrap();
    let units = nals.split_inclusive(is_slice);
    let delays = composition_pictures(times);
    let picture_90k = 90_000 * CLIP_RATE.1;
    let frames =
        units.filter(|unit| unit.iter().any(is_slice)).zip(delays).enumerate().map(|(index, (unit, delay))| {
            let stream: Vec<u8> = unit.iter().flat_map(|nal| [&[0, 0, 1], *nal].concat()).collect();
            let payload = annex_b_to_canonical(stream.into()).unwrap().payload;
            let dts = index as i64 * picture_90k / CLIP_RATE.0;
            let pts = (index as i64 + delay) * picture_90k / CLIP_RATE.0;
            let flags = if has_idr(unit.iter().copied()) { FrameFlags::KEY } else { FrameFlags::NONE };
            Frame { track: VIDEO, flags, pts, dts, duration: 0, payload }
        });
    (Track::new(VIDEO, CodecConfig::H264(config)), frames.collect())
}

fn is_slice(nal: &&[u8]) -> bool {
    matches!(nal_type(nal), NAL_SLICE | NAL_IDR)
}

/// By how many pictures each picture is shown after it is decoded.
fn composition_pictures(times: &str) -> Vec<i64> {
    let number = |text: &str| text.trim_end_matches(',').parse::<i64>().unwrap();
    let pairs: Vec<(i64, i64)> =
        times.lines().filter_map(|line| line.split_once(',')).map(|(pts, dts)| (number(pts), number(dts))).collect();
    let picture = pairs[1].1 - pairs[0].1;
    pairs.iter().map(|(pts, dts)| (pts - dts) / picture).collect()
}

fn split_adts(mut stream: &[u8]) -> (Track, Vec<Frame>) {
    let config = parse_adts(stream).unwrap().config().unwrap();
    let track = Track::new(AUDIO, CodecConfig::Aac(config));
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let header = parse_adts(stream).unwrap();
        let (unit, rest) = stream.split_at(header.frame_bytes);
        let payload = Bytes::copy_from_slice(&unit[header.header_bytes..]);
        let dts = frames.len() as i64 * 1024;
        frames.push(Frame { track: AUDIO, flags: FrameFlags::NONE, pts: dts, dts, duration: 1024, payload });
        stream = rest;
    }
    (track, frames)
}
