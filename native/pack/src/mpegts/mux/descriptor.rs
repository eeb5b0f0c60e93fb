//! What the Program Map says of each codec (Table 2-34, §2.6, and the registrations of others).

use arcly_bus::Track;
use arcly_codec::{CodecConfig, DolbyVision};

/// `stream_type`.
///
/// AC-3 and E-AC-3 are signalled as ATSC does it (A/52 Annex A and G), which HLS demands too.
pub(super) fn stream_type(track: &Track) -> u8 {
    match &track.config {
        _ if alone(track).is_some() => PRIVATE_PES,
        CodecConfig::H264(_) => 0x1B,
        CodecConfig::H265(_) => 0x24,
        CodecConfig::H266(_) => 0x33,
        CodecConfig::Aac(_) => 0x0F, // ISO/IEC 13818-7 audio with ADTS
        // ISO/IEC 11172-3, and ISO/IEC 13818-3 for the lower sampling rates.
        CodecConfig::Mp2(audio) | CodecConfig::Mp3(audio) if audio.info.sample_rate_hz >= 32_000 => 0x03,
        CodecConfig::Mp2(_) | CodecConfig::Mp3(_) => 0x04,
        CodecConfig::Ac3(_) => 0x81,
        CodecConfig::Eac3(_) => 0x87,
        CodecConfig::Id3(_) => 0x15,
        CodecConfig::Scte35(_) => 0x86,
        _ => PRIVATE_PES,
    }
}

/// Dolby Vision that goes by its own name alone, lest a decoder of the codec show it with wrong colours.
fn alone(track: &Track) -> Option<DolbyVision> {
    let has_name = DolbyVision::entry_kind(track.config.codec()).is_some();
    track.dolby_vision.filter(|found| has_name && found.is_alone())
}

/// The descriptors of an elementary stream.
pub(super) fn stream_descriptors(track: &Track) -> Vec<u8> {
    let mut descriptors = Vec::new();
    match alone(track) {
        Some(_) => put(&mut descriptors, REGISTRATION, &[b"DOVI"]),
        None => describe(&track.config, &mut descriptors),
    }
    if let Some(found) = track.dolby_vision {
        put(&mut descriptors, DOVI_VIDEO_STREAM, &[&found.descriptor()]);
    }
    if let Some(language) = track.language {
        let [a, b, c] = language.bytes();
        put(&mut descriptors, ISO_639_LANGUAGE, &[&[a, b, c, 0]]);
    }
    descriptors
}

fn describe(config: &CodecConfig, to: &mut Vec<u8>) {
    match config {
        // §2.6.64: profile and level before the first parameter set, no still pictures, no 24-hour pictures, no statement on
        // frame packing.
        CodecConfig::H264(avc) => {
            if let Some(facts) = avc.sps.first().and_then(|sps| sps.get(1..4)) {
                put(to, AVC_VIDEO, &[facts, &[0x3F]]);
            }
        }
        // §2.6.95: profile, tier, level and constraints as the record has them; no statement on HDR.
        CodecConfig::H265(hevc) => {
            if let Some(facts) = hevc.record.get(1..13) {
                put(to, HEVC_VIDEO, &[facts, &[0x1F]]);
            }
        }
        // "Carriage of AV1 in MPEG-2 TS" §2: the registration first; then what the record begins with, and no statement on HDR.
        CodecConfig::Av1(av1) => {
            put(to, REGISTRATION, &[b"AV01"]);
            if let Some(facts) = av1.record.get(..3) {
                put(to, AV1_VIDEO, &[facts, &[0xC0]]);
            }
        }
        CodecConfig::Opus(opus) => {
            put(to, REGISTRATION, &[b"Opus"]);
            put(to, EXTENSION, &[&[OPUS_EXTENSION, opus.channel_config_code().unwrap_or_default()]]);
        }
        CodecConfig::Ac3(_) => put(to, REGISTRATION, &[b"AC-3"]),
        CodecConfig::Eac3(_) => put(to, REGISTRATION, &[b"EAC3"]),
        // §2.6.60, as Apple's "Timed Metadata for HTTP Live Streaming" fills it.
        CodecConfig::Id3(_) => put(to, METADATA, &[&ID3_FORMAT, &[0, 0x0F]]),
        CodecConfig::Klv(_) => put(to, REGISTRATION, &[b"KLVA"]),
        // SCTE 35 §8.2: cues of every kind.
        CodecConfig::Scte35(_) => put(to, CUE_IDENTIFIER, &[&[0x01]]),
        _ => {}
    }
}

/// The descriptors of the whole program.
pub(super) fn program_descriptors<'a>(configs: impl Iterator<Item = &'a CodecConfig>, program_number: u16) -> Vec<u8> {
    let (mut has_id3, mut has_cues) = (false, false);
    for config in configs {
        has_id3 |= matches!(config, CodecConfig::Id3(_));
        has_cues |= matches!(config, CodecConfig::Scte35(_));
    }
    let mut descriptors = Vec::new();
    if has_cues {
        put(&mut descriptors, REGISTRATION, &[b"CUEI"]);
    }
    if has_id3 {
        // §2.6.58: the metadata are in this very program.
        put(&mut descriptors, METADATA_POINTER, &[&ID3_FORMAT, &[0, 0x1F], &program_number.to_be_bytes()]);
    }
    descriptors
}

fn put(to: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    to.extend_from_slice(&[tag, u8::try_from(length).unwrap_or(u8::MAX)]);
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

/// Private data in PES packets.
const PRIVATE_PES: u8 = 0x06;
const REGISTRATION: u8 = 0x05;
const ISO_639_LANGUAGE: u8 = 0x0A;
const METADATA_POINTER: u8 = 0x25;
const METADATA: u8 = 0x26;
const AVC_VIDEO: u8 = 0x28;
const HEVC_VIDEO: u8 = 0x38;
/// ETSI EN 300 468 §6.2.18.
const EXTENSION: u8 = 0x7F;
const OPUS_EXTENSION: u8 = 0x80;
const AV1_VIDEO: u8 = 0x80;
const CUE_IDENTIFIER: u8 = 0x8A;
const DOVI_VIDEO_STREAM: u8 = 0xB0;
/// Application and format, each by an identifier: `ID3 `.
const ID3_FORMAT: [u8; 11] = *b"\xFF\xFFID3 \xFFID3 ";
