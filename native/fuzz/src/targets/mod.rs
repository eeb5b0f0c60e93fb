//! What is swept. A new target is a file here with a `TARGET`, and its two lines below.

mod aac;
mod ac3;
mod amf0;
mod amf3;
mod annex_b;
mod av1;
mod dolby_vision;
mod flac;
mod flv_file;
mod flv_tags;
mod h264;
mod h265;
mod h266;
mod http_request;
mod kept_outline;
mod latm;
mod mp4_esds;
mod mp4_index;
mod mp4_push;
mod mp4_round;
mod mpeg_audio;
mod names;
mod opus;
mod pcm;
mod rtcp;
mod rtmp_chunk;
mod rtmp_client;
mod rtmp_conn;
mod rtp_depacketize;
mod rtp_format;
mod rtp_mpa_robust;
mod rtp_order;
mod rtp_packet;
mod rtsp_client;
mod rtsp_headers;
mod rtsp_message;
mod rtsp_sdp;
mod rtsp_session;
mod scte35;
mod sei;
mod srt_conn;
mod srt_packet;
mod srtp;
mod ts_demux;
mod vp8;
mod vp9;
mod webrtc_datagram;
mod webrtc_fragment;
mod webrtc_offer;
mod webrtc_session;
mod websocket;

use crate::mutate::{Edit, Input};

/// Everything that reads a peer's bytes.
pub const ALL: &[Target] = &[
    aac::TARGET,
    ac3::TARGET,
    amf0::TARGET,
    amf3::TARGET,
    annex_b::TARGET,
    av1::TARGET,
    dolby_vision::TARGET,
    flac::TARGET,
    flv_file::TARGET,
    flv_tags::TARGET,
    h264::TARGET,
    h265::TARGET,
    h266::TARGET,
    http_request::TARGET,
    kept_outline::TARGET,
    latm::TARGET,
    mp4_esds::TARGET,
    mp4_index::TARGET,
    mp4_push::TARGET,
    mp4_round::TARGET,
    mpeg_audio::TARGET,
    names::TARGET,
    opus::TARGET,
    pcm::TARGET,
    rtcp::TARGET,
    rtmp_chunk::TARGET,
    rtmp_client::TARGET,
    rtmp_conn::TARGET,
    rtp_depacketize::TARGET,
    rtp_format::TARGET,
    rtp_mpa_robust::TARGET,
    rtp_order::TARGET,
    rtp_packet::TARGET,
    rtsp_client::TARGET,
    rtsp_headers::TARGET,
    rtsp_message::TARGET,
    rtsp_sdp::TARGET,
    rtsp_session::TARGET,
    scte35::TARGET,
    sei::TARGET,
    srt_conn::TARGET,
    srt_packet::TARGET,
    srtp::TARGET,
    ts_demux::TARGET,
    vp8::TARGET,
    vp9::TARGET,
    webrtc_datagram::TARGET,
    webrtc_fragment::TARGET,
    webrtc_offer::TARGET,
    webrtc_session::TARGET,
    websocket::TARGET,
];

/// A parser or a state machine under test.
pub struct Target {
    /// As on the command line: the name of the file.
    pub name: &'static str,
    /// Valid inputs, to be broken. Small ones: an edit should hit something.
    pub vectors: fn() -> Vec<Vec<u8>>,
    /// Edits that know what the input means, for inputs of which others would break only the surface.
    pub edit: Option<Edit>,
    /// What it may hold at a time, by its limits.
    pub buffered_bytes_max: usize,
    /// Runs it on an input, asserts what must be true of it, and says how many bytes it held at most.
    pub run: fn(&Input) -> usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What there is. Which parsers they reach says `parsers`.
    const REQUIRED: [&str; 51] = [
        "aac",
        "ac3",
        "amf0",
        "amf3",
        "annex_b",
        "av1",
        "dolby_vision",
        "flac",
        "flv_file",
        "flv_tags",
        "h264",
        "h265",
        "h266",
        "http_request",
        "kept_outline",
        "latm",
        "mp4_esds",
        "mp4_index",
        "mp4_push",
        "mp4_round",
        "mpeg_audio",
        "names",
        "opus",
        "pcm",
        "rtcp",
        "rtmp_chunk",
        "rtmp_client",
        "rtmp_conn",
        "rtp_depacketize",
        "rtp_format",
        "rtp_mpa_robust",
        "rtp_order",
        "rtp_packet",
        "rtsp_client",
        "rtsp_headers",
        "rtsp_message",
        "rtsp_sdp",
        "rtsp_session",
        "scte35",
        "sei",
        "srt_conn",
        "srt_packet",
        "srtp",
        "ts_demux",
        "vp8",
        "vp9",
        "webrtc_datagram",
        "webrtc_fragment",
        "webrtc_offer",
        "webrtc_session",
        "websocket",
    ];

    #[test]
    fn every_required_target_exists_and_is_named_once() {
        let names: Vec<_> = ALL.iter().map(|target| target.name).collect();
        assert_eq!(names, REQUIRED);
    }

    #[test]
    fn every_file_of_targets_is_entered() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/targets");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut stems: Vec<_> = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        stems.retain(|stem| stem != "mod");
        stems.sort();
        assert_eq!(stems, REQUIRED);
    }

    #[test]
    fn every_target_has_vectors_that_fit() {
        for target in ALL {
            let vectors = (target.vectors)();
            let fits = |vector: &Vec<u8>| (1..=crate::mutate::MAX_INPUT_BYTES).contains(&vector.len());
            assert!(!vectors.is_empty() && vectors.iter().all(fits), "{}", target.name);
        }
    }
}
