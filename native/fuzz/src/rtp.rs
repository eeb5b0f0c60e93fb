//! Streams of RTP as bytes: which format, then packets, each behind its length and what is said of it.

use arcly_codec::{Codec, CodecConfig, ac3::Eac3Config, opus::OpusConfig, pcm::PcmConfig};
use arcly_wire::rtp::{Encoding, Format, Header, Packet, Packetizer, Parameters};
use bytes::Bytes;

use crate::{avc::unhex, random::Random};

/// The marker is set; packets in front are missing; the time is another one; it is far away.
const MARKER: u8 = 1;
const GAP: u8 = 2;
const NEW_TIME: u8 = 4;
const FAR_TIME: u8 = 8;
/// Length and flags.
const HEAD_BYTES: usize = 3;

/// x264 and x265 through ffmpeg 5.1, 640×360.
const AVC: &str = "014d401effe10017674d401eeca05017fcb808800001f480007530078b16cb01000468ef8fc8";
const HEVC: &str = "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959409a100010029420\
                    10101600000030090000003000003003fa005020171f2e595952930bc05a02000007d20000ea601a2000100064401c073c189";
/// libaom through ffmpeg 5.1: a key frame and its sequence header.
pub const AV1: &str = "0a0b000000043cfeccdaf9004032101400a16010d86f45a096c997d9b48be4";
const VP9: &str = "8249834220 13f00ef0 0000000000";

/// The formats, each with a stream of two access units.
pub fn formats() -> Vec<(Format, CodecConfig, Vec<Vec<u8>>)> {
    let in_band = |codec, unit: &[u8]| CodecConfig::from_frame(codec, Bytes::copy_from_slice(unit)).ok();
    let vp8 = [&unhex("1000009d012a4001f000")[..], &[7; 300]].concat();
    let vp9 = [&unhex(VP9)[..], &[7; 300]].concat();
    let mp3 = [&unhex("fffb9444")[..], &[5; 380]].concat();
    let ac3 = [&unhex("0b7700001440430000")[..], &[5; 759]].concat();
    let eac3 = [&unhex("0b77017f3487c0000000")[..], &[5; 758], &unhex("0b77417f3487c0000000"), &[6; 758]].concat();
    let parse = |codec, hex| CodecConfig::parse(codec, unhex(hex).into()).ok();
    let slices = |nal: &[u8], bytes: usize| {
        let nal = [nal, &vec![9; bytes]].concat();
        [&(nal.len() as u32).to_be_bytes()[..], &nal].concat()
    };
    let pcm = |rate, channels, bits| PcmConfig::new(rate, channels, bits).ok();
    let streams = [
        (parse(Codec::H264, AVC), vec![slices(&[0x65, 0x80], 150), slices(&[0x41, 0x80], 20)]),
        (parse(Codec::H265, HEVC), vec![slices(&[0x26, 1, 0x80], 150), slices(&[2, 1, 0x80], 20)]),
        (in_band(Codec::Vp8, &vp8), vec![vp8, vec![0x11, 0, 0, 1]]),
        (in_band(Codec::Vp9, &vp9), vec![vp9, vec![0x86, 0, 0x40, 0]]),
        (in_band(Codec::Av1, &unhex(AV1)), vec![unhex(AV1), unhex("32102905f020000011a2f0020821025082ba2a0301022a")]),
        (parse(Codec::Aac, "1190"), vec![vec![0x21; 20], vec![0x21; 150]]),
        (OpusConfig::new(2).ok().map(CodecConfig::Opus), vec![vec![0xfc; 20], vec![0xfc; 30]]),
        (pcm(8_000, 1, 8).map(CodecConfig::G711A), vec![vec![1; 160], vec![2; 160]]),
        (pcm(16_000, 1, 4).map(CodecConfig::G722), vec![vec![1; 160], vec![2; 160]]),
        (pcm(48_000, 2, 24).map(CodecConfig::Pcm), vec![vec![1; 192], vec![2; 192]]),
        (in_band(Codec::Mp3, &mp3), vec![mp3.clone(), mp3]),
        (in_band(Codec::Ac3, &ac3), vec![ac3.clone(), ac3]),
        (Eac3Config::from_access_unit(&eac3).ok().map(CodecConfig::Eac3), vec![eac3.clone(), eac3]),
        (parse(Codec::Klv, ""), vec![unhex("060e2b34020b01010e01030101000000020102"), vec![6; 150]]),
    ];
    let described = |(config, units): (Option<CodecConfig>, Vec<Vec<u8>>)| {
        let config = config?;
        Some((Format::of(96, &config).ok()?, config, units))
    };
    let mut list: Vec<_> = streams.into_iter().filter_map(described).collect();
    let latm = list.iter().find(|(format, ..)| format.encoding == Encoding::Mpeg4Generic).cloned();
    list.extend(latm.map(|(format, config, units)| {
        let parameters = Parameters::parse("cpresent=1");
        (Format { encoding: Encoding::Mp4aLatm, parameters, ..format }, config, units)
    }));
    // Without what the description says: it must come in-band.
    let bare = list.iter().take(2).cloned();
    let bare: Vec<_> = bare.map(|(format, config, units)| (without_parameters(format), config, units)).collect();
    list.extend(bare);
    list
}

