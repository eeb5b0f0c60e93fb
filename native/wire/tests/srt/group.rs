//! Several links that carry one stream: what comes by any of them is delivered once, in order, whichever fails.

use std::time::Duration;

use arcly_sim::{Clock, Link, LinkConfig, Random};
use arcly_wire::srt::{
    CallEnd, Closed, Control, GroupKind, Handshake, Membership, Packet, Passphrase, SrtCaller, SrtConn, SrtListener,
    SrtOptions, new_socket_id,
};
use bytes::Bytes;

use crate::pair::{addr, carry, ms, request, secret};

const GROUP: Membership = Membership { id: 0x4000_0077, kind: GroupKind::Broadcast, flags: 0, weight: 1 };
/// Near the wrap.
const SEQUENCE: u32 = 0x7fff_ff00;

/// One link: both ends, and the ways between them.
struct Leg {
    caller: SrtConn,
    listener: SrtConn,
    forth: Link,
    back: Link,
}

fn connect(now: Duration, phrase: Option<&Passphrase>) -> (SrtConn, SrtConn) {
    let options = SrtOptions { receive_latency: ms(600), ..SrtOptions::default() };
    let listener = SrtListener::new(None).unwrap();
    let mut caller = SrtCaller::new(now, addr(), "publish:live/cam", phrase.cloned(), options).unwrap();
    caller.be_link(GROUP, SEQUENCE);
    let mut request = request(now, &listener, &mut caller);
    assert_eq!(request.group(), Some(GROUP));
    request.join(5);
    let (conn, answer) = request.accept(now, &options, phrase, new_socket_id().unwrap()).unwrap();
    let packet = answer.packet(now);
    let Ok(Packet::Control(_, Control::Handshake(body))) = Packet::parse(&packet) else { panic!("no handshake") };
    let mirrored = Handshake::parse(body).unwrap().extensions.group;
    assert_eq!(mirrored, Some(Membership { id: 0x4000_0005, ..GROUP }), "SRT §3.2.1.4");
    caller.handle_input(now, &packet);
    let Some(CallEnd::Connected(caller)) = caller.take_end() else { panic!("no connection") };
    (*caller, conn)
}

fn leg(now: Duration, phrase: Option<&Passphrase>, random: &mut Random) -> Leg {
    let (caller, listener) = connect(now, phrase);
    let mut way = || {
        let config = LinkConfig {
            loss: 0.15 * random.fraction(),
            delay: Duration::from_micros(random.below(40_000)),
            jitter: Duration::from_micros(random.below(5_000)),
            ..LinkConfig::default()
        };
        Link::new(config, random.number())
    };
    Leg { caller, listener, forth: way(), back: way() }
}

impl Leg {
    /// What has come; what is new of it for the other links.
    fn hear(&mut self, clock: &Clock, shared: &mut Vec<arcly_wire::srt::Shared>) {
        let now = clock.elapsed();
        while let Some(datagram) = self.forth.poll(clock.now()) {
            self.listener.handle_input(now, &datagram).unwrap();
            shared.extend(self.listener.take_arrived());
        }
        while let Some(datagram) = self.back.poll(clock.now()) {
            self.caller.handle_input(now, &datagram).unwrap();
        }
    }

    fn speak(&mut self, clock: &Clock) {
        let now = clock.elapsed();
        for (conn, way) in [(&mut self.caller, &mut self.forth), (&mut self.listener, &mut self.back)] {
            if conn.poll_timeout().is_some_and(|due| due <= now) {
                conn.handle_timeout(now);
                assert!(conn.poll_timeout().is_none_or(|due| due > now) || conn.closed().is_none(), "it spins");
            }
            let mut datagram = Vec::new();
            while conn.poll_output(now, &mut datagram) {
                way.send(clock.now(), std::mem::take(&mut datagram).into());
            }
        }
    }
}

