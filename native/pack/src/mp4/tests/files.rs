//! Files of kinds that are seen in the wild: seek, waveforms of QuickTime, parameter sets in-band, edit lists, odd boxes, what is refused.

use std::time::Duration;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::{Codec, CodecConfig, ContentLight, Hdr, MasteringDisplay, MediaKind, pcm::PcmConfig};

use super::{
    Read,
    foreign::{VIDEO, assert_as_ffprobe, encode},
    index, push, read_on, stream,
    written::{finalized, fragmented},
};
use crate::{
    PackError,
    mp4::{Mp4Demuxer, Mp4Index, Step},
    testing::{AUDIO, Rng, Scratch, audio_track, run, sound, track_set},
};

/// From any time, in files of all layouts: the frames are those from the key frame in front of it.
#[test]
fn a_seek_goes_to_the_key_frame_in_front_of_the_time() {
    let (tracks, frames) = stream(&mut Rng(21), 4, 0);
    let recording = fragmented(&tracks, &frames, 31);
    for (file, form) in [(finalized(&recording), "whole"), (recording, "fragments")] {
        let all = index(&file);
        let mut reader = Mp4Index::new(file.len() as u64);
        let start = all.of(TrackId(0))[0].dts;
        // Backwards, forwards, beyond the end.
        for millis in [2_000, 0, 3_999, 1_001, 60_000, 1_300] {
            open(&mut reader, &file);
            reader.seek(Duration::from_millis(millis)).unwrap();
            let read = read_on(&mut reader, &file, &all.tracks);
            let first = read.of(TrackId(0))[0];
            assert!(first.flags.contains(FrameFlags::KEY.with(FrameFlags::DISCONTINUITY)), "{form} {millis}");
            let sought = i64::try_from(millis).unwrap() * 90 + start.min(0);
            let is_wanted = |at: &&&super::Plain| at.flags.contains(FrameFlags::KEY) && at.dts <= sought;
            let pictures = all.of(TrackId(0));
            let wanted = pictures.iter().rev().find(is_wanted).unwrap();
            // Where a fragment does not begin with a key frame, an earlier one is read.
            if form == "whole" {
                assert_eq!(first.pts, wanted.pts, "{millis}");
            }
            assert!(first.pts <= wanted.pts && first.payload.len() > 1, "{form} {millis}");
            let behind = pictures.iter().skip_while(|at| at.pts != first.pts).count();
            assert_eq!(read.of(TrackId(0)).len(), behind, "{form} {millis}: all that follow");
            let sound = read.of(TrackId(1))[0];
            assert!((sound.pts * 900 / 441 - first.dts).abs() < 2 * 90_000, "{form} {millis}: the sound goes along");
        }
    }
}

/// Up to the tracks.
fn open(reader: &mut Mp4Index, file: &[u8]) {
    while !reader.is_open() {
        if let Step::Read { offset, bytes } = reader.step().unwrap() {
            let begin = usize::try_from(offset).unwrap();
            reader.supply(offset, bytes::Bytes::copy_from_slice(&file[begin..begin + bytes]));
        }
    }
}

/// What of QuickTime comes out of cameras and editors, beside what ffmpeg reads of it.
#[test]
fn waveforms_of_quicktime_are_read() {
    let scratch = Scratch::new("mp4-pcm");
    let directory = scratch.path(".");
    for (codec, is_as_stored) in [
        ("pcm_s16be", true),
        ("pcm_s16le", false),
        ("pcm_s24be", true),
        ("pcm_s24le", false),
        ("pcm_s32le", false),
        ("pcm_alaw", true),
        ("pcm_mulaw", true),
    ] {
        let name = format!("{codec}.mov");
        encode(&scratch, &name, &["-c:a", codec, "-ac", "2"]);
        let file = std::fs::read(scratch.path(&name)).unwrap();
        let read = index(&file);
        let args = ["-v", "error", "-i", &name, "-c", "copy", "-f", &codec["pcm_".len()..], "-"];
        let stored = run("ffmpeg", &args, &directory);
        let ours = read.frames.iter().flat_map(|frame| frame.payload.to_vec()).collect::<Vec<_>>();
        assert_eq!(ours.len(), stored.len(), "{codec}");
        assert_eq!(ours == stored, is_as_stored, "{codec}");
        if !is_as_stored {
            let big = codec.replace("le", "be");
            let args = ["-v", "error", "-i", &name, "-c:a", &big, "-f", &big["pcm_".len()..], "-"];
            assert_eq!(ours, run("ffmpeg", &args, &directory), "{codec}");
        }
        let info = read.tracks[0].config.audio().unwrap();
        assert_eq!((info.sample_rate_hz, info.channels), (48_000, 2), "{codec}");
        let follows = read.frames.windows(2).all(|pair| pair[0].pts + i64::from(pair[0].duration) == pair[1].pts);
        assert!(follows && read.frames.len() > 10, "{codec}");
    }
}

