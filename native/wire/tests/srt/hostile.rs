//! What peers must not send, each fault of the seed among it by its name.

use std::time::Duration;

use arcly_wire::srt::{
    Ack, AckReport, CallEnd, Closed, Control, DataHeader, Handshake, HandshakeType, KeyFlag, KeyMaterialKind, Packet,
    Position, RejectReason, Reply, SrtCaller, SrtConn, SrtListener, SrtOptions, new_socket_id,
};
use bytes::Bytes;

use crate::pair::{Pair, addr, carry, connect, ms, request, secret};

fn clear() -> Pair {
    connect((SrtOptions::default(), SrtOptions::default()), (None, None)).unwrap()
}

fn encrypted() -> Pair {
    let phrase = || secret("a passphrase");
    connect((SrtOptions::default(), SrtOptions::default()), (phrase(), phrase())).unwrap()
}

/// What leaves now.
fn output(now: Duration, conn: &mut SrtConn) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut datagram = Vec::new();
    while conn.poll_output(now, &mut datagram) {
        all.push(std::mem::take(&mut datagram));
    }
    all
}

fn data(conn: &SrtConn, sequence: u32, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let header = DataHeader {
        sequence,
        position: Position::Solo,
        is_ordered: true,
        key: KeyFlag::Clear,
        is_retransmitted: false,
        message: 1,
        timestamp,
        destination: conn.local_id(),
    };
    [&header.to_bytes()[..], payload].concat()
}

fn control(conn: &SrtConn, control: Control<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    control.write(0, conn.local_id(), &mut packet);
    packet
}

/// The sequence number of the next packet that the caller sends.
fn next_sequence(now: Duration, pair: &mut Pair) -> u32 {
    assert!(pair.caller.send(now, &Bytes::from_static(b"x")));
    let packets = output(now, &mut pair.caller);
    let Ok(Packet::Data(header, _)) = Packet::parse(packets.last().unwrap()) else { panic!("no data") };
    packets.iter().for_each(|packet| pair.listener.handle_input(now, packet).unwrap());
    header.sequence + 1
}

/// Seed fault: one sequence number far ahead made each tick walk up to 2^30 numbers. With such a walk this would last for hours.
#[test]
fn a_far_ahead_sequence_number_costs_nothing() {
    let mut pair = clear();
    let sequence = next_sequence(ms(1010), &mut pair);
    for ahead in [8191, 8192, 1 << 20, (1 << 30) - 2, 1 << 30] {
        let packet = data(&pair.listener, (sequence + ahead) & 0x7fff_ffff, 0, b"far");
        for _ in 0..1000 {
            pair.listener.handle_input(ms(1011), &packet).unwrap();
            output(ms(1011), &mut pair.listener);
        }
    }
    for tick in 0..200 {
        pair.listener.handle_timeout(ms(1011 + tick * 10));
        while pair.listener.deliver(ms(1011 + tick * 10)).is_some() {}
        assert!(output(ms(1011 + tick * 10), &mut pair.listener).len() < 8);
    }
    assert!(pair.listener.buffered_bytes() < 100);
}

/// A peer that goes on far ahead (it dropped what lies between, while the path was down) is followed.
#[test]
fn a_peer_that_goes_on_far_ahead_is_followed() {
    let mut pair = clear();
    let sequence = next_sequence(ms(1010), &mut pair);
    while pair.listener.deliver(ms(1200)).is_some() {}
    for packet in 0..100 {
        let bytes = data(&pair.listener, (sequence + 100_000 + packet) & 0x7fff_ffff, 200_000, b"on");
        pair.listener.handle_input(ms(1200), &bytes).unwrap();
    }
    let first = pair.listener.deliver(ms(1400)).unwrap();
    assert!(first.lost_before >= 100_000 && first.payload == b"on");
}