fn without_parameters(format: Format) -> Format {
    // H.265 with order numbers.
    let parameters = if format.encoding == Encoding::H265 { "sprop-max-don-diff=1" } else { "" };
    Format { parameters: Parameters::parse(parameters), ..format }
}

/// A stream of each format, as [`read`] takes it.
pub fn vectors() -> Vec<Vec<u8>> {
    let vector = |(number, (format, config, units)): (usize, (Format, CodecConfig, Vec<Vec<u8>>))| {
        let mut bytes = vec![number as u8];
        let mut packetizer = Packetizer::new(&format, &config, 100).ok()?;
        for (unit, is_key) in units.iter().zip([true, false]) {
            let mut flags = NEW_TIME;
            let put = &mut |payload: arcly_wire::rtp::Payload<'_>| {
                bytes.extend((payload.len() as u16).to_be_bytes());
                bytes.push(std::mem::take(&mut flags) | u8::from(payload.marker));
                payload.write(&mut bytes);
            };
            packetizer.packetize(unit, is_key, put).ok()?;
        }
        Some(bytes)
    };
    formats().into_iter().enumerate().filter_map(vector).collect()
}

/// A packet, and whether some in front of it are missing.
pub type Arrival = (Packet, bool);

/// Reads the bytes of a stream: the number of its format, and its packets. A length that reaches beyond the end ends there.
pub fn read(bytes: &[u8]) -> (usize, Vec<Arrival>) {
    let Some((&number, mut rest)) = bytes.split_first() else { return (0, Vec::new()) };
    let (mut arrivals, mut header) = (Vec::new(), Header { payload_type: 96, ssrc: 1, ..Header::default() });
    while let Some((&[l0, l1, flags], behind)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let length = usize::from(u16::from_be_bytes([l0, l1])).min(behind.len());
        let (payload, behind) = behind.split_at_checked(length).unwrap_or_default();
        rest = behind;
        let step = if flags & FAR_TIME != 0 { 1 << 30 } else { 3_000 };
        header.timestamp = header.timestamp.wrapping_add(if flags & NEW_TIME != 0 { step } else { 0 });
        header.marker = flags & MARKER != 0;
        header.sequence = header.sequence.wrapping_add(1);
        let packet = Packet { header, payload: Bytes::copy_from_slice(payload), ..Packet::default() };
        arrivals.push((packet, flags & GAP != 0));
    }
    (usize::from(number), arrivals)
}

/// Edits that leave the other packets whole: the flags or the head of one, one less, one twice.
pub fn edit_packets(random: &mut Random, bytes: &mut Vec<u8>) {
    let mut places = vec![];
    let mut at = 1;
    while let Some([l0, l1, _]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEAD_BYTES>()) {
        let end = (at + HEAD_BYTES + usize::from(u16::from_be_bytes([*l0, *l1]))).min(bytes.len());
        places.push(at..end);
        at = end;
    }
    let Some(place) = random.pick(&places).cloned() else { return };
    match random.below(5) {
        0 => drop(bytes.drain(place)),
        1 => {
            let copy = bytes.get(place.clone()).unwrap_or_default().to_vec();
            bytes.splice(place.end..place.end, copy);
        }
        2 => flip(bytes, place.start + 2, random),
        // The payload header.
        _ => flip(bytes, place.start + HEAD_BYTES + random.below(6), random),
    }
}

fn flip(bytes: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}
