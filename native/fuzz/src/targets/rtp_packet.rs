//! Packets of RTP: what is read is within the datagram, and comes back when it is written again.

use arcly_wire::rtp::{Header, Packet, is_rtcp, ts_packets};

use super::Target;
use crate::{avc::unhex, mutate::Input};

pub const TARGET: Target = Target { name: "rtp_packet", vectors, edit: None, buffered_bytes_max: 0, run };

/// A plain one; sources, extensions of both forms and padding; an extension of ONVIF; MPEG-TS.
fn vectors() -> Vec<Vec<u8>> {
    let ts = [&unhex("8021000100000001 00000002")[..], &[&[0x47][..], &[0; 187]].concat().repeat(2)].concat();
    let hex = [
        "80e0123489abcdeffeedbeef 6d65646961",
        "b26012340000000100000002 00000007 00000008 bede0002 10aa 22010203 00 000000 6d65646961 000003",
        "9060123400000001 00000002 1003 0002 0700 0802aabb 0000 6d65646961",
        "9060123400000001 00000002 abac 0003 e1a2b3c4d5e6f708 a0010000 65",
    ];
    hex.into_iter().map(unhex).chain([ts]).collect()
}

fn run(input: &Input) -> usize {
    let Ok(packet) = Packet::parse(input.bytes.clone().into()) else { return 0 };
    let inner = packet.payload.len() + packet.csrc_bytes.len() + packet.extensions.data().len();
    assert!(inner + 12 <= input.bytes.len() && packet.csrcs().count() <= 15);
    assert!(!is_rtcp(&input.bytes) || packet.header.payload_type >= 64);
    assert!(ts_packets(&packet).is_ok_and(|packets| packets.len().is_multiple_of(188)) || ts_packets(&packet).is_err());
    let elements: Vec<(u8, &[u8])> = packet.extensions.iter().collect();
    assert!(elements.iter().all(|(id, data)| packet.extensions.get(*id).is_some() && data.len() <= 255));
    check_again(&packet, &elements);
    0
}

fn check_again(packet: &Packet, elements: &[(u8, &[u8])]) {
    let mut bytes = Vec::new();
    packet.header.write_with_extensions(elements, &mut bytes);
    bytes.extend_from_slice(&packet.payload);
    let again = Packet::parse(bytes.into());
    assert_eq!(
        again.as_ref().map(|again| (again.header, again.payload.clone())),
        Ok((packet.header, packet.payload.clone()))
    );
    let plain = [&Header::to_bytes(packet.header)[..], &packet.payload].concat();
    assert_eq!(Packet::parse(plain.into()).map(|plain| plain.payload), Ok(packet.payload.clone()));
    let found: Vec<(u8, Vec<u8>)> =
        again.iter().flat_map(|again| again.extensions.iter().map(|(id, data)| (id, data.to_vec()))).collect();
    let written = elements.iter().filter(|(id, _)| *id > 0).map(|(id, data)| (*id, data.to_vec()));
    assert_eq!(found, written.collect::<Vec<_>>());
}