/// Two links lose packets, and the one that delivers is cut for good in mid-stream: nobody misses anything.
fn nothing_is_lost(seed: u64) {
    let (mut random, mut clock) = (Random::new(seed), Clock::new());
    clock.advance(ms(1000));
    let phrase = random.chance(0.5).then(|| secret("a passphrase").unwrap());
    let mut legs = [0, 1].map(|_| leg(clock.elapsed(), phrase.as_ref(), &mut random));
    legs[0].listener.be_link(false);
    legs[1].listener.be_link(true);
    let (mut lead, mut sent, mut next, cut) = (0, 0_u64, 0, 200 + random.below(200));
    while next < 900 {
        assert!(clock.elapsed() < ms(30_000), "seed {seed}: {next} is missing");
        let now = clock.elapsed();
        if sent < 900 {
            let message = Bytes::copy_from_slice(&sent.to_be_bytes());
            legs.iter_mut().filter(|leg| leg.caller.closed().is_none()).for_each(|leg| {
                assert!(leg.caller.send(now, &message), "seed {seed}");
            });
            sent += 1;
        }
        let mut shared = [Vec::new(), Vec::new()];
        legs.iter_mut().zip(&mut shared).for_each(|(leg, shared)| leg.hear(&clock, shared));
        for (leg, shared) in legs.iter_mut().zip(shared.iter().rev()) {
            shared.iter().for_each(|packet| _ = leg.listener.share(packet));
        }
        while let Some(delivery) = legs[lead].listener.deliver(now) {
            let number = u64::from_be_bytes(delivery.payload.try_into().unwrap());
            assert_eq!((number, delivery.lost_before), (next, 0), "seed {seed}, led by {lead}");
            next += 1;
        }
        let place = legs[lead].listener.next_delivery();
        legs[1 - lead].listener.follow(place);
        assert!(legs[1].listener.buffered_bytes() < 8 * 200 + 4096, "seed {seed}");
        legs.iter_mut().for_each(|leg| leg.speak(&clock));
        if sent == cut {
            legs[0].forth.reconfigure(LinkConfig { loss: 1.0, ..LinkConfig::default() });
            legs[0].back.reconfigure(LinkConfig { loss: 1.0, ..LinkConfig::default() });
        }
        if lead == 0 && legs[0].listener.closed() == Some(Closed::Idle) {
            lead = 1;
            legs[1].listener.be_link(false);
        }
        clock.advance(ms(10));
    }
    assert_eq!(lead, 1, "seed {seed}: the first link has ended");
}

#[test]
fn nothing_is_lost_when_a_link_of_two_fails() {
    (0..24).for_each(nothing_is_lost);
}

/// A peer ends a link whose receiver acknowledges, or asks for, what was not sent by it.
#[test]
fn a_link_says_nothing_of_what_came_by_another() {
    let now = ms(1000);
    let ((mut first, mut lead), (_, mut idle)) = (connect(now, None), connect(now, None));
    lead.be_link(false);
    idle.be_link(true);
    let mut datagram = Vec::new();
    for number in 0..40_u64 {
        first.send(now, &Bytes::copy_from_slice(&number.to_be_bytes()));
        first.poll_output(now, &mut datagram);
        // Each fourth is lost.
        if number % 4 != 3 {
            lead.handle_input(now, &datagram).unwrap();
            let packet = lead.take_arrived().unwrap();
            assert!(lead.take_arrived().is_none(), "it is told once");
            assert!(idle.share(&packet) && !idle.share(&packet), "it is new once");
        }
        datagram.clear();
    }
    for later in (0..900).step_by(10) {
        idle.handle_timeout(now + ms(later));
        assert!(!idle.poll_output(now + ms(later), &mut datagram), "{datagram:?}");
        assert!(idle.deliver(now + ms(later)).is_none(), "the other one delivers");
    }
}

/// The last latency of a stream was thrown away when its publisher left.
#[test]
fn a_link_that_is_left_over_delivers_what_waits_when_its_peer_leaves() {
    let (mut caller, mut listener) = connect(ms(1000), None);
    listener.be_link(false);
    assert!(caller.send(ms(1010), &Bytes::from_static(b"rest")));
    carry(ms(1010), &mut caller, &mut listener);
    caller.close(ms(1011));
    carry(ms(1011), &mut caller, &mut listener);
    assert!(listener.deliver(ms(1012)).is_none(), "another link may still fill the holes");
    listener.be_last();
    assert_eq!(listener.deliver(ms(1012)).unwrap().payload, b"rest");
}
