//! Captions, time codes and user data stand in messages of the access units. They come through every container as they are, and ffprobe
//! sees them behind each.

use arcly_bus::{Frame, TrackSet};
use arcly_codec::{Codec, CodecConfig};

use super::{read, written};
use crate::{
    container::Container,
    testing::{Scratch, VIDEO, by_time, run, track_set},
};

/// Captions, active format, mastering display, content light level, user data: those of the tests of the codec (`sei`).
const H264: &[u8] =
    b"\x06\x04\x11\xb5\x00\x31GA94\x03\xc2\xff\xfc\x94\x20\xfd\x80\x80\xff\x04\x09\xb5\x00\x31DTG1\x41\xfa\
    \x89\x18\x33\xc2\x86\xc4\x1d\x4c\x0b\xb8\x84\xd0\x3e\x80\x3d\x13\x40\x42\x00\x98\x96\x80\x00\x00\x03\x00\x32\
    \x90\x04\x03\xe8\x01\x90\x05\x12\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x68\x69\x80";
/// A time code too.
const H265_TIMECODE: &[u8] = b"\x4e\x01\x88\x06\x62\x40\x64\x5c\x2c\x10";
/// `cc_data_pkt`s of these captions.
const CAPTIONS: &[u8] = b"\xfc\x94\x20\xfd\x80\x80";

/// What ffprobe calls them. Active format it looks for in H.264 alone.
const CAPTIONS_SEEN: &str = "ATSC A53 Part 4 Closed Captions";
const ACTIVE_FORMAT_SEEN: &str = "Active format description";
const USER_DATA_SEEN: &str = "H.26[45] User Data Unregistered SEI message";
const TIMECODE_SEEN: &str = "11:56:34:12";

#[test]
fn captions_and_user_data_of_h264_come_through_every_container() {
    let x264 = "-c:v libx264 -preset ultrafast -bf 2 -g 10";
    check(Codec::H264, x264, H264, &[(Container::MpegTs, "ts"), (Container::Flv, "flv"), (Container::Mp4, "mp4")]);
}

/// FFmpeg 5 does not know H.265 in FLV.
#[test]
fn captions_and_time_codes_of_h265_come_through_every_container() {
    let x265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=2:keyint=10";
    let message = [H265_TIMECODE, &H264[1..]].concat();
    check(Codec::H265, x265, &message, &[(Container::MpegTs, "ts"), (Container::Mp4, "mp4")]);
}

fn check(codec: Codec, encoder: &str, message: &[u8], judged: &[(Container, &str)]) {
    let scratch = Scratch::new(&format!("container-passed-on-{}", codec.name()));
    let (tracks, frames) = pictures(&scratch, encoder);
    let frames: Vec<Frame> = frames.iter().map(|frame| with_message(frame, message)).collect();
    let payloads = |frames: &[Frame]| frames.iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>();
    for container in Container::ALL {
        let file = written(container, &tracks, &frames);
        let (again, read) = read(container, &file, 4096);
        assert_eq!(again.iter().map(|track| track.config.codec()).collect::<Vec<_>>(), [codec], "{container:?}");
        assert!(payloads(&read) == payloads(&frames), "{container:?}: bit for bit");
        let Some((_, extension)) = judged.iter().find(|(judged, _)| *judged == container) else { continue };
        let name = format!("out.{extension}");
        scratch.write(&name, &file);
        assert_seen(&scratch, &name, codec, frames.len());
    }
}

/// Each picture has what it was given.
fn assert_seen(scratch: &Scratch, name: &str, codec: Codec, pictures: usize) {
    let args = ["-v", "error", "-select_streams", "v", "-show_frames", "-of", "flat", name];
    let text = String::from_utf8(run("ffprobe", &args, &scratch.path("."))).unwrap();
    let told = |value: &str| text.lines().filter(|line| line.ends_with(&format!("=\"{value}\""))).count();
    let of_codec = if codec == Codec::H265 { TIMECODE_SEEN } else { ACTIVE_FORMAT_SEEN };
    for value in [CAPTIONS_SEEN, USER_DATA_SEEN, of_codec] {
        assert!(told(value) >= pictures, "{name}: {} of {pictures} have {value}", told(value));
    }
    let movie = format!("movie={name}[out0+subcc]");
    let args = ["-v", "error", "-f", "lavfi", "-i", &movie, "-map", "0:1", "-c", "copy", "-f", "data", "-"];
    assert_eq!(run("ffmpeg", &args, &scratch.path(".")), CAPTIONS.repeat(pictures), "{name}: captions");
}

/// One second of pictures.
fn pictures(scratch: &Scratch, encoder: &str) -> (std::sync::Arc<TrackSet>, Vec<Frame>) {
    let input = "-v error -f lavfi -i testsrc2=size=160x120:rate=25:duration=1";
    let args: Vec<&str> = input.split(' ').chain(encoder.split(' ')).chain(["in.ts"]).collect();
    run("ffmpeg", &args, &scratch.path("."));
    let (tracks, frames) = read(Container::MpegTs, &std::fs::read(scratch.path("in.ts")).unwrap(), 4096);
    assert!(matches!(tracks[0].config, CodecConfig::H264(_) | CodecConfig::H265(_)) && tracks[0].id == VIDEO);
    let tracks = track_set(&tracks);
    let frames = by_time(&tracks, &frames);
    (tracks, frames)
}

/// The message in front of the slices.
fn with_message(frame: &Frame, message: &[u8]) -> Frame {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    Frame { payload: [&length[..], message, &frame.payload].concat().into(), ..frame.clone() }
}
