//! Which target reaches each parser: one that is written and not swept fails the test here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Every way in for a peer's bytes, and the target that goes it.
const PARSERS: &[(&str, &str)] = &[
    ("codec/aac/adts.rs parse_adts", "aac"),
    ("codec/aac/config.rs AudioSpecificConfig::parse", "aac"),
    ("codec/aac/latm/element.rs AudioMuxElement::parse", "latm"),
    ("codec/aac/latm/element.rs AudioMuxElement::parse_without_config", "latm"),
    ("codec/aac/latm/loas.rs LoasReader::feed", "latm"),
    ("codec/aac/latm/mux_config.rs StreamMuxConfig::parse", "latm"),
    ("codec/ac3/dac3.rs Ac3Config::parse", "ac3"),
    ("codec/ac3/dac3.rs Ac3Config::from_syncframe", "ac3"),
    ("codec/ac3/dec3.rs Eac3Config::parse", "ac3"),
    ("codec/ac3/dec3.rs Eac3Config::from_syncframe", "ac3"),
    ("codec/ac3/dec3.rs Eac3Config::from_access_unit", "ac3"),
    ("codec/ac3/dec3.rs Eac3Config::from_beginning", "ac3"),
    ("codec/ac3/syncframe.rs SyncFrame::parse", "ac3"),
    ("codec/av1/frame.rs FrameHeader::parse", "av1"),
    ("codec/av1/metadata.rs Metadata::parse", "av1"),
    ("codec/av1/record.rs Av1Config::parse", "av1"),
    ("codec/av1/record.rs Av1Config::from_sequence_header", "av1"),
    ("codec/av1/sequence.rs SequenceHeader::parse", "av1"),
    ("codec/config.rs CodecConfig::parse", "mp4_push"),
    ("codec/dolby_vision.rs DolbyVision::parse", "dolby_vision"),
    ("codec/dolby_vision.rs DolbyVision::parse_descriptor", "dolby_vision"),
    ("codec/flac/frame.rs FrameHeader::parse", "flac"),
    ("codec/flac/stream_info.rs FlacConfig::parse", "flac"),
    ("codec/flac/stream_info.rs FlacConfig::from_stream", "flac"),
    ("codec/flac/stream_info.rs FlacConfig::from_stream_info", "flac"),
    ("codec/h264/avcc.rs AvcConfig::parse", "h264"),
    ("codec/h264/avcc.rs AvcConfig::from_parameter_sets", "h264"),
    ("codec/h264/sps.rs SpsInfo::parse", "h264"),
    ("codec/h265/hvcc.rs HevcConfig::parse", "h265"),
    ("codec/h265/hvcc.rs HevcConfig::from_parameter_sets", "h265"),
    ("codec/h265/sps.rs SpsInfo::parse", "h265"),
    ("codec/h266/sps.rs SpsInfo::parse", "h266"),
    ("codec/h266/vvcc.rs VvcConfig::parse", "h266"),
    ("codec/h266/vvcc.rs VvcConfig::from_parameter_sets", "h266"),
    ("codec/in_band.rs CodecConfig::from_frame", "annex_b"),
    ("codec/mpeg_audio/mod.rs FrameHeader::parse", "mpeg_audio"),
    ("codec/mpeg_audio/mod.rs MpegAudioConfig::parse", "mpeg_audio"),
    ("codec/mpeg_audio/mod.rs MpegAudioConfig::from_header", "mpeg_audio"),
    ("codec/nal/access_units.rs AccessUnits::push", "annex_b"),
    ("codec/opus/control.rs ControlHeader::parse", "opus"),
    ("codec/opus/head.rs OpusConfig::parse", "opus"),
    ("codec/opus/head.rs OpusConfig::from_channel_config_code", "opus"),
    ("codec/opus/head.rs OpusConfig::from_dops", "opus"),
    ("codec/opus/packet.rs Packet::parse", "opus"),
    ("codec/opus/packet.rs Packet::parse_self_delimited", "opus"),
    ("codec/pcm.rs PcmConfig::parse", "pcm"),
    ("codec/sei/hdr.rs MasteringDisplay::parse", "sei"),
    ("codec/sei/hdr.rs ContentLight::parse", "sei"),
    ("codec/sei/messages.rs Sei::read", "sei"),
    ("codec/sei/recovery.rs RecoveryPoint::parse_h264", "sei"),
    ("codec/sei/recovery.rs RecoveryPoint::parse_h265", "sei"),
    ("codec/sei/timecode.rs Timecode::parse_h265", "sei"),
    ("codec/sei/user_data.rs RegisteredUserData::parse", "sei"),
    ("codec/vp8/mod.rs FrameTag::parse", "vp8"),
    ("codec/vp8/mod.rs Vp8Config::parse", "vp8"),
    ("codec/vp8/mod.rs Vp8Config::from_frame", "vp8"),
    ("codec/vp9/header.rs FrameHeader::parse", "vp9"),
    ("codec/vp9/record.rs Vp9Config::parse", "vp9"),
    ("codec/vp9/record.rs Vp9Config::from_frame", "vp9"),
    ("pack/cmaf/cue.rs Cues::push", "scte35"),
    ("pack/container/demux.rs ContainerDemuxer::push", "ts_demux"),
    ("pack/flv/demux.rs FlvDemuxer::push", "flv_tags"),
    ("pack/flv/reader.rs FlvReader::feed", "flv_file"),
    ("pack/mp4/demux/event.rs Events::read", "mp4_push"),
    ("pack/mp4/demux/index.rs Mp4Index::supply", "mp4_index"),
    ("pack/mp4/demux/movie.rs Movie::parse", "mp4_index"),
    ("pack/mp4/demux/outline.rs OutlineReader::supply", "mp4_index"),
    ("pack/mp4/demux/push.rs Mp4Demuxer::push", "mp4_push"),
    ("pack/mp4/demux/table.rs SampleTable::parse", "mp4_index"),
    ("pack/mp4/finalize/clip.rs PlaceReader::supply", "mp4_index"),
    ("pack/mp4/finalize/mod.rs Finalizer::supply", "mp4_index"),
    ("pack/mp4/finalize/recover.rs WholeFragments::supply", "mp4_index"),
    ("pack/mp4/read.rs BoxHeader::parse", "mp4_push"),
    ("pack/mpegts/demux/mod.rs TsDemuxer::push", "ts_demux"),
    ("pack/mpegts/splice.rs Splice::parse", "scte35"),
    ("pack/vod/outline/packed.rs PackedOutline::parse", "kept_outline"),
    ("pack/vod/outline/samples.rs SampleOutliner::supply", "mp4_index"),
    ("pack/vod/outline/stream.rs StreamOutliner::push", "ts_demux"),
    ("wire/http/mod.rs PlainGet::parse", "http_request"),
    ("wire/rtmp/chunk/reader.rs ChunkReader::read", "rtmp_chunk"),
    ("wire/rtmp/client/mod.rs ClientConn::handle_input", "rtmp_client"),
    ("wire/rtmp/conn/mod.rs ServerConn::handle_input", "rtmp_conn"),
    ("wire/rtp/format/mod.rs Format::parse", "rtp_format"),
    ("wire/rtp/format/parameters.rs Parameters::parse", "rtp_format"),
    ("wire/rtp/packet.rs Packet::parse", "rtp_packet"),
    ("wire/rtsp/client/mod.rs ClientConn::handle_input", "rtsp_client"),
    ("wire/rtsp/conn/mod.rs ServerConn::handle_input", "rtsp_session"),
    ("wire/rtsp/message.rs Method::parse", "rtsp_message"),
    ("wire/rtsp/reader.rs MessageReader::push", "rtsp_message"),
    ("wire/rtsp/reader.rs MessageReader::read", "rtsp_message"),
    ("wire/rtsp/sdp/read.rs Description::parse", "rtsp_sdp"),
    ("wire/rtsp/transport.rs Transport::parse_all", "rtsp_headers"),
    ("wire/rtsp/transport.rs Transport::parse", "rtsp_headers"),
    ("wire/rtsp/tunnel.rs Base64Reader::read", "rtsp_message"),
    ("wire/rtsp/url.rs RtspUrl::parse", "rtsp_headers"),
    ("wire/srt/caller.rs SrtCaller::handle_input", "srt_packet"),
    ("wire/srt/conn/input.rs SrtConn::handle_input", "srt_conn"),
    ("wire/srt/crypto/cipher.rs KeySize::from_bytes", "srt_packet"),
    ("wire/srt/crypto/material.rs KeyMaterial::parse", "srt_packet"),
    ("wire/srt/handshake/mod.rs Handshake::parse", "srt_packet"),
    ("wire/srt/handshake/reject.rs RejectReason::from_code", "srt_packet"),
    ("wire/srt/listener.rs SrtListener::handle_input", "srt_packet"),
    ("wire/srt/packet/mod.rs Packet::parse", "srt_packet"),
    ("wire/srt/rendezvous.rs SrtRendezvous::handle_input", "srt_packet"),
    ("wire/srt/stream_id.rs StreamId::parse", "srt_packet"),
    ("wire/srtp/suite.rs Suite::parse", "rtsp_sdp"),
    ("wire/webrtc/discover.rs Discovery::handle_datagram", "webrtc_datagram"),
    ("wire/webrtc/fragment.rs Fragment::parse", "webrtc_fragment"),
    ("wire/webrtc/framing.rs Frames::push", "webrtc_datagram"),
    ("wire/webrtc/offer.rs Offer::parse", "webrtc_offer"),
    ("wire/webrtc/session/mod.rs Session::handle_datagram", "webrtc_session"),
    ("wire/webrtc/stun/check.rs Check::read", "webrtc_datagram"),
    ("wire/webrtc/stun/mod.rs Message::parse", "webrtc_datagram"),
];

