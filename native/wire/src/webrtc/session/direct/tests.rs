//! What a viewer can do to its session, past str0m.

use std::time::Duration;

use arcly_codec::Codec;
use bytes::BytesMut;

use super::{Direct, OutgoingPacket, WAITING_MAX};
use crate::{
    rtp::rtcp::{Nack, RtcpPacket},
    webrtc::{session::Lane, tests::Pair},
};

/// A viewer of pictures, connected, with whom str0m is let go.
fn viewer(seed: u64) -> Pair {
    let mut pair = Pair::playing(&[Codec::Vp8], seed);
    assert!(pair.connect());
    pair.run(2000);
    assert!(direct(&mut pair).alone.is_some());
    pair
}

fn direct(pair: &mut Pair) -> &mut Direct {
    pair.session.direct.as_mut().unwrap()
}

fn send(pair: &mut Pair, packets: u32) {
    for number in 0..packets {
        let packet =
            OutgoingPacket { timestamp: number * 900, marker: true, payload: vec![1; 1000].into(), wall: pair.now };
        pair.send(Lane::Video, packet).unwrap();
    }
}

/// Asks for all that is kept, in one datagram so many times over; the packets that wait then, and whether a number was used for more.
fn ask_again(pair: &mut Pair, times: usize) -> (usize, u64) {
    let now = pair.now;
    let direct = direct(pair);
    let source = direct.tracks[0].source;
    let newest = source.next as u16;
    let nack = Nack::new(1, source.ssrc, (0..256).rev().map(|back: u16| newest.wrapping_sub(1 + back)));
    let mut datagram = BytesMut::new();
    (0..times).for_each(|_| RtcpPacket::Nack(nack.clone()).write(&mut datagram));
    let before = direct.tracks[0].repeats.unwrap().next;
    direct.take_feedback(&datagram, now);
    (direct.waiting.len(), direct.tracks[0].repeats.unwrap().next - before)
}

/// Found by review: each of many requests in a datagram could name 256, the same ones too.
#[test]
fn one_datagram_asks_for_256_packets_at_most_each_once_and_after_an_hour_for_no_more() {
    let mut pair = viewer(31);
    send(&mut pair, 3000);
    assert_eq!(ask_again(&mut pair, 30), (256, 256));
    direct(&mut pair).waiting.clear();
    pair.now += Duration::from_secs(1);
    assert_eq!(ask_again(&mut pair, 30), (0, 0), "all that is kept was repeated");
}

/// Found by review: what there was no room for was sealed all the same.
#[test]
fn nothing_is_sealed_for_which_there_is_no_room() {
    let mut pair = viewer(32);
    send(&mut pair, 3000);
    (0..WAITING_MAX - 3).for_each(|_| direct(&mut pair).wait(vec![0; 20]));
    assert_eq!(ask_again(&mut pair, 2), (WAITING_MAX, 3));
}
