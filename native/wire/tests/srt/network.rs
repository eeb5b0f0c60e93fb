//! Delivery over a bad network, seed after seed: what arrives in time is delivered, in order, at its time, and nothing else matters.
//!
//! `ARCLY_SEEDS=10000 cargo test --release -p arcly-wire --test srt network` runs as many as that; a failure names its seed, and
//! `ARCLY_SEED=n` runs that one.

use std::time::Duration;

use arcly_sim::{Burst, Clock, Link, LinkConfig, Random};
use arcly_wire::srt::{
    CallEnd, CipherMode, Limits, Packet, Passphrase, Reply, Request, SrtCaller, SrtConn, SrtListener, SrtOptions,
    new_socket_id,
};
use bytes::Bytes;

use crate::pair::addr;

/// What a seed is.
struct Plan {
    forth: LinkConfig,
    back: LinkConfig,
    latency: Duration,
    passphrase: Option<Passphrase>,
    cipher: CipherMode,
    /// Between two packets.
    pause: Duration,
    packets: u64,
    payload_bytes: usize,
    /// Keys change in mid-stream.
    refresh: bool,
    random: Random,
}

fn link(random: &mut Random, loss: f64) -> LinkConfig {
    let burst = random.chance(0.3).then(|| Burst { begin: 0.02 * random.fraction(), end: 0.2, loss: 0.8 });
    LinkConfig {
        loss: loss * random.fraction(),
        burst,
        delay: Duration::from_micros(random.below(500_000)),
        jitter: Duration::from_micros(random.below(20_000)),
        keeps_order: random.chance(0.5),
        reorder: 0.05 * random.fraction(),
        duplicate: 0.05 * random.fraction(),
        rate_bps: random.chance(0.3).then(|| 2_000_000 + random.below(10_000_000)),
        ..LinkConfig::default()
    }
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let loss = if random.chance(0.2) { 0.0 } else { 0.3 };
        let (forth, back) = (link(&mut random, loss), link(&mut random, loss));
        let refresh = random.chance(0.2);
        // Keys are changed so seldom that no packet is on its way for longer than a key lives.
        let (latency_ms, pause_us) = if refresh { (300, 30_000) } else { (3000, 1_000 + random.below(12_000)) };
        Self {
            forth,
            back,
            latency: Duration::from_millis(20 + random.below(latency_ms)),
            passphrase: (refresh || random.chance(0.2)).then(|| Passphrase::new("a passphrase").unwrap()),
            cipher: if seed.is_multiple_of(2) { CipherMode::Ctr } else { CipherMode::Gcm },
            pause: Duration::from_micros(pause_us),
            packets: if refresh { 240 } else { 150 },
            payload_bytes: 8 + random.below(1308) as usize,
            refresh,
            random,
        }
    }

    fn options(&self) -> SrtOptions {
        SrtOptions {
            receive_latency: self.latency,
            cipher: self.cipher,
            key_refresh_packets: if self.refresh { 110 } else { 1 << 25 },
            key_announce_packets: 50,
            // Over the worst of these links a handshake takes longer than a caller waits, and than a peer may be silent.
            limits: Limits {
                connect_time: Duration::from_secs(60),
                idle_time: Duration::from_secs(60),
                ..Limits::default()
            },
            ..SrtOptions::default()
        }
    }
}