/// What takes our own bytes.
const OURS: &str = "pack/mpegts/mux/groups.rs PacketGroups::push";

/// Names of what reads bytes, alone or in front of `_…`. What is named otherwise (`packets`, `units`, `opening`) is not seen here.
const READS: [&str; 2] = ["parse", "read"];
const TAKES: [&str; 4] = ["feed", "supply", "handle_input", "handle_datagram"];

fn is_entry(name: &str, signature: &str) -> bool {
    let reads =
        READS.iter().any(|verb| name.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    let pushes_bytes = name == "push" && (signature.contains("[u8]") || signature.contains("Bytes"));
    reads || name.starts_with("from_") || TAKES.contains(&name) || pushes_bytes
}

/// The public functions of a file that are ways in, with their types.
fn entries(text: &str) -> Vec<String> {
    let (code, _) = text.split_once("mod tests {").unwrap_or((text, ""));
    let (mut found, mut type_name) = (Vec::new(), "");
    for (at, _) in [(0, "")].into_iter().chain(code.match_indices('\n')) {
        let rest = code[at..].trim_start_matches('\n');
        if rest.starts_with("impl") {
            type_name = implemented(rest);
        } else if let Some(function) = rest.trim_start_matches(' ').strip_prefix("pub fn ") {
            let name = function.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let of = if rest.starts_with(' ') { format!("{type_name}::") } else { String::new() };
            found.extend(is_entry(name, function.split('{').next().unwrap()).then(|| of + name));
        }
    }
    found
}

/// The type of `impl<'a> Trait<'a> for Type<'a> {`.
fn implemented(block: &str) -> &str {
    let line = block.lines().next().unwrap().trim_start_matches("impl");
    let line = if line.starts_with('<') { line.split_once("> ").unwrap().1 } else { line.trim_start() };
    let line = line.split_once(" for ").map_or(line, |(_, of)| of);
    line.split(['<', ' ']).next().unwrap()
}

/// All sources under a folder that are no tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_test = |path: &PathBuf| matches!(path.file_stem().unwrap().to_str(), Some("tests" | "testing" | "probe"));
    paths
        .filter(|path| !is_test(path))
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .collect()
}

