//! AMF3 values inside AMF0; whatever decodes must encode as AMF0 and decode to the same.

use super::{Target, amf0};

/// The values of the specification's sections, each behind `avmplus-object-marker`.
const VECTORS: [&[u8]; 7] = [
    b"\x11\x04\xff\xff\xff\xff\x11\x05\x3f\xf0\0\0\0\0\0\0\x11\x03",
    b"\x11\x09\x07\x01\x06\x09live\x06\x00\x08\x01\x3f\xf0\0\0\0\0\0\0",
    b"\x11\x09\x03\x03x\x01\x01\x02",
    b"\x11\x0a\x0b\x01\x03a\x06\x03b\x02\x01\x01",
    b"\x11\x09\x05\x01\x0a\x13\x03C\x03m\x02\x0a\x01\x03",
    b"\x11\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x0c\x05ab",
    b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x11\x0a\x0b\x01\x07app\x06\x09live\x1dobjectEncoding\x04\x03\x01",
];

pub const TARGET: Target = Target { name: "amf3", vectors, edit: None, buffered_bytes_max: 0, run: amf0::round_trip };

fn vectors() -> Vec<Vec<u8>> {
    let mut vectors: Vec<_> = VECTORS.iter().map(|vector| vector.to_vec()).collect();
    vectors.push(VECTORS.concat());
    vectors
}
