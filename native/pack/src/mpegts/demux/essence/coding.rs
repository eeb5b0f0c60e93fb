//! Which coding a line of the Program Map means (Table 2-34, and the registrations of others).

use arcly_codec::{Codec, CodecConfig, data::DataConfig, opus::OpusConfig};

use super::{
    Essence,
    av1::Av1,
    data::{Id3, Klv},
    frames::Frames,
    framing,
    latm::Latm,
    opus::Opus,
    video,
};
use crate::mpegts::demux::psi::{Descriptors, MappedStream};

/// The coding of an elementary stream that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mpegts::demux) enum Coding {
    H264,
    H265,
    H266,
    Av1,
    AacAdts,
    AacLatm,
    /// Layer III or another; the frames tell.
    MpegAudio,
    Ac3,
    Eac3,
    /// With its `channel_config_code`.
    Opus(u8),
    Id3,
    /// `is_sync`: in metadata access units (MISB ST 1402).
    Klv {
        is_sync: bool,
    },
    Scte35,
}

impl Coding {
    /// That of a stream in a program with such descriptors; `None` when nothing here can read it.
    pub(in crate::mpegts::demux) fn of(stream: &MappedStream, program: &Descriptors) -> Option<Self> {
        let descriptors = &stream.descriptors;
        let is_disc = matches!(program.registration(), Some(b"HDMV" | b"HDPR"));
        match stream.stream_type {
            0x03 | 0x04 => Some(Self::MpegAudio),
            0x06 => private(descriptors),
            0x0F => Some(Self::AacAdts),
            0x11 => Some(Self::AacLatm),
            0x15 => metadata(descriptors),
            0x1B => Some(Self::H264),
            0x24 => Some(Self::H265),
            0x33 => Some(Self::H266),
            // ATSC A/52 Annex A; Blu-ray has the same numbers, and others besides.
            0x81 => Some(Self::Ac3),
            0x84 | 0xA1 if is_disc => Some(Self::Eac3),
            0x87 => Some(Self::Eac3),
            // SCTE 35 §8.1: the program must be registered so, but not every encoder does it. On discs it is sound.
            0x86 if !is_disc => Some(Self::Scte35),
            _ => None,
        }
    }

    pub(in crate::mpegts::demux) fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264,
            Self::H265 => Codec::H265,
            Self::H266 => Codec::H266,
            Self::Av1 => Codec::Av1,
            Self::AacAdts | Self::AacLatm => Codec::Aac,
            Self::MpegAudio => Codec::Mp2,
            Self::Ac3 => Codec::Ac3,
            Self::Eac3 => Codec::Eac3,
            Self::Opus(_) => Codec::Opus,
            Self::Id3 => Codec::Id3,
            Self::Klv { .. } => Codec::Klv,
            Self::Scte35 => Codec::Scte35,
        }
    }

    /// What reads its PES packets; `None` when it has sections.
    pub(in crate::mpegts::demux) fn essence(self) -> Option<Box<dyn Essence>> {
        Some(match self {
            Self::H264 => Box::new(video::Video::<video::Avc>::default()),
            Self::H265 => Box::new(video::Video::<video::Hevc>::default()),
            Self::H266 => Box::new(video::Video::<video::Vvc>::default()),
            Self::Av1 => Box::new(Av1::default()),
            Self::AacAdts => Box::new(Frames::new(framing::Adts)),
            Self::AacLatm => Box::new(Latm::default()),
            Self::MpegAudio => Box::new(Frames::new(framing::MpegAudio)),
            Self::Ac3 | Self::Eac3 => Box::new(Frames::new(framing::Ac3)),
            Self::Opus(_) => Box::new(Opus::default()),
            Self::Id3 => Box::new(Id3),
            Self::Klv { is_sync } => Box::new(Klv { is_sync }),
            Self::Scte35 => return None,
        })
    }

    /// The configuration, where the Program Map says it already.
    pub(in crate::mpegts::demux) fn config(self) -> Option<CodecConfig> {
        match self {
            Self::Opus(channels) => OpusConfig::from_channel_config_code(channels).ok().map(CodecConfig::Opus),
            Self::Id3 => Some(CodecConfig::Id3(DataConfig::default())),
            Self::Klv { .. } => Some(CodecConfig::Klv(DataConfig::default())),
            Self::Scte35 => Some(CodecConfig::Scte35(DataConfig::default())),
            _ => None,
        }
    }
}

/// `stream_type` 0x06: what it is, its descriptors say.
fn private(descriptors: &Descriptors) -> Option<Coding> {
    match descriptors.registration() {
        Some(b"AV01") => return Some(Coding::Av1),
        Some(b"Opus") => return opus(descriptors),
        Some(b"KLVA") => return Some(Coding::Klv { is_sync: false }),
        Some(b"ID3 ") => return Some(Coding::Id3),
        Some(b"HEVC") => return Some(Coding::H265),
        Some(b"VVC ") => return Some(Coding::H266),
        Some(b"DOVI") => return dolby_vision(descriptors),
        Some(b"AC-3") => return Some(Coding::Ac3),
        Some(b"EAC3") => return Some(Coding::Eac3),
        _ => {}
    }
    // DVB: AC-3_descriptor, enhanced_AC-3_descriptor (ETSI EN 300 468 Annex D).
    let has = |tag| descriptors.find(tag).is_some();
    if has(0x6A) { Some(Coding::Ac3) } else { has(0x7A).then_some(Coding::Eac3) }
}

/// Dolby Vision that no other decoder can show is private; the profile says what its pictures are. An enhancement layer of its own has
/// none.
fn dolby_vision(descriptors: &Descriptors) -> Option<Coding> {
    match descriptors.dolby_vision()?.profile {
        9 => Some(Coding::H264),
        10 => Some(Coding::Av1),
        _ => Some(Coding::H265),
    }
}

/// The `descriptor_tag_extension` of Opus, which has the code that the configuration needs.
fn opus(descriptors: &Descriptors) -> Option<Coding> {
    let code = *descriptors.extension(0x80)?.first()?;
    OpusConfig::from_channel_config_code(code).is_ok().then_some(Coding::Opus(code))
}

/// `stream_type` 0x15: the `metadata_descriptor` (§2.6.60) names the format.
fn metadata(descriptors: &Descriptors) -> Option<Coding> {
    let format = descriptors.find(0x26).and_then(|body| match body {
        [0xFF, 0xFF, _, _, _, _, 0xFF, format @ ..] | [_, _, 0xFF, format @ ..] => format.first_chunk::<4>(),
        _ => None,
    });
    match format.or(descriptors.registration())? {
        b"KLVA" => Some(Coding::Klv { is_sync: true }),
        b"ID3 " => Some(Coding::Id3),
        _ => None,
    }
}
