//! The PES packet (ISO/IEC 13818-1 §2.4.3.6) of one access unit, and the form of its bytes in a transport stream.

use arcly_bus::{Frame, Track};
use arcly_codec::{
    CodecConfig, MediaKind,
    aac::{ADTS_HEADER_BYTES, AdtsWriter},
    h264,
};

use super::{
    TS_EPOCH_90K,
    packet::{Adaptation, Packetizer, Pid},
};
use crate::{PackError, time::rescale};

/// How access units of a track are written.
#[derive(Debug)]
pub(super) enum Form {
    /// Annex B: a delimiter in front of every access unit, the parameter sets in front of every key picture.
    H264 {
        /// Access unit delimiter, SPS, PPS.
        key_prefix: Vec<u8>,
    },
    /// ADTS.
    Aac(AdtsWriter),
}

/// The bytes of an access unit as a transport stream has them: measured, so that writing them cannot fail.
pub(super) enum Content {
    /// NAL units behind start codes: so many bytes.
    AnnexB { bytes: usize },
    /// The payload behind this header.
    Adts { header: [u8; ADTS_HEADER_BYTES] },
}

impl Form {
    /// # Errors
    /// [`PackError::Unsupported`] when a transport stream cannot carry the codec.
    pub(super) fn of(track: &Track) -> Result<Self, PackError> {
        match &track.config {
            CodecConfig::H264(avc) => Ok(Self::H264 { key_prefix: key_prefix(avc) }),
            CodecConfig::Aac(aac) => Ok(Self::Aac(AdtsWriter::new(aac)?)),
            _ => Err(PackError::Unsupported { what: "codec in MPEG-TS" }),
        }
    }

    pub(super) fn kind(&self) -> MediaKind {
        match self {
            Self::H264 { .. } => MediaKind::Video,
            Self::Aac(_) => MediaKind::Audio,
        }
    }

    /// What `frame` becomes; `None` when it has no bytes to carry.
    ///
    /// # Errors
    /// [`PackError::Malformed`] when the payload is not in the form of the bus.
    pub(super) fn measure(&self, frame: &Frame) -> Result<Option<Content>, PackError> {
        if frame.payload.is_empty() {
            return Ok(None);
        }
        match self {
            Self::H264 { .. } => {
                let bytes = annex_b_bytes(&frame.payload)?;
                Ok((bytes > 0).then_some(Content::AnnexB { bytes }))
            }
            Self::Aac(adts) => Ok(Some(Content::Adts { header: adts.header(frame.payload.len())? })),
        }
    }

    /// What stands in front of the NAL units.
    fn prefix(&self, is_key: bool) -> &[u8] {
        match self {
            Self::H264 { key_prefix } if is_key => key_prefix,
            Self::H264 { .. } => &DELIMITER,
            Self::Aac(_) => &[],
        }
    }
}

/// The PES packet of one access unit.
pub(super) struct Pes<'a> {
    stream_id: u8,
    pts_90k: i64,
    /// Only when it differs from the PTS (§2.4.3.7).
    dts_90k: Option<i64>,
    prefix: &'a [u8],
    content: Content,
    payload: &'a [u8],
}

impl<'a> Pes<'a> {
    /// `frame` with its times in 90 kHz and its content, as `form` has measured it.
    pub(super) fn new(stream_id: u8, form: &'a Form, frame: &'a Frame, times: Times, content: Content) -> Self {
        let Times { pts_90k, dts_90k } = times;
        let prefix = form.prefix(frame.is_key());
        let dts_90k = ((pts_90k - dts_90k) & TIME_MASK != 0).then_some(dts_90k);
        Self { stream_id, pts_90k, dts_90k, prefix, content, payload: &frame.payload }
    }

    /// Appends the transport packets of this PES packet.
    pub(super) fn write(&self, pid: &mut Pid, adaptation: Adaptation, out: &mut Vec<u8>) {
        let times_bytes = if self.dts_90k.is_some() { 10 } else { 5 };
        let bytes = self.content_bytes() + usize::from(times_bytes);
        let mut packets = Packetizer::begin(pid, adaptation, FIXED_HEADER_BYTES + bytes, out);
        self.write_header(&mut packets, times_bytes, self.packet_length(bytes));
        self.write_content(&mut packets);
    }

