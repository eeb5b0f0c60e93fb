//! A format to the codec configuration that its description holds.

use arcly_codec::{
    CodecConfig, CodecError,
    aac::{AudioSpecificConfig, latm::StreamMuxConfig},
    data::DataConfig,
    h264::{self, AvcConfig},
    h265::{self, HevcConfig},
    nal::MAX_PARAMETER_SETS,
    opus::OpusConfig,
    pcm::PcmConfig,
};
use bytes::Bytes;

use super::{Encoding, Format};
use crate::base64;

pub(super) fn config(format: &Format) -> Result<Option<CodecConfig>, CodecError> {
    let (rate, channels) = (format.clock_rate_hz, format.channels);
    let config = match format.encoding {
        Encoding::H264 => return Ok(h264(format).map(CodecConfig::H264)),
        Encoding::H265 => return Ok(h265(format).map(CodecConfig::H265)),
        Encoding::Mpeg4Generic => CodecConfig::Aac(aac(format)?),
        Encoding::Mp4aLatm => return Ok(latm(format).map(|config| CodecConfig::Aac(config.audio))),
        Encoding::Opus => CodecConfig::Opus(OpusConfig::new(opus_channels(format))?),
        Encoding::Pcma => CodecConfig::G711A(PcmConfig::new(rate, channels, 8)?),
        Encoding::Pcmu => CodecConfig::G711U(PcmConfig::new(rate, channels, 8)?),
        // The clock of 8000 is of samples at 16 000 (RFC 3551 §4.5.2); some say what it should have been.
        Encoding::G722 if rate == 16_000 => CodecConfig::G722(PcmConfig::new(rate, channels, 4)?),
        Encoding::G722 => CodecConfig::G722(PcmConfig::new(rate.saturating_mul(2), channels, 4)?),
        Encoding::L16 => CodecConfig::Pcm(PcmConfig::new(rate, channels, 16)?),
        Encoding::L24 => CodecConfig::Pcm(PcmConfig::new(rate, channels, 24)?),
        Encoding::Klv => CodecConfig::Klv(DataConfig::default()),
        // In each key frame, or each frame.
        Encoding::Vp8
        | Encoding::Vp9
        | Encoding::Av1
        | Encoding::Mpa
        | Encoding::MpaRobust
        | Encoding::Ac3
        | Encoding::Eac3
        | Encoding::Mp2t => return Ok(None),
    };
    Ok(Some(config))
}

/// `sprop-parameter-sets` (RFC 6184 §8.1). What is not right there may still be in-band, so it is nothing to give up for.
fn h264(format: &Format) -> Option<AvcConfig> {
    let sets = parameter_sets(format, "sprop-parameter-sets");
    let of = |nal_type| sets.iter().filter(|set| h264::nal_type(set) == nal_type).cloned().collect::<Vec<_>>();
    AvcConfig::from_parameter_sets(of(h264::NAL_SPS), of(h264::NAL_PPS)).ok()
}

/// `sprop-vps`, `sprop-sps`, `sprop-pps` (RFC 7798 §7.1).
fn h265(format: &Format) -> Option<HevcConfig> {
    let names = ["sprop-vps", "sprop-sps", "sprop-pps"];
    let sets: Vec<Bytes> = names.iter().flat_map(|name| parameter_sets(format, name)).collect();
    let of = |nal_type| sets.iter().filter(|set| h265::nal_type(set) == nal_type).cloned().collect::<Vec<_>>();
    HevcConfig::from_parameter_sets(of(h265::NAL_VPS), of(h265::NAL_SPS), of(h265::NAL_PPS)).ok()
}

/// NAL units in base64, with commas; a start code in front of one, as some cameras write it, is taken away.
fn parameter_sets(format: &Format, name: &str) -> Vec<Bytes> {
    let list = format.parameters.get(name).unwrap_or_default().split(',').take(MAX_PARAMETER_SETS);
    let nal = |text: &str| {
        let nal = base64::decode(text.trim().as_bytes())?;
        let nal = nal.strip_prefix(&[0, 0, 0, 1]).or(nal.strip_prefix(&[0, 0, 1])).unwrap_or(&nal);
        (!nal.is_empty()).then(|| Bytes::copy_from_slice(nal))
    };
    list.filter_map(nal).collect()
}

/// `config` (RFC 3640 §4.1), or what the `rtpmap` says where that is missing.
fn aac(format: &Format) -> Result<AudioSpecificConfig, CodecError> {
    let record = format.parameters.get("config").and_then(unhex).filter(|record| !record.is_empty());
    match record {
        Some(record) => AudioSpecificConfig::parse(record.into()),
        None => AudioSpecificConfig::new(2, format.clock_rate_hz, format.channels),
    }
}

/// `config` (RFC 6416 §7.4.1): a StreamMuxConfig.
pub(super) fn latm(format: &Format) -> Option<StreamMuxConfig> {
    let config = unhex(format.parameters.get("config")?)?;
    StreamMuxConfig::parse(&config).ok()
}

/// Two, unless the sender says that it sends only one: a decoder makes two of what is mono.
fn opus_channels(format: &Format) -> u8 {
    if format.parameters.get("sprop-stereo") == Some("0") { 1 } else { 2 }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits?;
    // An odd number of digits: the last one is the upper half of a byte (encoders that count in bits).
    Some(
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit) << (4 * (2 - pair.len())))
            .collect(),
    )
}
