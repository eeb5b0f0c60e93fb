//! AV1 temporal units, in either of the forms that are found: OBUs behind start codes ("Carriage of AV1 in MPEG-2 TS" §3),
//! or in the low-overhead format.

use arcly_bus::FrameFlags;
use arcly_codec::{
    CodecConfig,
    annex_b::find_start_code,
    av1::{Av1Config, to_canonical},
};
use bytes::Bytes;

use super::{Essence, Outlet, Unit};

/// Pictures of one stream: a PES packet is a temporal unit.
#[derive(Debug, Default)]
pub(super) struct Av1 {
    config: Option<Av1Config>,
}

impl Essence for Av1 {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let is_behind_codes = unit.content.starts_with(&[0, 0]);
        let low_overhead = if is_behind_codes { without_start_codes(&unit.content).into() } else { unit.content };
        let Ok(mut canonical) = to_canonical(low_overhead) else { return outlet.drop_frame() };
        if let Some(header) = &canonical.sequence_header {
            self.follow(header, outlet);
        }
        if canonical.payload.is_empty() {
            return;
        }
        let (Some(times), Some(config)) = (unit.times, &self.config) else { return outlet.drop_frame() };
        canonical = canonical.with_sequence_header_of(config);
        let flags = if canonical.is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        outlet.frame((times.pts_90k, times.dts_90k), 0, flags, canonical.payload);
    }
}

impl Av1 {
    fn follow(&mut self, sequence_header: &Bytes, outlet: &mut Outlet) {
        // Copied: a slice would keep the whole temporal unit alive for as long as the stream.
        let header = Bytes::copy_from_slice(sequence_header);
        let config = match &self.config {
            Some(config) => config.with_sequence_header(&header).ok().flatten(),
            None => Av1Config::from_sequence_header(&header).ok(),
        };
        if let Some(config) = config {
            outlet.config(CodecConfig::Av1(config.clone()));
            self.config = Some(config);
        }
    }
}

/// The OBUs without start codes and emulation prevention, each with its size. A start code has three bytes and no more: zeros in
/// front of it belong to the OBU.
fn without_start_codes(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stream.len());
    let mut rest = find_start_code(stream).and_then(|at| stream.get(at + 3..));
    while let Some(stream) = rest {
        let end = find_start_code(stream).unwrap_or(stream.len());
        put_with_size(&unescaped(stream.get(..end).unwrap_or_default()), &mut out);
        rest = stream.get(end + 3..);
    }
    out
}

/// `emulation_prevention_three_byte`s taken out.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let mut plain = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// Bits of an OBU header (AV1 §5.3.2).
const HAS_EXTENSION: u8 = 0b100;
const HAS_SIZE: u8 = 0b10;

fn put_with_size(obu: &[u8], out: &mut Vec<u8>) {
    let Some((&header, _)) = obu.split_first() else { return };
    if header & HAS_SIZE != 0 {
        return out.extend_from_slice(obu);
    }
    let header_bytes = if header & HAS_EXTENSION != 0 { 2 } else { 1 };
    let Some((head, payload)) = obu.split_at_checked(header_bytes) else { return };
    out.push(header | HAS_SIZE);
    out.extend_from_slice(head.get(1..).unwrap_or_default());
    put_leb128(payload.len(), out);
    out.extend_from_slice(payload);
}

fn put_leb128(mut value: usize, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