    /// `PES_packet_length`: the bytes behind that field; 0, unbounded, is for video only (§2.4.3.7).
    fn packet_length(&self, bytes: usize) -> u16 {
        match self.content {
            Content::AnnexB { .. } => 0,
            Content::Adts { .. } => u16::try_from(3 + bytes).unwrap_or(0),
        }
    }

    /// Everything in front of the content; '10', `data_alignment_indicator`: it begins with a delimiter or a sync word.
    fn write_header(&self, packets: &mut Packetizer<'_>, times_bytes: u8, packet_length: u16) {
        let [length_high, length_low] = packet_length.to_be_bytes();
        let times_flags = if self.dts_90k.is_some() { 0b11 } else { 0b10 };
        packets.put(&[0, 0, 1, self.stream_id, length_high, length_low, 0x84, times_flags << 6, times_bytes]);
        packets.put(&timestamp(times_flags, self.pts_90k));
        if let Some(dts_90k) = self.dts_90k {
            packets.put(&timestamp(0b01, dts_90k));
        }
    }

    fn content_bytes(&self) -> usize {
        self.prefix.len()
            + match &self.content {
                Content::AnnexB { bytes } => *bytes,
                Content::Adts { header } => header.len() + self.payload.len(),
            }
    }

    fn write_content(&self, packets: &mut Packetizer<'_>) {
        packets.put(self.prefix);
        match &self.content {
            Content::AnnexB { .. } => {
                for nal in h264::nal_units(self.payload, 4).flatten() {
                    packets.put(&START_CODE);
                    packets.put(nal);
                }
            }
            Content::Adts { header } => {
                packets.put(header);
                packets.put(self.payload);
            }
        }
    }
}

/// The times of an access unit, as they are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) pts_90k: i64,
    pub(super) dts_90k: i64,
}

impl Times {
    /// Those of `frame`, whose clock has `clock_rate_hz`.
    pub(super) fn of(frame: &Frame, clock_rate_hz: u32) -> Self {
        let ticks_90k = |ticks| rescale(ticks, clock_rate_hz, 90_000) + TS_EPOCH_90K;
        let dts_90k = ticks_90k(frame.dts);
        // Some encoders write negative composition offsets, but nothing is shown before it is decoded (§2.7.5).
        Self { pts_90k: ticks_90k(frame.pts).max(dts_90k), dts_90k }
    }
}

/// Bytes of the NAL units of `payload` with a start code in front of each.
fn annex_b_bytes(payload: &[u8]) -> Result<usize, PackError> {
    h264::nal_units(payload, 4)
        .try_fold(0, |bytes, nal| nal.map(|nal| bytes + START_CODE.len() + nal.len()).map_err(PackError::from))
}

/// Delimiter, SPS and PPS: the order of H.264 §7.4.1.2.3.
fn key_prefix(avc: &h264::AvcConfig) -> Vec<u8> {
    let mut prefix = DELIMITER.to_vec();
    for set in avc.sps.iter().chain(&avc.pps) {
        prefix.extend_from_slice(&START_CODE);
        prefix.extend_from_slice(set);
    }
    prefix
}

/// PTS or DTS: 33 bits in three groups, each closed by a marker bit (§2.4.3.6).
fn timestamp(prefix: u8, time_90k: i64) -> [u8; 5] {
    let time = (time_90k & TIME_MASK).cast_unsigned();
    let field = u64::from(prefix) << 36 | (time >> 30) << 33 | 1 << 32 | (time >> 15 & 0x7FFF) << 17 | 1 << 16;
    let [_, _, _, bytes @ ..] = (field | (time & 0x7FFF) << 1 | 1).to_be_bytes();
    bytes
}

/// PTS and DTS are counted modulo 2^33.
const TIME_MASK: i64 = 0x1_FFFF_FFFF;
/// Up to and with `PES_header_data_length`.
const FIXED_HEADER_BYTES: usize = 9;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// An access unit delimiter for any kind of slices (H.264 §7.3.2.4), which a transport stream needs (§2.14.1).
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xF0];
