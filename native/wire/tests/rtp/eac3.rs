//! E-AC-3 whose configuration is in its frames.

use arcly_codec::CodecConfig;
use arcly_wire::rtp::{Depacketizer, Format, Header, Limits, Packet};

/// 5.1 at 44.1 kHz, behind its size (ETSI TS 102 366 §E.1.2); the same with twelve objects (ETSI TS 103 420).
const MAIN: &[u8] = &[0x7f, 0x80, 0x3f, 0xe0];
const OBJECTS: &[u8] = &[0x7f, 0x80, 0x3f, 0xe4, 0x10, 0x10, 0xc0];

fn frame(beginning: &[u8], bytes: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(bytes / 2 - 1).unwrap().to_be_bytes();
    let mut frame = [&[0x0b, 0x77, high, low], beginning].concat();
    frame.resize(bytes, 0);
    frame
}

/// Objects of each configuration that is given out.
fn announced(frames: &[Vec<u8>]) -> Vec<Option<u8>> {
    let format = Format::parse(96, Some("eac3/44100/2"), None).unwrap();
    let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
    for (index, frame) in frames.iter().enumerate() {
        let header =
            Header { sequence: index as u16, timestamp: index as u32 * 1_536, marker: true, ..Header::default() };
        let payload = [&[0, 1], &frame[..]].concat().into();
        depacketizer.push(&Packet { header, payload, ..Packet::default() }, false).unwrap();
    }
    let units: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).collect();
    assert_eq!(units.len(), frames.len());
    let configs = units.iter().filter_map(|unit| unit.config.as_deref());
    configs
        .map(|config| if let CodecConfig::Eac3(config) = config { config.joc_complexity } else { panic!() })
        .collect()
}

/// Found by a reader: at 44.1 kHz a constant bit rate is frames of two sizes, and each was another configuration.
#[test]
fn another_bit_rate_is_no_other_configuration() {
    let sizes = [382, 384, 382, 384];
    assert_eq!(announced(&sizes.map(|bytes| frame(MAIN, bytes))), [None]);
    let frames = [frame(MAIN, 382), frame(OBJECTS, 384), frame(OBJECTS, 382), frame(MAIN, 384)];
    assert_eq!(announced(&frames), [None, Some(12), None]);
}
