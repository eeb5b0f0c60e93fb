//! Which coding a line of the Program Map means (Table 2-34, and the registrations of others).

use arcly_codec::{Codec, CodecConfig, data::DataConfig};

use super::{Essence, data, frames, video};
use crate::mpegts::demux::psi::{Descriptors, MappedStream};

/// The coding of an elementary stream that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mpegts::demux) enum Coding {
    H264,
    H265,
    H266,
    AacAdts,
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
        match stream.stream_type {
            0x1B => Some(Self::H264),
            0x24 => Some(Self::H265),
            0x33 => Some(Self::H266),
            0x0F => Some(Self::AacAdts),
            0x15 => metadata(descriptors),
            0x06 => private(descriptors),
            // SCTE 35 §8.1: the program must be registered so, but not every encoder does it.
            0x86 => Some(Self::Scte35),
            _ => None,
        }
        .filter(|_| program.registration() != Some(*b"HDPR"))
    }

    pub(in crate::mpegts::demux) fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264,
            Self::H265 => Codec::H265,
            Self::H266 => Codec::H266,
            Self::AacAdts => Codec::Aac,
            Self::Id3 => Codec::Id3,
            Self::Klv { .. } => Codec::Klv,
            Self::Scte35 => Codec::Scte35,
        }
    }

    /// What reads its PES packets; `None` when it has sections.
    pub(in crate::mpegts::demux) fn essence(self) -> Option<Box<dyn Essence>> {
        match self {
            Self::H264 => Some(Box::new(video::Video::<video::Avc>::default())),
            Self::H265 => Some(Box::new(video::Video::<video::Hevc>::default())),
            Self::H266 => Some(Box::new(video::Video::<video::Vvc>::default())),
            Self::AacAdts => Some(Box::new(frames::Frames::new(frames::Adts))),
            Self::Id3 => Some(Box::new(data::Id3)),
            Self::Klv { is_sync } => Some(Box::new(data::Klv { is_sync })),
            Self::Scte35 => None,
        }
    }

    /// The configuration, where the Program Map says it already.
    pub(in crate::mpegts::demux) fn config(self) -> Option<CodecConfig> {
        match self {
            Self::Id3 => Some(CodecConfig::Id3(DataConfig::default())),
            Self::Klv { .. } => Some(CodecConfig::Klv(DataConfig::default())),
            Self::Scte35 => Some(CodecConfig::Scte35(DataConfig::default())),
            _ => None,
        }
    }
}

/// `stream_type` 0x06: what it is, its descriptors say.
fn private(descriptors: &Descriptors) -> Option<Coding> {
    match &descriptors.registration()? {
        b"KLVA" => Some(Coding::Klv { is_sync: false }),
        b"ID3 " => Some(Coding::Id3),
        _ => None,
    }
}

/// `stream_type` 0x15: the `metadata_descriptor` (§2.6.60) names the format.
fn metadata(descriptors: &Descriptors) -> Option<Coding> {
    let format = descriptors.find(0x26).and_then(|body| match body {
        [0xFF, 0xFF, _, _, _, _, 0xFF, f0, f1, f2, f3, ..] | [_, _, 0xFF, f0, f1, f2, f3, ..] => {
            Some([*f0, *f1, *f2, *f3])
        }
        _ => None,
    });
    match &format.or(descriptors.registration())? {
        b"KLVA" => Some(Coding::Klv { is_sync: true }),
        b"ID3 " => Some(Coding::Id3),
        _ => None,
    }
}
