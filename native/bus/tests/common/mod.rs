//! A stream of one video and one audio track for the tests of the log.

#![allow(dead_code)]

use std::sync::Arc;

use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Publisher, Track, TrackId};
use arcly_codec::{CodecConfig, VideoInfo, aac::AudioSpecificConfig, h264::AvcConfig};
use bytes::Bytes;

pub const VIDEO: TrackId = TrackId(0);
pub const AUDIO: TrackId = TrackId(1);

pub fn video_track(width: u32) -> Track {
    let info = VideoInfo { profile: 100, level: 31, width, height: 720, ..VideoInfo::default() };
    let config = AvcConfig { nal_length_size: 4, info, ..AvcConfig::default() };
    Track::new(VIDEO, CodecConfig::H264(config))
}

pub fn audio_track() -> Track {
    let config = AudioSpecificConfig {
        record: Bytes::new(),
        object_type: 2,
        sample_rate_hz: 48_000,
        output_rate_hz: 48_000,
        channels: 2,
        channel_configuration: 2,
        samples_per_frame: 1024,
        sbr: false,
        ps: false,
    };
    Track::new(AUDIO, CodecConfig::Aac(config))
}

pub fn empty_stream(bounds: LogBounds) -> Publisher {
    Publisher::new(LogWriter::new(bounds, Arc::new(())), Box::new(()))
}

pub fn stream(frames: usize, bytes: usize) -> Publisher {
    let mut publisher = empty_stream(LogBounds { frames, bytes, max_lag: None, ..LogBounds::default() });
    publisher.set_tracks(vec![video_track(1280), audio_track()]).unwrap();
    publisher
}

/// Frame number `n`; its number is also its payload.
pub fn frame(track: TrackId, n: u64, key: bool) -> Frame {
    let flags = if key { FrameFlags::KEY } else { FrameFlags::NONE };
    let dts = n as i64 * 100;
    Frame { track, flags, pts: dts, dts, duration: 0, payload: Bytes::copy_from_slice(&n.to_be_bytes()) }
}

pub fn number(frame: &Frame) -> u64 {
    u64::from_be_bytes(frame.payload[..8].try_into().unwrap())
}
