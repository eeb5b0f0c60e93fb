//! Everything of SRT that is read from one datagram: headers, loss lists, handshakes with their extensions, key material, stream ids.

use std::time::Duration;

use arcly_wire::srt::{
    Control, Handshake, KeyMaterial, Packet, SrtCaller, SrtListener, SrtOptions, SrtRendezvous, StreamId,
};

use super::Target;
use crate::{mutate::Input, play_back::is_due};

pub const TARGET: Target = Target { name: "srt_packet", vectors, edit: None, buffered_bytes_max: 64 << 10, run };

/// The first byte says what the rest is.
const DATAGRAM: u8 = 0;
const HANDSHAKE: u8 = 1;
const KEY_MATERIAL: u8 = 2;

/// A conclusion of libsrt's, made by hand: HSREQ, KMREQ, SID, CONGESTION, GROUP.
fn conclusion() -> Vec<u8> {
    let fixed = [5, 0x0002_0007, 0x1234_5678, 1500, 8192, 0xffff_ffff, 77, 0xabcd_ef01, 0x0100_007f, 0, 0, 0_u32];
    let hs = [0x0001_0003, 0x0001_0501, 0xbf, 0x0078_0000_u32];
    let mut bytes: Vec<u8> = fixed.iter().chain(&hs).flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(&[0, 3, 0, 14]);
    bytes.extend_from_slice(&key_material());
    bytes.extend_from_slice(b"\0\x05\0\x03lbuph:sievil\0\x06\0\x01evil\0\x08\0\x02\0\0\0\x01\x01\0\0\0");
    bytes
}

fn key_material() -> Vec<u8> {
    [&[0x12, 0x20, 0x29, 1, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, 4][..], &[7; 40]].concat()
}

fn datagram(control_type: u8, info: u8, body: &[u8]) -> Vec<u8> {
    [&[DATAGRAM, 0x80, control_type, 0, 0, 0, 0, 0, info, 0, 0, 0, 9, 0, 0, 0, 7][..], body].concat()
}

fn vectors() -> Vec<Vec<u8>> {
    let id = |text: &str| [&[3], text.as_bytes()].concat();
    vec![
        datagram(0, 0, &conclusion()),
        datagram(2, 5, &[0, 0, 0, 1, 0, 0, 9, 9, 0, 0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 7]),
        datagram(3, 0, &[0, 0, 0, 1, 0x80, 0, 0, 4, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]),
        datagram(7, 3, &[0, 0, 0, 1, 0, 0, 0, 4]),
        [&[DATAGRAM, 0, 0, 0, 5, 0xe0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7][..], &[0x47; 188]].concat(),
        [&[HANDSHAKE][..], &conclusion()].concat(),
        [&[KEY_MATERIAL][..], &key_material()].concat(),
        id("#!::m=publish,r=live/cam?x=1,u=ann,s=a:b"),
        id("publish:live/cam:ann:secret?token=1"),
        id("#!:{r=live/cam,m=request}"),
    ]
}

fn run(input: &Input) -> usize {
    let (kind, bytes) = input.bytes.split_first().unwrap_or((&0, &[]));
    match *kind {
        DATAGRAM => {
            read_datagram(bytes);
            if is_due(bytes) {
                meet(bytes);
            }
        }
        HANDSHAKE => read_handshake(bytes),
        KEY_MATERIAL => {
            if let Ok(material) = KeyMaterial::parse(bytes) {
                assert_eq!(KeyMaterial::parse(&material.to_bytes()), Ok(material));
            }
        }
        _ => read_stream_id(bytes),
    }
    bytes.len()
}

/// Who listens, calls or meets has heard of nobody before.
fn meet(datagram: &[u8]) {
    let (now, peer, options) = (Duration::from_secs(10), ([192, 0, 2, 1], 5000).into(), SrtOptions::default());
    if let Ok(listener) = SrtListener::new(None) {
        drop(listener.handle_input(now, peer, datagram));
    }
    if let Ok(mut caller) = SrtCaller::new(now, peer, "publish:live/cam", None, options) {
        caller.handle_input(now, datagram);
        drop((caller.poll_output(now), caller.take_end()));
    }
    if let Ok(mut rendezvous) = SrtRendezvous::new(now, peer, None, options) {
        rendezvous.handle_input(now, datagram);
        drop((rendezvous.poll_output(now), rendezvous.take_end()));
    }
}

fn read_datagram(bytes: &[u8]) {
    match Packet::parse(bytes) {
        Ok(Packet::Data(header, payload)) => {
            let again = [&header.to_bytes(), payload].concat();
            assert_eq!(Packet::parse(&again), Ok(Packet::Data(header, payload)));
        }
        Ok(Packet::Control(header, control)) => {
            if let Control::Handshake(body) = control {
                read_handshake(body);
            }
            if let Control::Nak(report) = control {
                assert!(report.runs().count() <= bytes.len() / 4, "it is read by its bytes, not by what it claims");
            }
            let mut again = Vec::new();
            control.write(header.timestamp, header.destination, &mut again);
            if control != Control::Unknown {
                assert_eq!(Packet::parse(&again), Ok(Packet::Control(header, control)));
            }
        }
        Err(_) => {}
    }
}

fn read_handshake(bytes: &[u8]) {
    if let Ok(handshake) = Handshake::parse(bytes) {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        handshake.write(&mut once);
        let again = Handshake::parse(&once).ok();
        if let Some(again) = &again {
            again.write(&mut twice);
        }
        assert!(again.is_some() && once == twice, "{handshake:?}");
    }
}

fn read_stream_id(bytes: &[u8]) {
    if let Ok(id) = StreamId::parse(bytes) {
        assert!(!id.app.is_empty() && !id.stream.is_empty(), "{id:?}");
        assert!(!id.app.starts_with('/') && !id.app.contains("//") && !id.stream.contains('/'), "{id:?}");
        let text = [&id.app, &id.stream, &id.query, &id.user];
        assert!(text.iter().all(|text| !text.chars().any(char::is_control)), "fit for a line in a log: {id:?}");
    }
}
