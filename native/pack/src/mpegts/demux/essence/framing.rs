//! What tells frames apart, codec by codec.

use arcly_codec::{
    CodecConfig,
    aac::{begins_with_program_config, parse_adts},
    ac3::{Ac3Config, Eac3Config, StreamType, SyncFrame},
    mpeg_audio::{FrameHeader, MpegAudioConfig},
};

/// What tells frames apart.
pub(super) trait Framing: std::fmt::Debug + Send + Sync {
    /// The first byte of every frame.
    const SYNC_BYTE: u8;

    /// What begins at the first of `bytes`, of which there is at least one.
    fn parse(&self, bytes: &[u8]) -> Parsed;

    /// The configuration of a whole frame.
    fn config(&self, frame: &[u8]) -> Option<CodecConfig>;

    /// Whether what has `known` goes on with a frame that says `said`.
    fn goes_on(&self, known: &CodecConfig, said: &CodecConfig) -> bool {
        known == said
    }
}

/// What begins where a frame is looked for.
#[derive(Debug)]
pub(super) enum Parsed {
    Frame(FrameFacts),
    /// Perhaps a frame: more bytes are needed to tell.
    Incomplete,
    Nothing,
}

/// A frame that may not be whole yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrameFacts {
    /// Bytes in front of what the bus carries.
    pub(super) header_bytes: usize,
    /// All bytes, header included; at least one.
    pub(super) bytes: usize,
    pub(super) samples: u32,
    pub(super) rate_hz: u32,
    /// Frames of one configuration have the same one.
    pub(super) signature: u64,
    /// It says in itself what its signature does not: those of one signature may have several configurations.
    pub(super) is_described: bool,
}

/// Numbers of 16 bits at most, one behind the other.
fn signature<const N: usize>(facts: [u64; N]) -> u64 {
    facts.into_iter().fold(0, |signature, fact| signature << 16 ^ fact)
}

/// AAC in ADTS (ISO/IEC 14496-3 §1.A.2).
#[derive(Debug)]
pub(super) struct Adts;

/// Bytes of the longer header.
const ADTS_HEADER_BYTES: usize = 9;

impl Framing for Adts {
    const SYNC_BYTE: u8 = 0xFF;

    fn parse(&self, bytes: &[u8]) -> Parsed {
        let is_sync = matches!(bytes, [0xFF] | [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..]);
        match parse_adts(bytes) {
            _ if !is_sync => Parsed::Nothing,
            Err(_) if bytes.len() < ADTS_HEADER_BYTES => Parsed::Incomplete,
            Err(_) => Parsed::Nothing,
            Ok(header) => Parsed::Frame(FrameFacts {
                header_bytes: header.header_bytes,
                bytes: header.frame_bytes,
                samples: 1024,
                rate_hz: header.sample_rate_hz,
                signature: signature([header.sample_rate_hz.into(), header.object_type.into(), header.channels.into()]),
                is_described: header.channels == 0
                    && bytes.get(header.header_bytes..).is_some_and(begins_with_program_config),
            }),
        }
    }

    fn config(&self, frame: &[u8]) -> Option<CodecConfig> {
        let header = parse_adts(frame).ok()?;
        header.config_of(frame.get(header.header_bytes..)?).ok().map(CodecConfig::Aac)
    }
}

/// MPEG-1 and MPEG-2 audio (ISO/IEC 11172-3 §2.4.1).
#[derive(Debug)]
pub(super) struct MpegAudio;

const MPEG_AUDIO_HEADER_BYTES: usize = 4;

impl Framing for MpegAudio {
    const SYNC_BYTE: u8 = 0xFF;

