//! Streams over bad networks: what comes out of a receiver, whatever the link does.

use std::time::Duration;

use arcly_sim::{Burst, Clock, Link, LinkConfig};
use arcly_wire::rtp::{AccessUnit, Limits, Packet, Receiver};
use bytes::Bytes;

use crate::{
    media::{KINDS, Media, media},
    stream::{FIRST_TIMESTAMP, Rng, Sender},
};

const SEEDS: u64 = 10_000;
const UNITS: usize = 12;
const TICKS: u32 = 900;
/// Longer than any link here takes for a packet.
const LIMITS: Limits =
    Limits { access_unit_bytes: 1 << 20, reorder_packets: 512, reorder_time: Duration::from_millis(400) };

fn link_config(rng: &mut Rng) -> LinkConfig {
    let ms = |rng: &mut Rng, most| Duration::from_millis(rng.below(most) as u64);
    let burst = Burst { begin: 0.02, end: 0.3, loss: 0.9 };
    LinkConfig {
        loss: [0.0, 0.0, 0.01, 0.05, 0.1, 0.3][rng.below(6)],
        burst: (rng.below(5) == 0).then_some(burst),
        delay: ms(rng, 100),
        jitter: ms(rng, 60),
        keeps_order: rng.below(2) == 0,
        reorder: [0.0, 0.05, 0.3][rng.below(3)],
        reorder_delay: ms(rng, 80),
        duplicate: [0.0, 0.02, 0.2][rng.below(3)],
        rate_bps: None,
        ..LinkConfig::default()
    }
}

/// What came of one stream.
struct Run {
    media: Media,
    read: Vec<AccessUnit>,
    /// Of each access unit, whether all of its packets came.
    arrived: Vec<bool>,
    is_lossless: bool,
    /// Packets that came were given up for lost before.
    gave_up: bool,
}

/// Takes what has arrived.
fn receive(link: &mut Link, clock: &Clock, receiver: &mut Receiver, came: &mut Vec<Bytes>, read: &mut Vec<AccessUnit>) {
    while let Some(datagram) = link.poll(clock.now()) {
        came.push(datagram.clone());
        receiver.push(clock.now(), Packet::parse(datagram).unwrap());
        read.extend(std::iter::from_fn(|| receiver.poll()));
        assert!(receiver.buffered_bytes() <= 512 * 1_460 + LIMITS.access_unit_bytes);
    }
}

fn run(seed: u64) -> Run {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let kind = rng.below(KINDS);
    let media = media(kind, UNITS, &mut rng);
    let max = [200, 700, 1_460][rng.below(3)];
    let (mut clock, mut link) = (Clock::new(), Link::new(link_config(&mut rng), seed));
    let mut sender = Sender::new(&media.format, &media.config, max);
    let mut receiver = Receiver::new(media.format.clone(), LIMITS).unwrap();
    let (mut came, mut read, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for (unit, is_key) in &media.units {
        let packets = sender.send(unit, *is_key, TICKS);
        packets.iter().for_each(|packet| link.send(clock.now(), packet.clone()));
        sent.push(packets);
        clock.advance(Duration::from_millis(10));
        receive(&mut link, &clock, &mut receiver, &mut came, &mut read);
    }
    while let Some(next) = [link.poll_timeout(), receiver.poll_timeout()].into_iter().flatten().min() {
        clock.advance_to(next);
        receive(&mut link, &clock, &mut receiver, &mut came, &mut read);
        receiver.handle_timeout(clock.now());
        read.extend(std::iter::from_fn(|| receiver.poll()));
    }
    receiver.flush();
    read.extend(std::iter::from_fn(|| receiver.poll()));
    assert_eq!(receiver.malformed(), (0, None));
    let gave_up = receiver.counts().lost > link.counts().lost;
    let arrived = sent.iter().map(|packets| packets.iter().all(|packet| came.contains(packet))).collect();
    Run { media, read, arrived, is_lossless: link.counts().lost + receiver.counts().lost == 0, gave_up }
}

fn check(run: &Run) {
    let Run { media, read, arrived, .. } = run;
    let position = |unit: &AccessUnit| {
        let index = ((unit.timestamp as u32).wrapping_sub(FIRST_TIMESTAMP) / TICKS) as usize;
        assert!(media.units[index].0 == unit.payload, "{:?}: torn", media.format.encoding);
        index
    };
    let found: Vec<usize> = read.iter().map(position).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "order, and once: {found:?}");
    // Behind a hole AV1 and LATM cannot tell where a unit begins; a stream without its first key frame cannot be decoded.
    let is_blind = matches!(media.format.encoding.name(), "AV1" | "MP4A-LATM");
    let first = found.first().copied().unwrap_or(UNITS);
    for unit in first..UNITS {
        // So many packets at once that more than a window overtook one.
        let is_excused = run.gave_up || is_blind && unit > 0 && !arrived[unit - 1];
        let is_found = found.contains(&unit);
        assert!(is_found || !arrived[unit] || is_excused, "missing {unit}: {found:?} of {arrived:?}");
    }
    for (unit, &place) in read.iter().zip(&found) {
        assert!(unit.follows_loss || place == first || found.contains(&(place - 1)), "not told at {place}: {found:?}");
    }
}

#[test]
fn whatever_a_link_does_all_that_arrives_comes_out_once_in_order_and_losses_are_told() {
    let (mut lossless, mut delivered) = (0, 0);
    for seed in 0..SEEDS {
        let checked = std::panic::catch_unwind(|| {
            let run = run(seed);
            // Waveforms come in pieces of their own: those are compared as a run of samples.
            let is_waveform = run.media.config.audio().is_some_and(|info| info.samples_per_frame == 0)
                && run.media.format.encoding.name() != "opus";
            if is_waveform {
                check_waveform(&run);
            } else {
                check(&run);
            }
            (usize::from(run.is_lossless), run.read.len())
        });
        let Ok((is_lossless, units)) = checked else { panic!("seed {seed}") };
        (lossless, delivered) = (lossless + is_lossless, delivered + units);
    }
    assert!(lossless > SEEDS as usize / 5 && delivered > 5 * SEEDS as usize, "{lossless} {delivered}");
}

/// Each piece has the samples of its time.
fn check_waveform(run: &Run) {
    if run.is_lossless {
        let read: Vec<u8> = run.read.iter().flat_map(|unit| unit.payload.to_vec()).collect();
        let sent: Vec<u8> = run.media.units.iter().flat_map(|(unit, _)| unit.clone()).collect();
        // The first packet that arrives is the first one of the stream.
        assert!(sent.ends_with(&read) && !read.is_empty());
    }
    let sent: Vec<&[u8]> = run.media.units.iter().map(|(unit, _)| unit.as_slice()).collect();
    let is_sent = |piece: &[u8]| {
        sent.iter().any(|unit| unit.len() >= piece.len() && unit.windows(piece.len()).any(|window| window == piece))
    };
    assert!(run.read.iter().take(3).all(|unit| is_sent(&unit.payload)));
}
