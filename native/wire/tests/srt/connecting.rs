//! Handshakes: who is let in, what is agreed on, and what comes of it.

use arcly_wire::srt::{CallEnd, CipherMode, Closed, KeySize, RejectReason, SrtOptions, SrtRendezvous};
use bytes::Bytes;

use crate::pair::{carry, connect, ms, secret};

fn plain() -> (SrtOptions, SrtOptions) {
    (SrtOptions::default(), SrtOptions::default())
}

#[test]
fn a_message_arrives_after_the_latency_and_not_before() {
    for latency in [20, 120, 8000] {
        let options = SrtOptions { receive_latency: ms(latency), ..SrtOptions::default() };
        let mut pair = connect((options, options), (None, None)).unwrap();
        assert!(pair.caller.send(ms(1010), &Bytes::from_static(&[0x47; 1316])));
        carry(ms(1010), &mut pair.caller, &mut pair.listener);
        assert!(pair.listener.deliver(ms(1009 + latency)).is_none());
        let delivery = pair.listener.deliver(ms(1010 + latency)).unwrap();
        assert_eq!((delivery.payload, delivery.lost_before), (&[0x47; 1316][..], 0));
    }
}

#[test]
fn each_direction_has_the_larger_of_both_latencies() {
    let caller = SrtOptions { receive_latency: ms(300), send_latency: ms(50), ..SrtOptions::default() };
    let listener = SrtOptions { receive_latency: ms(20), send_latency: ms(80), ..SrtOptions::default() };
    let pair = connect((caller, listener), (None, None)).unwrap();
    assert_eq!((pair.caller.receive_delay(), pair.listener.receive_delay()), (ms(300), ms(50)));
    assert_eq!(pair.caller.stats(ms(1000)).send_latency_ms, 50);
    assert_eq!(pair.listener.stats(ms(1000)).send_latency_ms, 300);
}

#[test]
fn all_key_sizes_carry_messages_both_ways() {
    let sizes = [KeySize::Aes128, KeySize::Aes192, KeySize::Aes256];
    for (key_size, cipher) in sizes.into_iter().flat_map(|size| [CipherMode::Ctr, CipherMode::Gcm].map(|it| (size, it)))
    {
        let options = SrtOptions { key_size, cipher, ..SrtOptions::default() };
        let mut pair = connect((options, options), (secret("a passphrase"), secret("a passphrase"))).unwrap();
        assert_eq!(pair.listener.stats(ms(1000)).key_bits, key_size.bytes() as u64 * 8);
        let room = if cipher == CipherMode::Gcm { 1440 } else { 1456 };
        assert_eq!([pair.caller.payload_max(), pair.listener.payload_max()], [room; 2]);
        let message = Bytes::from_static(&[0x47; 1316]);
        assert!(pair.caller.send(ms(1010), &message) && pair.listener.send(ms(1010), &message));
        carry(ms(1010), &mut pair.caller, &mut pair.listener);
        carry(ms(1010), &mut pair.listener, &mut pair.caller);
        assert_eq!(pair.listener.deliver(ms(1200)).unwrap().payload, &message[..]);
        assert_eq!(pair.caller.deliver(ms(1200)).unwrap().payload, &message[..]);
    }
}

#[test]
fn a_passphrase_is_demanded_in_both_directions() {
    let refused = |caller, listener| connect(plain(), (caller, listener)).err();
    assert_eq!(refused(secret("a passphrase"), secret("another phrase")), Some(RejectReason::BadSecret));
    assert_eq!(refused(None, secret("a passphrase")), Some(RejectReason::Unsecure));
    assert_eq!(refused(secret("a passphrase"), None), Some(RejectReason::Unsecure));
    assert!(secret("too short").is_none());
}

/// Seed fault: a SHUTDOWN was ignored, and the stream stayed taken.
#[test]
fn shutdown_is_honoured() {
    let mut pair = connect(plain(), (None, None)).unwrap();
    pair.caller.close(ms(1010));
    carry(ms(1010), &mut pair.caller, &mut pair.listener);
    assert_eq!(pair.listener.closed(), Some(Closed::ByPeer));
    assert_eq!(pair.listener.poll_timeout(), None);
}

/// What waited for its time when the peer left was thrown away: the last latency of each stream.
#[test]
fn what_was_received_is_delivered_at_once_when_the_peer_leaves() {
    let mut pair = connect(plain(), (None, None)).unwrap();
    for number in 0..5 {
        assert!(pair.caller.send(ms(1010), &Bytes::from(vec![number; 100])));
        let mut datagram = Vec::new();
        assert!(pair.caller.poll_output(ms(1100), &mut datagram));
        if number != 2 {
            pair.listener.handle_input(ms(1011), &datagram).unwrap();
        }
    }
    assert!(pair.listener.deliver(ms(1011)).is_none());
    pair.caller.close(ms(1012));
    carry(ms(1012), &mut pair.caller, &mut pair.listener);
    let delivered: Vec<_> = std::iter::from_fn(|| {
        let delivery = pair.listener.deliver(ms(1012))?;
        Some((delivery.payload.first().copied(), delivery.lost_before))
    })
    .collect();
    assert_eq!(
        delivered,
        [(Some(0), 0), (Some(1), 0), (Some(3), 1), (Some(4), 0)],
        "nothing can fill the hole any more"
    );
}