#[test]
fn every_parser_has_a_target_that_reaches_it() {
    let native = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    for name in ["codec", "pack", "wire"] {
        for file in sources(&native.join(name).join("src")) {
            let within = file.strip_prefix(native).unwrap().to_str().unwrap().replace("/src/", "/");
            let entries = entries(&fs::read_to_string(&file).unwrap());
            found.extend(entries.into_iter().map(|entry| format!("{within} {entry}")));
        }
    }
    assert!(found.remove(OURS), "{OURS} is gone");
    let listed: BTreeSet<_> = PARSERS.iter().map(|(parser, _)| (*parser).to_owned()).collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "no target is known to reach {missing:#?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "these are gone: {gone:#?}");
    assert_eq!(listed.len(), PARSERS.len(), "each once");
    for (parser, target) in PARSERS {
        assert!(crate::targets::ALL.iter().any(|known| known.name == *target), "{parser}: no target {target}");
    }
}

#[test]
fn ways_in_are_found_by_their_names() {
    let text = "impl<'a> From<u8> for One<'a> {\n    pub fn parse(bytes: &[u8]) -> Self {}\n    pub fn reader() {}\n}\n\
        pub fn read_it(\n    a: u8,\n) {}\nimpl Two {\n    pub fn push(&mut self, frame: Frame) {}\n    pub(super) fn read() {}\n    \
        pub fn push(\n        &mut self,\n        b: &[u8],\n    ) {}\n}\nmod tests {\n    pub fn parse() {}\n}\n";
    assert_eq!(entries(text), ["One::parse", "read_it", "Two::push"]);
}