    fn parse(&self, bytes: &[u8]) -> Parsed {
        match FrameHeader::parse(bytes) {
            Err(_) if bytes.len() < MPEG_AUDIO_HEADER_BYTES => Parsed::Incomplete,
            Err(_) => Parsed::Nothing,
            Ok(header) => Parsed::Frame(FrameFacts {
                header_bytes: 0,
                bytes: header.frame_bytes().max(MPEG_AUDIO_HEADER_BYTES),
                samples: header.samples_per_frame(),
                rate_hz: header.sample_rate_hz,
                signature: signature([
                    header.sample_rate_hz.into(),
                    header.layer.into(),
                    header.channels().into(),
                    header.samples_per_frame().into(),
                ]),
                is_described: false,
            }),
        }
    }

    fn config(&self, frame: &[u8]) -> Option<CodecConfig> {
        let config = MpegAudioConfig::from_header(&FrameHeader::parse(frame).ok()?);
        Some(if config.layer == 3 { CodecConfig::Mp3(config) } else { CodecConfig::Mp2(config) })
    }
}

/// AC-3 and E-AC-3 (ETSI TS 102 366). A frame of E-AC-3 has all substreams.
#[derive(Debug)]
pub(super) struct Ac3;

/// Bytes that hold whatever is read of a syncframe.
const SYNCFRAME_HEADER_BYTES: usize = 64;
/// Syncframes of one access unit: eight independent substreams of eight dependent ones (§E.1.3.1.2).
const MAX_SYNCFRAMES: usize = 72;

impl Framing for Ac3 {
    const SYNC_BYTE: u8 = 0x0B;

    fn parse(&self, bytes: &[u8]) -> Parsed {
        let first = match SyncFrame::parse(bytes) {
            Ok(first) => first,
            Err(_) if bytes.len() < SYNCFRAME_HEADER_BYTES && !matches!(bytes, [_, not, ..] if *not != 0x77) => {
                return Parsed::Incomplete;
            }
            Err(_) => return Parsed::Nothing,
        };
        let Some(frame_bytes) = access_unit_bytes(bytes, &first) else { return Parsed::Incomplete };
        Parsed::Frame(FrameFacts {
            header_bytes: 0,
            bytes: frame_bytes,
            samples: first.samples,
            rate_hz: first.sample_rate_hz,
            signature: signature([
                first.sample_rate_hz.into(),
                u64::from(first.bsid) << 8 | u64::from(first.bsmod),
                u64::from(first.acmod) << 1 | u64::from(first.lfe),
                // AC-3 has its rate in its record; E-AC-3 has it there too, but there it varies.
                u64::from(first.frmsizecod >> 1),
            ]),
            // Objects, and substreams behind the first one.
            is_described: first.is_eac3(),
        })
    }

    fn config(&self, frame: &[u8]) -> Option<CodecConfig> {
        let first = SyncFrame::parse(frame).ok()?;
        if first.is_eac3() {
            return Eac3Config::from_access_unit(frame).ok().map(CodecConfig::Eac3);
        }
        Ac3Config::from_syncframe(&first).ok().map(CodecConfig::Ac3)
    }

    fn goes_on(&self, known: &CodecConfig, said: &CodecConfig) -> bool {
        match (known, said) {
            (CodecConfig::Eac3(known), CodecConfig::Eac3(said)) => known.is_same_sound(said),
            _ => known == said,
        }
    }
}

/// The first syncframe and the substreams behind it that belong to the same time; `None` when the header of the next one has
/// not wholly come. Where nothing has come of it, there is none: access units end where PES packets do.
fn access_unit_bytes(bytes: &[u8], first: &SyncFrame) -> Option<usize> {
    let mut end = first.frame_bytes;
    for _ in 0..MAX_SYNCFRAMES {
        let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty() && first.is_eac3()) else { break };
        match SyncFrame::parse(rest) {
            Ok(SyncFrame { substream: Some(next), frame_bytes, .. })
                if next.id > 0 || next.stream_type == StreamType::Dependent =>
            {
                end += frame_bytes;
            }
            Err(_) if rest.len() < SYNCFRAME_HEADER_BYTES && rest.first() == Some(&0x0B) => return None,
            _ => break,
        }
    }
    Some(end)
}