/// Found by reading: the table of sizes was passed over, and a finished recording of G.711 came back as a frame of one byte a chunk; one
/// of PCM at a rate that its field cannot say did not come back at all, its pictures neither.
#[test]
fn a_waveform_in_frames_is_read_frame_by_frame() {
    let waveforms = [(Codec::G711A, 8_000, 1, 8), (Codec::Pcm, 48_000, 2, 16), (Codec::Pcm, 96_000, 2, 24)];
    for (codec, rate_hz, channels, bits) in waveforms {
        let record = PcmConfig::new(rate_hz, channels, bits).unwrap().record;
        let track = Track::new(AUDIO, CodecConfig::parse(codec, record).unwrap());
        let (samples, bytes) = (rate_hz / 50, rate_hz / 50 * u32::from(channels) * u32::from(bits / 8));
        let mut rng = Rng(26);
        let frame = |index| {
            let dts = index * i64::from(samples);
            Frame { duration: samples, ..sound(&mut rng, dts, bytes as usize) }
        };
        let frames: Vec<Frame> = (0..100).map(frame).collect();
        let wanted: Vec<_> = frames.iter().map(|frame| (frame.pts, frame.duration, &frame.payload)).collect();
        let each = finalized(&fragmented(&track_set(&[track]), &frames, 50));
        // One size for all says the same.
        let at = each.windows(4).position(|window| window == b"stsz").unwrap() + 8;
        let mut all = each.clone();
        all[at..at + 4].copy_from_slice(&bytes.to_be_bytes());
        for (file, sizes) in [(each, "sizes"), (all, "a size")] {
            let read = index(&file);
            let found: Vec<_> = read.frames.iter().map(|frame| (frame.pts, frame.duration, &frame.payload)).collect();
            assert!(found == wanted, "{codec:?} of {rate_hz} Hz with {sizes}: {} frames", found.len());
        }
    }
}

/// The file with the sample entry `kind` as an `AudioSampleEntryV1` (§12.2.3.2), which says its rate in a box.
fn with_rate_box(mut file: Vec<u8>, kind: &[u8; 4], rate_hz: u32) -> Vec<u8> {
    let entry = file.windows(4).position(|window| window == kind).unwrap();
    let (stsd_version, entry_version, rate, boxes) = (entry - 12, entry + 13, entry + 28, entry + 32);
    (file[stsd_version], file[entry_version]) = (1, 1);
    file[rate..rate + 4].copy_from_slice(&(1_u32 << 16).to_be_bytes());
    let srat = [&[0, 0, 0, 16][..], b"srat", &[0; 4], &rate_hz.to_be_bytes()].concat();
    for name in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", kind] {
        let at = file[..entry + 4].windows(4).rposition(|window| window == name).unwrap() - 4;
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) + 16;
        file[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    file.splice(boxes..boxes, srat);
    file
}

/// It was taken for QuickTime's entry of version 1, which is longer, and the whole file was refused.
#[test]
fn sound_with_its_rate_in_a_box_is_read_and_so_are_the_pictures_beside_it() {
    let (tracks, frames) = stream(&mut Rng(29), 1, 0);
    let video = tracks.tracks[0].clone();
    let record = PcmConfig::new(96_000, 2, 16).unwrap().record;
    let pcm = Track::new(AUDIO, CodecConfig::parse(Codec::Pcm, record).unwrap());
    for (track, kind) in [(audio_track(96_000), b"mp4a"), (pcm, b"ipcm")] {
        let file = fragmented(&track_set(&[video.clone(), track.clone()]), &frames, 1_000);
        let (plain, read) = (index(&file), index(&with_rate_box(file, kind, 96_000)));
        assert_eq!(read.tracks, plain.tracks);
        assert_eq!((read.tracks.len(), read.tracks[1].config.audio().unwrap().sample_rate_hz), (2, 96_000));
        assert_eq!(read.frames, plain.frames);
    }
}

/// Found by reading: what an encoder says of its mastering display beside the configuration (`colorInfo`) reached no file, and none was read.
#[test]
fn mastering_display_and_light_level_beside_the_configuration_come_back() {
    let display = MasteringDisplay {
        primaries: [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)],
        white_point: (15_635, 16_450),
        max_luminance: 10_000_000,
        min_luminance: 50,
    };
    let light = ContentLight { max_cll: 1000, max_fall: 400 };
    let (tracks, frames) = stream(&mut Rng(27), 1, 0);
    let mut tracks = tracks.tracks.clone();
    for track in tracks.iter_mut().filter(|track| track.kind() == MediaKind::Video) {
        track.hdr = Hdr { mastering: Some(display), content_light: Some(light) };
    }
    let fragments = fragmented(&track_set(&tracks), &frames, 31);
    for (file, form) in [(finalized(&fragments), "whole"), (fragments, "fragments")] {
        assert_eq!(index(&file).tracks, tracks, "{form}");
    }
}