/// Seed fault: the idle time-out was set anew by every tick and never fired.
#[test]
fn the_idle_time_out_fires() {
    let mut pair = connect(plain(), (None, None)).unwrap();
    let (mut now, mut turns) = (ms(1000), 0);
    while pair.listener.closed().is_none() {
        now = pair.listener.poll_timeout().unwrap().max(now);
        pair.listener.handle_timeout(now);
        pair.listener.poll_output(now, &mut Vec::new());
        turns += 1;
        assert!(turns < 20, "it does not spin");
    }
    assert_eq!((pair.listener.closed(), now), (Some(Closed::Idle), ms(6000)));
}

#[test]
fn a_silent_connection_is_kept_alive() {
    let mut pair = connect(plain(), (None, None)).unwrap();
    for second in 2..30 {
        let now = ms(second * 1000);
        for conn in [&mut pair.caller, &mut pair.listener] {
            conn.handle_timeout(now);
        }
        carry(now, &mut pair.caller, &mut pair.listener);
        carry(now, &mut pair.listener, &mut pair.caller);
    }
    assert_eq!((pair.caller.closed(), pair.listener.closed()), (None, None));
}

#[test]
fn a_message_of_several_packets_keeps_its_boundaries() {
    use arcly_wire::srt::Position::{First, Last, Middle, Solo};
    let mut pair = connect(plain(), (None, None)).unwrap();
    assert!(
        pair.caller.send(ms(1010), &Bytes::from(vec![1; 3000])) && pair.caller.send(ms(1010), &Bytes::from(vec![2; 3]))
    );
    carry(ms(1010), &mut pair.caller, &mut pair.listener);
    let positions: Vec<_> =
        std::iter::from_fn(|| pair.listener.deliver(ms(1200)).map(|it| (it.position, it.payload.len()))).collect();
    assert_eq!(positions, [(First, 1456), (Middle, 1456), (Last, 88), (Solo, 3)]);
}

/// Both flows, over a link that loses every third packet, in the clear and encrypted; the first wave of one side is lost or not.
#[test]
fn two_who_call_each_other_meet() {
    for round in 0..48_u64 {
        let phrase = || secret("a passphrase").filter(|_| round % 2 == 0);
        let make = || SrtRendezvous::new(ms(1000), crate::pair::addr(), phrase(), SrtOptions::default()).unwrap();
        let (mut one, mut other) = (make(), make());
        let (mut count, mut ends) = (round, [None, None]);
        for now in (1000..4000).step_by(10).map(ms) {
            let (mut to_other, mut to_one) = (Vec::new(), Vec::new());
            to_other.extend(one.poll_output(now));
            to_one.extend(other.poll_output(now));
            // Who is connected sends.
            for (end, packets) in ends.iter_mut().zip([&mut to_other, &mut to_one]) {
                if let Some(CallEnd::Connected(conn)) = end {
                    conn.send(now, &Bytes::from_static(b"hello"));
                    let mut datagram = Vec::new();
                    while conn.poll_output(now, &mut datagram) {
                        packets.push(std::mem::take(&mut datagram));
                    }
                }
            }
            let mut arrives = |_: &Vec<u8>| {
                count += 1;
                count % 3 != 0
            };
            let to_other: Vec<_> = to_other.into_iter().filter(&mut arrives).collect();
            let to_one: Vec<_> = to_one.into_iter().filter(&mut arrives).collect();
            for (machine, packets, end) in [(&mut one, to_one, 0), (&mut other, to_other, 1)] {
                for packet in packets {
                    match &mut ends[end] {
                        Some(CallEnd::Connected(conn)) => drop(conn.handle_input(now, &packet)),
                        _ => machine.handle_input(now, &packet),
                    }
                }
                ends[end] = ends[end].take().or_else(|| machine.take_end());
            }
        }
        let [Some(CallEnd::Connected(mut one)), Some(CallEnd::Connected(mut other))] = ends else {
            panic!("{round}: {ends:?}");
        };
        assert_eq!((one.is_encrypted(), other.is_encrypted()), (round % 2 == 0, round % 2 == 0));
        assert_eq!(one.deliver(ms(4000)).unwrap().payload, b"hello");
        assert_eq!(other.deliver(ms(4000)).unwrap().payload, b"hello");
    }
}

#[test]
fn two_with_different_passphrases_do_not_meet() {
    let make =
        |phrase| SrtRendezvous::new(ms(1000), crate::pair::addr(), secret(phrase), SrtOptions::default()).unwrap();
    let (mut one, mut other) = (make("a passphrase"), make("another phrase"));
    for now in (1000..2000).step_by(10).map(ms) {
        let (to_other, to_one) = (one.poll_output(now), other.poll_output(now));
        to_other.iter().for_each(|packet| other.handle_input(now, packet));
        to_one.iter().for_each(|packet| one.handle_input(now, packet));
    }
    let ends = [one.take_end(), other.take_end()];
    assert!(ends.iter().all(|end| matches!(end, Some(CallEnd::Rejected(RejectReason::BadSecret)))), "{ends:?}");
}
