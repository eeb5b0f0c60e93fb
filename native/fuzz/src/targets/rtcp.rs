//! RTCP: what is read comes back when it is written again.

use arcly_wire::rtp::rtcp::{RtcpPacket, packets};
use bytes::BytesMut;

use super::Target;
use crate::{avc::unhex, mutate::Input};

pub const TARGET: Target = Target { name: "rtcp", vectors, edit: None, buffered_bytes_max: 0, run };

/// Reports with a description; a goodbye with a reason; feedback of each kind; extended reports, and an odd length.
fn vectors() -> Vec<Vec<u8>> {
    [
        "81c8000c 00000001 800000018000000000015f90 0000000a000003e8 00000009 fffffffb 00010005 0000004d aabbccdd 00010000 \
         81ca0003 00000001 0104 6e616d65 0000",
        "80c90001 00000001 82cb0005 00000001 00000002 08 74656172646f776e 000000",
        "80cc0003 00000001 6172636c 64617461",
        "81cd0004 00000001 00000002 fffa 0001 0010 ffff 81ce0002 00000001 00000002 84ce0004 00000001 00000000 00000002 03000000",
        "8fce0006 00000001 00000000 52454d42 02 0a6259 00000007 00000008",
        "8fcd0006 00000001 00000002 fffe 0008 fffffd 09 2003 d999 10ff7f8000 01 0000",
        "80cf0002 00000001 04000000 a0ca0001 00000001 80c9",
    ]
    .map(unhex)
    .to_vec()
}

fn run(input: &Input) -> usize {
    let mut count = 0;
    for packet in packets(&input.bytes) {
        count += 1;
        if let Ok(packet) = packet {
            check_again(&packet);
        }
    }
    assert!(4 * count <= input.bytes.len() + 4, "a packet has four bytes");
    0
}

fn check_again(packet: &RtcpPacket) {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes);
    assert!(bytes.len().is_multiple_of(4));
    let again: Vec<_> = packets(&bytes).collect();
    match packet {
        RtcpPacket::Other { .. } => assert!(again.is_empty()),
        // Texts are cut and mended.
        RtcpPacket::SourceDescription(_) | RtcpPacket::Goodbye { .. } => assert!(matches!(&again[..], [Ok(_)])),
        packet => assert!(matches!(&again[..], [Ok(again)] if again == packet), "{packet:?} {again:?}"),
    }
}
