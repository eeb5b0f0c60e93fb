//! How fast a sender is (SRT §5.1.1): never faster than it may be, whatever is given to it or asked for again.

use std::time::Duration;

use arcly_wire::srt::{Bandwidth, Packet, SrtOptions};
use bytes::Bytes;

use crate::pair::{Pair, carry, connect, ms};

const PAYLOAD_BYTES: usize = 1316;
/// With the headers of SRT, UDP and IPv4.
const PACKET_BYTES: u64 = PAYLOAD_BYTES as u64 + 44;
/// What may leave at once: 2 ms of the rate, and a packet begun.
const BURST: Duration = Duration::from_millis(2);

fn paced(bandwidth: Bandwidth, overhead_percent: u32) -> Pair {
    let sender = SrtOptions { bandwidth, overhead_percent, ..SrtOptions::default() };
    let latency = ms(2000);
    connect((SrtOptions { send_latency: latency, ..sender }, SrtOptions::default()), (None, None)).unwrap()
}

/// What leaves in a millisecond after the other, of the sender that gives `packets(ms)` packets in each, on a way that loses what `loses`
/// says of the n-th: bytes of the data sent until then, for each of so many milliseconds.
fn sent(pair: &mut Pair, duration_ms: u64, packets: impl Fn(u64) -> u64, loses: impl Fn(u64) -> bool) -> Vec<u64> {
    let (mut total, mut count, mut totals) = (0, 0, Vec::new());
    for at in 0..duration_ms {
        let now = ms(1000 + at);
        (0..packets(at)).for_each(|_| assert!(pair.caller.send(now, &Bytes::from(vec![0; PAYLOAD_BYTES]))));
        pair.caller.handle_timeout(now);
        let mut datagram = Vec::new();
        while pair.caller.poll_output(now, &mut datagram) {
            let is_data = matches!(Packet::parse(&datagram), Ok(Packet::Data(..)));
            (total, count) = (total + u64::from(is_data) * PACKET_BYTES, count + u64::from(is_data));
            if !is_data || !loses(count) {
                pair.listener.handle_input(now, &datagram).unwrap();
            }
            datagram.clear();
        }
        pair.listener.handle_timeout(now);
        while pair.listener.deliver(now).is_some() {}
        carry(now, &mut pair.listener, &mut pair.caller);
        totals.push(total);
    }
    totals
}

/// In no stretch of time does more leave than the rate has room for.
fn assert_within(totals: &[u64], bytes_per_second: u64) {
    let room = |time: Duration| (u128::from(bytes_per_second) * (time + BURST).as_micros() / 1_000_000) as u64;
    for (first, before) in totals.iter().enumerate() {
        for (last, until) in totals.iter().enumerate().skip(first + 1).step_by(7) {
            let most = room(ms((last - first) as u64)) + 2 * PACKET_BYTES;
            assert!(until - before <= most, "{} bytes in {} ms, not {most}", until - before, last - first);
        }
    }
}

#[test]
fn a_burst_leaves_at_the_rate_that_is_set() {
    let rate = 1_000_000;
    let mut pair = paced(Bandwidth::Fixed(rate), 25);
    let totals = sent(&mut pair, 400, |at| if at == 0 { 200 } else { 0 }, |_| false);
    assert_within(&totals, rate);
    let all = 200 * PACKET_BYTES;
    assert_eq!(totals.last(), Some(&all));
    let at = totals.iter().position(|total| *total == all).unwrap() as u64;
    assert!(at.abs_diff(all * 1000 / rate) < 10, "it takes its time and no more: {at} ms");
}

#[test]
fn what_is_sent_again_stays_within_the_overhead_of_the_input() {
    for bandwidth in [Bandwidth::Input(PACKET_BYTES * 500), Bandwidth::Estimated] {
        let mut pair = paced(bandwidth, 25);
        // A packet every two milliseconds; from the second second on, when the rate is known where it is measured, every third is lost.
        let begun = |count: u64| count > 500;
        let totals = sent(&mut pair, 4000, |at| u64::from(at % 2 == 0), |count| begun(count) && count % 3 == 0);
        assert_within(&totals[1000..], PACKET_BYTES * 500 * 5 / 4);
        let stats = pair.caller.stats(ms(5000)).counters;
        assert!(stats.retransmitted_packets > 100, "there is much to repair: {}", stats.retransmitted_packets);
    }
}
