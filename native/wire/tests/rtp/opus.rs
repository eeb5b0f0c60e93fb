//! Opus (RFC 7587).

use arcly_codec::{CodecConfig, opus::OpusConfig};
use arcly_wire::rtp::{Depacketizer, Format, Header, Limits, Packet};
use bytes::Bytes;

use crate::stream::round_trip;

#[test]
fn packets_come_back_as_they_are() {
    let config = CodecConfig::Opus(OpusConfig::new(2).unwrap());
    let units: Vec<(Vec<u8>, bool)> = (0..20_u8).map(|index| (vec![0xfc, index, 1, 2], false)).collect();
    let read = round_trip(&config, 1_200, &units);
    assert_eq!(
        read.iter().map(|unit| unit.payload.to_vec()).collect::<Vec<_>>(),
        units.iter().map(|unit| unit.0.clone()).collect::<Vec<_>>()
    );
    assert_eq!(read[0].config.as_deref(), Some(&config));
    assert!(read.iter().all(|unit| !unit.is_key && !unit.follows_loss));
}

#[test]
fn what_is_no_opus_is_refused_and_probes_are_no_loss() {
    let config = CodecConfig::Opus(OpusConfig::new(2).unwrap());
    let mut depacketizer = Depacketizer::new(&Format::of(96, &config).unwrap(), Limits::default()).unwrap();
    let packet = |payload: &'static [u8]| Packet {
        header: Header::default(),
        payload: Bytes::from_static(payload),
        ..Packet::default()
    };
    // Code 3 without its second byte.
    assert!(depacketizer.push(&packet(&[0xff]), false).is_err());
    depacketizer.push(&packet(&[]), false).unwrap();
    depacketizer.push(&packet(&[0xfc, 1]), false).unwrap();
    assert!(depacketizer.poll().unwrap().follows_loss);
    depacketizer.push(&packet(&[]), false).unwrap();
    depacketizer.push(&packet(&[0xfc, 1]), false).unwrap();
    assert!(!depacketizer.poll().unwrap().follows_loss);
}