/// Seed fault: a loss report of the whole space of numbers made the sender walk it.
#[test]
fn hostile_loss_reports_cost_by_their_length() {
    let mut pair = clear();
    for _ in 0..100 {
        assert!(pair.caller.send(ms(1010), &Bytes::from_static(&[1; 1316])));
    }
    assert_eq!(output(ms(1010), &mut pair.caller).len(), 100);
    // Ranges over everything, backwards, of the future, and one that is cut off.
    let ends: [[u32; 2]; 4] = [[1 << 31, 0x7fff_ffff], [0xffff_ffff, 0], [0xc000_0000, 0x3fff_ffff], [0x8000_0005, 3]];
    let list: Vec<u8> = ends.iter().flatten().cycle().take(363).flat_map(|word| word.to_be_bytes()).collect();
    let mut packet = control(
        &pair.caller,
        Control::Nak(match Packet::parse(&[0x80, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) {
            Ok(Packet::Control(_, Control::Nak(report))) => report,
            other => panic!("{other:?}"),
        }),
    );
    packet.extend_from_slice(&list);
    for round in 0..200 {
        pair.caller.handle_input(ms(1020 + round), &packet).unwrap();
        let sent = output(ms(1020 + round), &mut pair.caller);
        assert!(sent.len() <= 110, "what was sent, once, and little more: {}", sent.len());
    }
}

/// Seed fault: a conclusion without a cookie began a session.
#[test]
fn a_spoofed_conclusion_without_its_cookie_is_not_answered() {
    let (now, listener) = (ms(1000), SrtListener::new(None).unwrap());
    let mut caller = SrtCaller::new(now, addr(), "read:live/cam", None, SrtOptions::default()).unwrap();
    let induction = caller.poll_output(now).unwrap();
    let Reply::Send(answer) = listener.handle_input(now, addr(), &induction) else { panic!("no answer") };
    caller.handle_input(now, &answer);
    let conclusion = caller.poll_output(now).unwrap();
    let elsewhere = "198.51.100.7:5000".parse().unwrap();
    assert!(matches!(listener.handle_input(now, elsewhere, &conclusion), Reply::Nothing), "of another address");
    assert!(matches!(listener.handle_input(ms(70_000), addr(), &conclusion), Reply::Nothing), "of a minute ago");
    let mut forged = conclusion.clone();
    forged[16 + 28] ^= 1;
    assert!(matches!(listener.handle_input(now, addr(), &forged), Reply::Nothing), "not ours");
    assert!(matches!(listener.handle_input(now, addr(), &conclusion), Reply::Request(_)));
}

/// Seed fault: a request of a spoofed address was answered with a whole stream. Nothing that is sent without a cookie is answered by more.
#[test]
fn nothing_is_amplified_before_the_cookie() {
    let (now, listener) = (ms(1000), SrtListener::new(None).unwrap());
    let mut caller = SrtCaller::new(now, addr(), "read:live/cam", None, SrtOptions::default()).unwrap();
    let mut induction = caller.poll_output(now).unwrap();
    for kind in [0_u32, 1, 0xffff_fffd, 0xffff_fffe, 0xffff_ffff, 1002, 7] {
        induction[16 + 20..16 + 24].copy_from_slice(&kind.to_be_bytes());
        for length in 0..=induction.len() {
            if let Reply::Send(answer) = listener.handle_input(now, addr(), &induction[..length]) {
                assert!(answer.len() <= length && kind == 1, "{kind:x} {length}");
            }
        }
    }
}

/// Seed fault: who sent in the clear to a listener with a passphrase was let in; and so it is within a connection.
#[test]
fn plaintext_is_not_taken_by_an_encrypted_connection() {
    let mut pair = encrypted();
    let sequence = next_sequence(ms(1010), &mut pair);
    let packet = data(&pair.listener, sequence, 20_000, b"plain");
    pair.listener.handle_input(ms(1020), &packet).unwrap();
    assert_eq!(pair.listener.deliver(ms(1500)).unwrap().payload, b"x");
    assert!(pair.listener.deliver(ms(1500)).is_none());
    assert_eq!(pair.listener.stats(ms(1500)).counters.undecrypted_packets, 1);
}

#[test]
fn ciphertext_is_not_taken_by_a_connection_in_the_clear() {
    let mut pair = clear();
    let sequence = next_sequence(ms(1010), &mut pair);
    let mut packet = data(&pair.listener, sequence, 20_000, b"secret");
    packet[4] |= 0b0001_0000;
    pair.listener.handle_input(ms(1020), &packet).unwrap();
    assert_eq!(pair.listener.deliver(ms(1500)).unwrap().payload, b"x");
    assert!(pair.listener.deliver(ms(1500)).is_none());
}

/// libsrt's holes of 2026: key material whose lengths do not fit, behind the handshake.
#[test]
fn key_material_of_every_wrong_length_is_refused() {
    let mut pair = encrypted();
    let good = [&[0x12, 0x20, 0x29, 1, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, 4][..], &[7; 16 + 24]].concat();
    for length in 0..2000 {
        let mut material = good.clone();
        material.resize(length, 0);
        let packet = control(&pair.listener, Control::KeyMaterial(KeyMaterialKind::Request, &material));
        let taken = pair.listener.handle_input(ms(1010 + length as u64), &packet);
        assert_eq!(taken.is_ok(), length == good.len(), "{length}");
    }
    for (at, value) in [(3, 0), (14, 0), (14, 255), (15, 0), (15, 5), (15, 255), (8, 4), (0, 0x92)] {
        let mut material = good.clone();
        material[at] = value;
        let packet = control(&pair.listener, Control::KeyMaterial(KeyMaterialKind::Request, &material));
        assert!(pair.listener.handle_input(ms(4000), &packet).is_err(), "{at} {value}");
    }
    assert_eq!(pair.listener.closed(), None, "and the connection goes on");
    next_sequence(ms(4010), &mut pair);
    assert_eq!(pair.listener.deliver(ms(4500)).unwrap().payload, b"x");
}

/// Seed fault: a handshake that was repeated on an encrypted connection was answered without the passphrase.
#[test]
fn a_repeated_handshake_is_answered_alike() {
    let (now, listener, phrase) = (ms(1000), SrtListener::new(None).unwrap(), secret("a passphrase"));
    let mut caller = SrtCaller::new(now, addr(), "read:live/cam", phrase.clone(), SrtOptions::default()).unwrap();
    let request = request(now, &listener, &mut caller);
    let accepted = request.accept(now, &SrtOptions::default(), phrase.as_ref(), new_socket_id().unwrap());
    let (_conn, answer) = accepted.unwrap();
    let (first, again) = (answer.packet(now), answer.packet(ms(1250)));
    assert_eq!(first[..8], again[..8]);
    assert_eq!(first[12..], again[12..], "all but the timestamp");
    // The first was lost.
    caller.handle_input(ms(1250), &again);
    assert!(matches!(caller.take_end(), Some(CallEnd::Connected(_))));
}

/// An attacker who answers in a listener's place without the key is no listener.
#[test]
fn a_listener_that_does_not_show_the_key_is_not_believed() {
    let (now, listener) = (ms(1000), SrtListener::new(None).unwrap());
    let options = SrtOptions::default();
    let mut caller = SrtCaller::new(now, addr(), "read:live/cam", secret("a passphrase"), options).unwrap();
    let mut asked = request(now, &listener, &mut caller);
    let (_, answer) = asked.accept(now, &options, secret("a passphrase").as_ref(), 7).unwrap();
    // The same without its KMRSP.
    let packet = answer.packet(now);
    let mut handshake = Handshake::parse(&packet[16..]).unwrap();
    handshake.extensions.key_response = None;
    let mut forged = packet[..16].to_vec();
    handshake.write(&mut forged);
    caller.handle_input(now, &forged);
    assert!(matches!(caller.take_end(), Some(CallEnd::Rejected(RejectReason::Unsecure))));
    // Whoever knows the stream but not the passphrase cannot make one.
    asked = asked.clone();
    assert_eq!(asked.accept(now, &options, secret("another phrase").as_ref(), 8).err(), Some(RejectReason::BadSecret));
    assert_eq!(handshake.kind, HandshakeType::Conclusion);
}

#[test]
fn acknowledgements_of_what_was_never_sent_move_nothing() {
    let mut pair = clear();
    assert!(pair.caller.send(ms(1010), &Bytes::from_static(b"x")));
    output(ms(1010), &mut pair.caller);
    for next_sequence in [0, 1 << 29, 0x7fff_ffff, u32::MAX] {
        let report = AckReport { rtt_us: u32::MAX, rtt_variance_us: u32::MAX, ..AckReport::default() };
        let ack = Ack { number: 9, next_sequence, report: Some(report) };
        let packet = control(&pair.caller, Control::Ack(ack));
        pair.caller.handle_input(ms(1011), &packet).unwrap();
    }
    assert!(!pair.caller.is_drained());
    assert!(pair.caller.stats(ms(1011)).rtt_us <= 10_000_000);
}

/// A peer that makes us answer is answered no faster than it is listened to.
#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut pair = clear();
    let report = Some(AckReport::default());
    let packet = control(&pair.caller, Control::Ack(Ack { number: 1, next_sequence: 0, report }));
    for _ in 0..100_000 {
        pair.caller.handle_input(ms(1010), &packet).unwrap();
    }
    assert!(pair.caller.buffered_bytes() < 10_000);
}

