use std::time::Duration;

use bytes::Bytes;

use crate::{Burst, Clock, Link, LinkConfig};

const COUNT: u32 = 20_000;

/// Sends numbers, one a millisecond, and returns those that came with their times in microseconds.
fn run(config: LinkConfig, seed: u64) -> (Vec<(u32, u128)>, Link) {
    let (mut clock, mut link, mut out) = (Clock::new(), Link::new(config, seed), Vec::new());
    for number in 0..COUNT {
        link.send(clock.now(), Bytes::copy_from_slice(&number.to_be_bytes()));
        clock.advance(Duration::from_millis(1));
        receive(&mut link, &clock, &mut out);
    }
    while let Some(arrival) = link.poll_timeout() {
        clock.advance_to(arrival);
        receive(&mut link, &clock, &mut out);
    }
    (out, link)
}

fn receive(link: &mut Link, clock: &Clock, out: &mut Vec<(u32, u128)>) {
    while let Some(datagram) = link.poll(clock.now()) {
        out.push((u32::from_be_bytes(datagram.as_ref().try_into().unwrap()), clock.elapsed().as_micros()));
    }
}

#[test]
fn a_perfect_link_loses_and_delays_nothing() {
    let (out, link) = run(LinkConfig::default(), 1);
    assert!(out.iter().map(|(number, _)| *number).eq(0..COUNT));
    assert_eq!((link.counts().delivered, link.counts().lost), (COUNT.into(), 0));
}

#[test]
fn the_same_seed_does_the_same_and_another_one_something_else() {
    let config = LinkConfig { loss: 0.1, jitter: Duration::from_millis(30), duplicate: 0.01, ..LinkConfig::default() };
    assert_eq!(run(config, 7).0, run(config, 7).0);
    assert_ne!(run(config, 7).0, run(config, 8).0);
}

#[test]
fn losses_and_duplicates_are_as_many_as_was_said() {
    let config = LinkConfig { loss: 0.05, duplicate: 0.02, ..LinkConfig::default() };
    let counts = run(config, 3).1.counts();
    assert!((900..1_100).contains(&counts.lost), "{counts:?}");
    assert!((300..460).contains(&counts.duplicated), "{counts:?}");
    assert_eq!(counts.delivered, counts.sent - counts.lost + counts.duplicated);
}

/// One in a hundred begins a burst of ten on average: as many losses as 9 % of single ones, in far fewer runs.
#[test]
fn bursts_come_together() {
    let burst = Some(Burst { begin: 0.01, end: 0.1, loss: 1.0 });
    let (out, link) = run(LinkConfig { burst, ..LinkConfig::default() }, 5);
    let gaps = out.windows(2).filter(|pair| pair[1].0 > pair[0].0 + 1).count();
    let lost = link.counts().lost as usize;
    assert!((1_200..2_500).contains(&lost), "{lost}");
    assert!((7..14).contains(&(lost / gaps)), "{lost} in {gaps} bursts");
}

#[test]
fn jitter_overtakes_and_a_queue_does_not() {
    let jitter =
        LinkConfig { delay: Duration::from_millis(10), jitter: Duration::from_millis(30), ..LinkConfig::default() };
    let is_sorted = |out: &[(u32, u128)]| out.is_sorted_by_key(|(number, _)| *number);
    let (out, _) = run(jitter, 2);
    assert!(!is_sorted(&out) && out.len() == COUNT as usize);
    assert!(out.iter().all(|&(number, at)| (10_000..=41_000).contains(&(at - u128::from(number) * 1_000))));
    assert!(is_sorted(&run(LinkConfig { keeps_order: true, ..jitter }, 2).0));
    let reorder = LinkConfig { keeps_order: true, reorder: 0.05, ..jitter };
    assert!(!is_sorted(&run(reorder, 2).0));
}

/// 32 bits a millisecond through half of that: a half is lost when the queue is full.
#[test]
fn a_rate_queues_and_then_loses() {
    let config = LinkConfig { rate_bps: Some(16_000), queue_bytes: 400, ..LinkConfig::default() };
    let (out, link) = run(config, 1);
    let counts = link.counts();
    assert!((9_900..10_200).contains(&out.len()) && counts.refused == counts.lost, "{counts:?}");
    let (number, at) = *out.last().unwrap();
    assert!((190_000..=210_000).contains(&(at - u128::from(number) * 1_000)), "the queue is 200 ms long");
}

#[test]
fn long_datagrams_do_not_fit() {
    let mut link = Link::new(LinkConfig { mtu_bytes: 1_200, ..LinkConfig::default() }, 1);
    let now = Clock::new().now();
    [1_200, 1_201].iter().for_each(|&bytes| link.send(now, vec![0; bytes].into()));
    assert_eq!((link.poll(now).map(|datagram| datagram.len()), link.counts().refused), (Some(1_200), 1));
    link.reconfigure(LinkConfig { loss: 1.0, ..LinkConfig::default() });
    link.send(now, Bytes::from_static(b"into the void"));
    assert_eq!((link.poll_timeout(), link.counts().lost), (None, 2));
}
