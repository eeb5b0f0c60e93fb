//! VP9 (RFC 9628).

use arcly_codec::CodecConfig;
use arcly_wire::rtp::{Depacketizer, Encoding, Format, Header, Limits, Packet};

use crate::stream::unhex;

/// Chrome with two spatial layers: a key frame of 320×180, and one of 640×360 that is predicted from it. It was announced as the first.
#[test]
fn a_picture_of_spatial_layers_is_announced_at_the_size_of_the_largest() {
    let format = Format::parse(96, Some("VP9/90000"), None).unwrap();
    assert_eq!(format.encoding, Encoding::Vp9);
    let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
    // Picture id, layer indices and TL0PICIDX; in front of the first the structure: N_S 1, Y 1, both sizes.
    let first = unhex("ae 8001 00 00 30 0140 00b4 0280 0168 824983420013f00b36063824");
    let second = unhex("ac 8001 03 00 86008000013f80b380");
    for (payload, sequence) in [first, second].into_iter().zip(0..) {
        let header = Header { payload_type: 96, sequence, timestamp: 1, ssrc: 1, marker: sequence == 1 };
        depacketizer.push(&Packet { header, payload: payload.into(), ..Packet::default() }, false).unwrap();
    }
    let unit = depacketizer.poll().unwrap();
    let Some(CodecConfig::Vp9(config)) = unit.config.as_deref() else { panic!("{unit:?}") };
    assert_eq!((config.info.width, config.info.height, config.info.level), (640, 360, 21));
    assert!(unit.is_key);
}