#[test]
fn codecs_outside_of_the_matrix_are_read_as_ffprobe_reads_them() {
    let scratch = Scratch::new("mp4-others");
    for (name, codec) in [
        ("flac.mp4", &["-c:a", "flac", "-strict", "-2"][..]),
        ("eac3.mp4", &["-c:a", "eac3"]),
        ("mp2.mp4", &["-c:a", "mp2"]),
        ("aac.mov", &["-c:a", "aac"]),
        ("mp3.mov", &["-c:a", "libmp3lame"]),
        ("hev1.mp4", &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v", "hev1"]),
    ] {
        encode(&scratch, name, codec);
        let file = std::fs::read(scratch.path(name)).unwrap();
        let read = index(&file);
        assert_eq!((read.tracks.len(), read.dropped, read.broken), (1, 0, 0), "{name}");
        let (stream, kind) = if codec[0] == "-c:v" { ("v:0", 0) } else { ("a:0", 1) };
        let (packets, base_hz) = super::foreign::packets(&scratch.path("."), name, stream);
        let frames = read.of(TrackId(kind));
        super::foreign::assert_same(&frames, read.tracks[0].clock_rate_hz, &packets, base_hz, name);
    }
}

/// Sound that begins later, pictures that are cut in front: ffmpeg writes both as edit lists.
#[test]
fn edit_lists_move_the_tracks_as_ffprobe_says() {
    let scratch = Scratch::new("mp4-edits");
    let directory = scratch.path(".");
    encode(&scratch, "v.mp4", VIDEO[1].1);
    encode(&scratch, "a.mp4", &["-c:a", "aac"]);
    let args = ["-v", "error", "-i", "v.mp4", "-itsoffset", "0.7", "-i", "a.mp4", "-c", "copy", "late.mp4"];
    run("ffmpeg", &args, &directory);
    let read = index(&std::fs::read(scratch.path("late.mp4")).unwrap());
    assert!(read.of(TrackId(1))[0].pts > 30_000);
    assert_as_ffprobe(&[read], &directory, "late.mp4");
}

/// Boxes with 64-bit sizes, an `mdat` to the end of the file, padding anywhere: the same frames.
#[test]
fn odd_boxes_change_nothing() {
    let (tracks, frames) = stream(&mut Rng(22), 1, 0);
    let file = fragmented(&tracks, &frames, 1_000);
    let plain = push(&file, 100);
    let at = |kind: &[u8; 4]| file.windows(4).position(|window| window == kind).unwrap() - 4;
    let (moov, moof, mdat) = (at(b"moov"), at(b"moof"), at(b"mdat"));
    let padding = [0, 0, 0, 12, b'f', b'r', b'e', b'e', 1, 2, 3, 4];
    let padded = [&file[..moov], &padding, &file[moov..moof], &padding, &file[moof..]].concat();
    let mut open_ended = file.clone();
    open_ended[mdat..mdat + 4].fill(0);
    let large = |from: usize, to: usize| {
        let size = (to - from + 8) as u64;
        [&[0, 0, 0, 1], &file[from + 4..from + 8], &size.to_be_bytes(), &file[from + 8..to]].concat()
    };
    let large_moov = [&file[..moov], &large(moov, moof), &file[moof..]].concat();
    for (name, file) in [("padded", padded), ("open-ended", open_ended), ("large", large_moov)] {
        assert_eq!(push(&file, 77).frames, plain.frames, "{name}");
        assert_eq!(index(&file).frames, plain.frames, "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let (tracks, frames) = stream(&mut Rng(23), 1, 0);
    let file = fragmented(&tracks, &frames, 1_000);
    let replaced = |from: &[u8; 4], to: &[u8; 4]| {
        let mut file = file.clone();
        let at = file.windows(4).position(|window| window == from).unwrap();
        file[at..at + 4].copy_from_slice(to);
        file
    };
    // One track of two: the other is read.
    let encrypted = replaced(b"avc1", b"encv");
    let mut demuxer = Mp4Demuxer::new();
    demuxer.push(&encrypted).unwrap();
    let why = PackError::Unsupported { what: "encrypted track in MP4" };
    assert_eq!(demuxer.refused_tracks(), [(1, why.clone())]);
    let read = push(&encrypted, 500);
    assert_eq!(read.tracks.iter().map(|track| track.config.codec()).collect::<Vec<_>>(), [Codec::Aac]);
    // One that breaks, too: it was an error of the whole file.
    let broken = replaced(b"esds", b"free");
    let mut demuxer = Mp4Demuxer::new();
    demuxer.push(&broken).unwrap();
    assert!(matches!(demuxer.refused_tracks(), [(2, PackError::Malformed { what: "mp4a without esds", .. })]));
    let read = push(&broken, 500);
    assert_eq!(read.tracks.iter().map(|track| track.config.codec()).collect::<Vec<_>>(), [Codec::H264]);
    // All tracks.
    let one = std::sync::Arc::new(arcly_bus::TrackSet { revision: 1, tracks: vec![tracks.tracks[0].clone()] });
    let mut alone = fragmented(&one, &frames, 1_000);
    let at = alone.windows(4).position(|window| window == b"avc1").unwrap();
    alone[at..at + 4].copy_from_slice(b"encv");
    assert_eq!(Mp4Demuxer::new().push(&alone), Err(why));
    // A file that cannot be read in pieces, and one that is none.
    let mut demuxer = Mp4Demuxer::new();
    let behind = [&[0, 0, 0, 8][..], b"mdat", &file].concat();
    let what = "MP4 with moov behind its media, in pieces";
    assert_eq!(demuxer.push(&behind), Err(PackError::Unsupported { what }));
    assert_eq!(demuxer.push(&[0]), Err(PackError::Unsupported { what }), "it stays so");
    let error = Mp4Demuxer::new().push(b"\0\0\0\x05FLV\x01");
    assert_eq!(error, Err(PackError::Malformed { what: "box size", offset: 0 }));
}

/// Each prefix of a file gives a prefix of its frames, and no error but at the end.
#[test]
fn a_truncated_file_gives_the_frames_that_are_whole() {
    let (tracks, frames) = stream(&mut Rng(24), 1, 0);
    let recording = fragmented(&tracks, &frames, 20);
    let all = index(&recording);
    for length in (0..recording.len()).step_by(101) {
        let mut reader = Mp4Index::new(length as u64);
        let mut read = Read::default();
        while let Ok(step) = reader.step() {
            match step {
                Step::Read { offset, bytes } => {
                    let begin = usize::try_from(offset).unwrap();
                    assert!(begin + bytes <= length, "a read behind the end");
                    reader.supply(offset, bytes::Bytes::copy_from_slice(&recording[begin..begin + bytes]));
                }
                Step::Item(item) => read.take(item),
                Step::End => break,
            }
        }
        for track in [0, 1] {
            let (part, whole) = (read.of(TrackId(track)), all.of(TrackId(track)));
            assert!(part.iter().all(|frame| whole.contains(frame)), "{length}");
        }
    }
}

/// A run of a million samples of no bytes, thousands of times, and tables that claim four thousand million: they cost nothing.
#[test]
fn claims_cost_nothing() {
    let (tracks, frames) = stream(&mut Rng(25), 1, 0);
    let file = fragmented(&tracks, &frames, 1_000);
    let moof = file.windows(4).position(|window| window == b"moof").unwrap() - 4;
    let mut traf = Vec::new();
    let full = |kind: &[u8; 4], flags: u32, fields: &[u32]| {
        let fields: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
        [&(12 + fields.len() as u32).to_be_bytes()[..], kind, &flags.to_be_bytes(), &fields].concat()
    };
    traf.extend(full(b"tfhd", 0x02_0000, &[1]));
    for _ in 0..2_000 {
        traf.extend(full(b"trun", 0, &[1 << 20]));
    }
    let traf = [&(8 + traf.len() as u32).to_be_bytes()[..], b"traf", &traf].concat();
    let bomb = [&(8 + traf.len() as u32).to_be_bytes()[..], b"moof", &traf].concat();
    let file = [&file[..moof], &bomb, &file[moof..]].concat();
    assert_eq!(push(&file, 4_096).frames, push(&[&file[..moof], &file[moof + bomb.len()..]].concat(), 4_096).frames);
    // Samples that use the same bytes again and again end when they are more than the file.
    let sized = full(b"trun", 1, &[1 << 20, 0]);
    let mut traf = full(b"tfhd", 0x02_0010, &[1, 1]);
    (0..1_000).for_each(|_| traf.extend(&sized));
    let traf = [&(8 + traf.len() as u32).to_be_bytes()[..], b"traf", &traf].concat();
    let bomb = [&(8 + traf.len() as u32).to_be_bytes()[..], b"moof", &traf].concat();
    let file = [&file[..moof], &bomb].concat();
    assert!(push(&file, 4_096).dropped + push(&file, 4_096).broken <= 2 * file.len() as u64);
}