#[test]
fn what_follows_a_goodbye_is_ignored() {
    let mut pair = clear();
    pair.caller.close(ms(1010));
    carry(ms(1010), &mut pair.caller, &mut pair.listener);
    let packet = data(&pair.listener, 5, 0, b"late");
    pair.listener.handle_input(ms(1020), &packet).unwrap();
    assert_eq!((pair.listener.closed(), pair.listener.buffered_bytes()), (Some(Closed::ByPeer), 0));
    assert!(!pair.listener.send(ms(1020), &Bytes::from_static(b"x")));
}

/// SRT §6.1.6, with small numbers.
#[test]
fn keys_are_changed_while_packets_flow() {
    let options = SrtOptions { key_refresh_packets: 64, key_announce_packets: 16, ..SrtOptions::default() };
    let phrase = || secret("a passphrase");
    let mut pair = connect((options, options), (phrase(), phrase())).unwrap();
    let mut received = 0;
    for packet in 0..1000_u64 {
        let now = ms(1000 + packet);
        assert!(pair.caller.send(now, &Bytes::from(packet.to_be_bytes().to_vec())));
        carry(now, &mut pair.caller, &mut pair.listener);
        pair.listener.handle_timeout(now);
        carry(now, &mut pair.listener, &mut pair.caller);
        while let Some(delivery) = pair.listener.deliver(now) {
            assert_eq!(delivery.payload, u64::to_be_bytes(received));
            received += 1;
        }
    }
    assert!(received > 850);
    let counters = pair.listener.stats(ms(2000)).counters;
    assert!(counters.key_refreshes >= 14 && counters.undecrypted_packets == 0, "{counters:?}");
}