/// Two ends and what lies between them.
struct World {
    clock: Clock,
    forth: Link,
    back: Link,
    caller: SrtConn,
    listener: SrtConn,
    /// The caller's time 0 as the listener's: what a packet's delivery counts from.
    base: i64,
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

/// The whole handshake over the network; repeats included.
fn connect(plan: &Plan, seed: u64) -> World {
    let mut clock = Clock::new();
    clock.advance(Duration::from_secs(100));
    let (mut forth, mut back) = (Link::new(plan.forth, seed), Link::new(plan.back, !seed));
    let listener = SrtListener::new(None).unwrap();
    let options = plan.options();
    let mut caller =
        SrtCaller::new(clock.elapsed(), addr(), "publish:live/cam", plan.passphrase.clone(), options).unwrap();
    let mut accepted = None;
    loop {
        let now = clock.elapsed();
        caller.handle_timeout(now);
        while let Some(packet) = caller.poll_output(now) {
            forth.send(clock.now(), packet.into());
        }
        while let Some(datagram) = forth.poll(clock.now()) {
            match listener.handle_input(now, addr(), &datagram) {
                Reply::Send(answer) => back.send(clock.now(), answer.into()),
                Reply::Request(request) => {
                    let (_, answer, _) = accepted.get_or_insert_with(|| accept(now, plan, &request, &datagram));
                    back.send(clock.now(), answer.packet(now).into());
                }
                Reply::Nothing => {}
            }
        }
        while let Some(datagram) = back.poll(clock.now()) {
            caller.handle_input(now, &datagram);
        }
        match caller.take_end() {
            Some(CallEnd::Connected(caller)) => {
                let (listener, _, base) = accepted.unwrap();
                return World { clock, forth, back, caller: *caller, listener, base };
            }
            Some(end) => panic!("seed {seed}: {end:?}"),
            None => {}
        }
        let dues = [forth.poll_timeout(), back.poll_timeout()].into_iter().flatten();
        let start = clock.now() - clock.elapsed();
        clock.advance_to(dues.chain(caller.poll_timeout().map(|due| start + due)).min().unwrap());
    }
}

fn accept(now: Duration, plan: &Plan, request: &Request, datagram: &[u8]) -> (SrtConn, arcly_wire::srt::Answer, i64) {
    let Ok(Packet::Control(header, _)) = Packet::parse(datagram) else { panic!("no handshake") };
    let accepted = request.accept(now, &plan.options(), plan.passphrase.as_ref(), new_socket_id().unwrap());
    let (conn, answer) = accepted.unwrap();
    (conn, answer, us(now) as i64 - i64::from(header.timestamp))
}

/// What became of the packets of one seed.
#[derive(Default)]
struct Outcome {
    delivered: u64,
    lost: u64,
    sent: u64,
}

/// A packet as the test sees it.
#[derive(Default, Clone, Copy)]
struct Seen {
    /// When it is due at the listener.
    due: u64,
    /// When its first copy came.
    came: Option<u64>,
    delivered: Option<u64>,
}

fn run(seed: u64) -> Outcome {
    let mut plan = Plan::new(seed);
    let World { mut clock, mut forth, mut back, mut caller, mut listener, base } = connect(&plan, seed);
    let (start, latency) = (clock.now() - clock.elapsed(), us(plan.latency.max(listener.receive_delay())));
    let mut seen: Vec<Seen> = Vec::new();
    let mut turns = 0;
    let mut first_sequence = None;
    let (mut last, mut last_time, mut next_send) = (None, 0, clock.elapsed());
    let mut until = Duration::from_secs(1 << 30);
    let buffered_max =
        plan.payload_bytes * (us(Duration::from_millis(3000) + 2 * plan.latency) / us(plan.pause) + 64) as usize;
    while clock.elapsed() < until {
        let now = clock.elapsed();
        if next_send <= now && (seen.len() as u64) < plan.packets {
            let mut payload = plan.random.bytes(plan.payload_bytes);
            payload[..8].copy_from_slice(&(seen.len() as u64).to_be_bytes());
            assert!(caller.send(now, &payload.into()), "seed {seed}: no room");
            // The timestamp counts from when the caller began, and so does the base.
            seen.push(Seen { due: us(now) + latency, ..Seen::default() });
            next_send = now + plan.pause;
            if seen.len() as u64 == plan.packets {
                until = now + 2 * plan.latency + Duration::from_secs(2);
            }
        }
        while let Some(datagram) = forth.poll(clock.now()) {
            if let Ok(Packet::Data(header, _)) = Packet::parse(&datagram) {
                let index = header.sequence.wrapping_sub(first_sequence.unwrap()) as usize & 0x7fff_ffff;
                let due = (base + i64::from(header.timestamp) + latency as i64) as u64;
                let packet = &mut seen[index];
                packet.due = due;
                packet.came.get_or_insert(us(now));
            }
            listener.handle_input(now, &datagram).unwrap();
        }
        while let Some(datagram) = back.poll(clock.now()) {
            caller.handle_input(now, &datagram).unwrap();
        }
        for (conn, link) in [(&mut caller, &mut forth), (&mut listener, &mut back)] {
            if conn.poll_timeout().is_some_and(|due| due <= now) {
                conn.handle_timeout(now);
            }
            let mut datagram = Vec::new();
            while conn.poll_output(now, &mut datagram) {
                if let Ok(Packet::Data(header, _)) = Packet::parse(&datagram) {
                    first_sequence.get_or_insert(header.sequence);
                }
                link.send(clock.now(), std::mem::take(&mut datagram).into());
            }
        }
        while let Some(delivery) = listener.deliver(now) {
            let index = u64::from_be_bytes(delivery.payload[..8].try_into().unwrap());
            assert!(last.is_none_or(|last| index > last), "seed {seed}: {index} behind {last:?}");
            assert_eq!(delivery.payload.len(), plan.payload_bytes, "seed {seed}");
            assert_eq!(index - last.map_or(0, |last| last + 1), delivery.lost_before, "seed {seed}: holes are told");
            let packet = &mut seen[index as usize];
            packet.delivered = Some(us(now));
            // Neither early nor late: at its time, or when it came, if that was later and nothing behind it was due yet.
            let right = packet.due.max(packet.came.unwrap()).max(last_time);
            assert!(us(now) == right, "seed {seed}: {index} at {}, not at {right}", us(now));
            (last, last_time) = (Some(index), us(now));
        }
        for conn in [&caller, &listener] {
            assert_eq!(conn.closed(), None, "seed {seed}");
            assert!(conn.buffered_bytes() <= buffered_max + 4096, "seed {seed}: {}", conn.buffered_bytes());
        }
        let links = [forth.poll_timeout(), back.poll_timeout()].into_iter().flatten();
        let conns = [caller.poll_timeout(), listener.poll_timeout()].into_iter().flatten().map(|due| start + due);
        let send = ((seen.len() as u64) < plan.packets).then(|| start + next_send);
        let next = links.chain(conns).chain(send).min().unwrap();
        turns = if next <= clock.now() { turns + 1 } else { 0 };
        assert!(
            turns < 1000,
            "seed {seed}: at {now:?} it spins: {:?} {:?}",
            caller.poll_timeout(),
            listener.poll_timeout()
        );
        clock.advance_to(next.min(start + until));
    }
    let mut outcome = Outcome { sent: caller.stats(clock.elapsed()).counters.sent_packets, ..Outcome::default() };
    for (index, packet) in seen.iter().enumerate() {
        let in_time = packet.came.is_some_and(|came| came <= packet.due);
        assert!(packet.delivered.is_some() || !in_time, "seed {seed}: {index} came in time and was not delivered");
        outcome.delivered += u64::from(packet.delivered.is_some());
        outcome.lost += u64::from(packet.delivered.is_none());
    }
    outcome
}

#[test]
fn what_arrives_in_time_is_delivered_in_order_and_at_its_time() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("ARCLY_SEED") {
        run(seed);
        return;
    }
    let (mut delivered, mut lost, mut sent, seeds) = (0, 0, 0, number("ARCLY_SEEDS").unwrap_or(200));
    for seed in 0..seeds {
        let outcome = run(seed);
        (delivered, lost, sent) = (delivered + outcome.delivered, lost + outcome.lost, sent + outcome.sent);
    }
    println!("{seeds} seeds: {delivered} delivered, {lost} lost, {sent} sent");
    // Half of the plans leave no time for a second attempt.
    assert!(delivered > 8 * lost, "{delivered} delivered, {lost} lost");
    assert!(sent < 2 * (delivered + lost), "{sent} sent: it does not storm");
}

