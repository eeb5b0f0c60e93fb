//! Parameter sets in front of a part of a transport stream: they stand at key pictures alone, and a part may begin with another picture.

use arcly_codec::CodecConfig;
use bytes::Bytes;

use crate::mpegts::PACKET_BYTES;

const BODY_BYTES: usize = PACKET_BYTES - 4;
/// Of a PES packet: what `PES_packet_length` counts in front of the content.
const FLAGS_BYTES: usize = 3;

/// The parameter sets of pictures as a PES packet without a picture or a time: it gives no frame. Empty where there are none, as of AV1.
pub(super) fn packets(pid: u16, config: &CodecConfig) -> Bytes {
    let sets = byte_stream(config);
    // Of unknown length it would end where the next one begins, and be dropped: counters do not go on there.
    let Some(length) = u16::try_from(sets.len() + FLAGS_BYTES).ok().filter(|_| !sets.is_empty()) else {
        return Bytes::new();
    };
    let pes = [&[0, 0, 1, 0xE0][..], &length.to_be_bytes(), &[0x80, 0, 0], &sets].concat();
    let mut out = Vec::new();
    for (number, content) in (0_u8..).zip(pes.chunks(BODY_BYTES)) {
        out.extend(packet(pid, number, content));
    }
    // A packet may come twice, and no third time (ISO/IEC 13818-1 §2.4.3.3): behind a repetition the next one is not taken for another.
    let last = out.len().saturating_sub(PACKET_BYTES);
    out.extend_from_within(last..);
    out.into()
}

/// The sets behind start codes.
fn byte_stream(config: &CodecConfig) -> Vec<u8> {
    let sets: Vec<&Bytes> = match config {
        CodecConfig::H264(config) => config.sps.iter().chain(&config.pps).collect(),
        CodecConfig::H265(config) => config.vps.iter().chain(&config.sps).chain(&config.pps).collect(),
        CodecConfig::H266(config) => config.vps.iter().chain(&config.sps).chain(&config.pps).collect(),
        _ => Vec::new(),
    };
    sets.into_iter().flat_map(|set| [&[0, 0, 0, 1], &set[..]]).collect::<Vec<_>>().concat()
}

/// §2.4.3.2; what is left free is an adaptation field of stuffing (§2.4.3.5).
fn packet(pid: u16, number: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (pid & 0x1FFF).to_be_bytes();
    let begins = if number == 0 { 0x40 } else { 0 };
    let free = BODY_BYTES.saturating_sub(content.len());
    let field = if free > 0 { 0x20 } else { 0 };
    let mut out = vec![0x47, begins | high, low, field | 0x10 | number & 0x0F];
    if let Some(length) = free.checked_sub(1) {
        out.push(u8::try_from(length).unwrap_or(0));
        out.extend(std::iter::once(0).chain(std::iter::repeat(0xFF)).take(length));
    }
    out.extend_from_slice(content);
    out
}
