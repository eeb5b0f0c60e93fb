//! A codec configuration to the format that it is sent in.

use arcly_codec::{
    CodecConfig, CodecError, aac::AudioSpecificConfig, av1::Av1Config, h264::AvcConfig, h265::HevcConfig,
    opus::OpusConfig, pcm::PcmConfig, vp9::Vp9Config,
};
use bytes::Bytes;

use super::{Encoding, Format, Parameters};
use crate::base64;

/// Clock of pictures, and of what has none of its own.
const VIDEO_CLOCK_HZ: u32 = 90_000;

pub(super) fn describe(payload_type: u8, config: &CodecConfig) -> Result<Format, CodecError> {
    let unsupported = CodecError::Unsupported { what: "codec over RTP" };
    let format = |encoding, clock_rate_hz, channels, parameters| {
        Ok(Format { payload_type, encoding, clock_rate_hz, channels, parameters })
    };
    let video = |encoding, parameters| format(encoding, VIDEO_CLOCK_HZ, 1, parameters);
    let none = Parameters::default;
    match config {
        CodecConfig::H264(config) => video(Encoding::H264, h264(config)),
        CodecConfig::H265(config) => video(Encoding::H265, h265(config)),
        CodecConfig::Vp8(_) => video(Encoding::Vp8, none()),
        CodecConfig::Vp9(config) => video(Encoding::Vp9, vp9(config)),
        CodecConfig::Av1(config) => video(Encoding::Av1, av1(config)),
        CodecConfig::Aac(config) => format(Encoding::Mpeg4Generic, config.sample_rate_hz, config.channels, aac(config)),
        // The rate and the channels are those of every stream (RFC 7587 §7).
        CodecConfig::Opus(config) if config.info.channels <= 2 => format(Encoding::Opus, 48_000, 2, opus(config)),
        CodecConfig::Mp3(_) | CodecConfig::Mp2(_) => format(Encoding::Mpa, VIDEO_CLOCK_HZ, 1, none()),
        CodecConfig::Ac3(config) => format(Encoding::Ac3, config.info.sample_rate_hz, config.info.channels, none()),
        CodecConfig::Eac3(config) => format(Encoding::Eac3, config.info.sample_rate_hz, config.info.channels, none()),
        CodecConfig::G711A(config) => waveform(payload_type, Encoding::Pcma, config),
        CodecConfig::G711U(config) => waveform(payload_type, Encoding::Pcmu, config),
        // An error that has become the rule (RFC 3551 §4.5.2).
        CodecConfig::G722(config) => {
            format(Encoding::G722, config.info.sample_rate_hz / 2, config.info.channels, none())
        }
        CodecConfig::Pcm(config) if config.info.bits_per_sample == 16 => waveform(payload_type, Encoding::L16, config),
        CodecConfig::Pcm(config) if config.info.bits_per_sample == 24 => waveform(payload_type, Encoding::L24, config),
        CodecConfig::Klv(_) => format(Encoding::Klv, VIDEO_CLOCK_HZ, 1, none()),
        _ => Err(unsupported),
    }
}

fn waveform(payload_type: u8, encoding: Encoding, config: &PcmConfig) -> Result<Format, CodecError> {
    let (clock_rate_hz, channels) = (config.info.sample_rate_hz, config.info.channels);
    Ok(Format { payload_type, encoding, clock_rate_hz, channels, parameters: Parameters::default() })
}

/// RFC 6184 §8.1.
fn h264(config: &AvcConfig) -> Parameters {
    let id = [config.info.profile, config.constraint_flags, config.info.level];
    let sets: Vec<Bytes> = config.sps.iter().chain(&config.pps).cloned().collect();
    let parameters = Parameters::default().with("packetization-mode", "1").with("profile-level-id", hex(&id));
    with_sets(parameters, "sprop-parameter-sets", &sets)
}

/// RFC 7798 §7.1.
fn h265(config: &HevcConfig) -> Parameters {
    let parameters = with_sets(Parameters::default(), "sprop-vps", &config.vps);
    with_sets(with_sets(parameters, "sprop-sps", &config.sps), "sprop-pps", &config.pps)
}

/// NAL units in base64, with commas.
fn with_sets(parameters: Parameters, name: &str, sets: &[Bytes]) -> Parameters {
    let sets: Vec<String> = sets.iter().map(|set| base64::encode(set)).collect();
    if sets.is_empty() { parameters } else { parameters.with(name, sets.join(",")) }
}

/// RFC 9628 §6.
fn vp9(config: &Vp9Config) -> Parameters {
    Parameters::default().with("profile-id", config.info.profile.to_string())
}

/// RTP Payload Format For AV1 §7.2.
fn av1(config: &Av1Config) -> Parameters {
    Parameters::default()
        .with("profile", config.info.profile.to_string())
        .with("level-idx", config.info.level.to_string())
        .with("tier", u8::from(config.info.high_tier).to_string())
}

/// RFC 3640 §4.1, `AAC-hbr`. `profile-level-id` 1 is what nobody looks at, since `config` says it.
fn aac(config: &AudioSpecificConfig) -> Parameters {
    Parameters::default()
        .with("streamtype", "5")
        .with("profile-level-id", "1")
        .with("mode", "AAC-hbr")
        .with("sizelength", "13")
        .with("indexlength", "3")
        .with("indexdeltalength", "3")
        .with("config", hex(&config.record))
}

/// RFC 7587 §6.1.
fn opus(config: &OpusConfig) -> Parameters {
    Parameters::default().with("sprop-stereo", u8::from(config.info.channels == 2).to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