/// Where there is time for it, everything arrives: 10 % of losses both ways, and ten round trips.
#[test]
fn with_time_for_it_everything_is_repaired() {
    for seed in 0..20 {
        let mut plan = Plan::new(seed);
        let lossy = LinkConfig { loss: 0.1, delay: Duration::from_millis(20), ..LinkConfig::default() };
        (plan.forth, plan.back, plan.latency, plan.packets) = (lossy, lossy, Duration::from_millis(400), 300);
        plan.pause = Duration::from_millis(4);
        let world = connect(&plan, seed);
        let (delivered, sent) = flow(world, &plan);
        assert_eq!(delivered, 300, "seed {seed}");
        assert!(sent < 400, "seed {seed}: {sent} packets for 300");
    }
}

/// Sends all packets of a plan; how many arrived, and how many it took.
fn flow(world: World, plan: &Plan) -> (u64, u64) {
    let World { mut clock, mut forth, mut back, mut caller, mut listener, .. } = world;
    let (mut given, mut delivered, mut next) = (0, 0, clock.elapsed());
    let until = clock.elapsed() + plan.pause * plan.packets as u32 + 3 * plan.latency;
    while clock.elapsed() < until {
        let now = clock.elapsed();
        if given < plan.packets && next <= now {
            assert!(caller.send(now, &Bytes::from(vec![0; plan.payload_bytes])));
            (given, next) = (given + 1, now + plan.pause);
        }
        while let Some(datagram) = forth.poll(clock.now()) {
            listener.handle_input(now, &datagram).unwrap();
        }
        while let Some(datagram) = back.poll(clock.now()) {
            caller.handle_input(now, &datagram).unwrap();
        }
        for (conn, link) in [(&mut caller, &mut forth), (&mut listener, &mut back)] {
            conn.handle_timeout(now);
            let mut datagram = Vec::new();
            while conn.poll_output(now, &mut datagram) {
                link.send(clock.now(), std::mem::take(&mut datagram).into());
            }
        }
        delivered += std::iter::from_fn(|| listener.deliver(now).map(|_| ())).count() as u64;
        clock.advance(Duration::from_millis(1));
    }
    (delivered, caller.stats(clock.elapsed()).counters.sent_packets)
}
