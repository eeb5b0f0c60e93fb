//! Sequence numbers in any order: what comes out is in order, once, and counts what is missing.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use arcly_wire::rtp::{Header, Limits, Packet, Reorder};

use super::Target;
use crate::mutate::Input;

const LIMITS: Limits = Limits { access_unit_bytes: 0, reorder_packets: 16, reorder_time: Duration::from_millis(50) };

pub const TARGET: Target =
    Target { name: "rtp_order", vectors, edit: None, buffered_bytes_max: LIMITS.reorder_packets, run };

/// Steps of the sequence number and of the time in milliseconds: in order, a hole, two swapped, a wrap, another beginning.
fn vectors() -> Vec<Vec<u8>> {
    let steps = |steps: &[(i16, u8)]| {
        let bytes = steps.iter().flat_map(|&(step, ms)| [&step.to_be_bytes()[..], &[ms]].concat());
        [&[0xff, 0xf8][..], &bytes.collect::<Vec<_>>()].concat()
    };
    vec![
        steps(&[(1, 1); 20]),
        steps(&[(1, 1), (3, 1), (1, 1), (1, 60), (1, 1)]),
        steps(&[(1, 1), (2, 1), (-1, 1), (2, 1), (0, 1)]),
        steps(&[(1, 0), (20, 0), (-3, 0), (100, 0)]),
        steps(&[(1, 0), (20_000, 0), (1, 0), (1, 0), (-20_000, 0)]),
    ]
}

fn run(input: &Input) -> usize {
    let Some((&[s0, s1], steps)) = input.bytes.split_first_chunk::<2>() else { return 0 };
    let (mut now, mut sequence, mut held) = (Instant::now(), u16::from_be_bytes([s0, s1]), 0);
    let (mut reorder, mut checks) = (Reorder::new(&LIMITS), Checks::default());
    for &[d0, d1, ms] in steps.as_chunks::<3>().0 {
        sequence = sequence.wrapping_add(u16::from_be_bytes([d0, d1]));
        now += Duration::from_millis(u64::from(ms));
        reorder.handle_timeout(now);
        checks.pushed += 1;
        checks.seen.insert(sequence);
        reorder.push(now, Packet { header: Header { sequence, ..Header::default() }, ..Packet::default() });
        checks.drain(&mut reorder);
        held = held.max(reorder.waiting());
        assert!(reorder.missing().count() <= LIMITS.reorder_packets);
        assert_eq!(reorder.poll_timeout().is_some(), reorder.waiting() > 0, "what waits is waited for");
    }
    reorder.flush();
    checks.drain(&mut reorder);
    assert_eq!(reorder.waiting(), 0);
    held
}

#[derive(Default)]
struct Checks {
    seen: BTreeSet<u16>,
    pushed: u64,
    last: Option<u16>,
    given: u64,
}

impl Checks {
    fn drain(&mut self, reorder: &mut Reorder) {
        while let Some(ordered) = reorder.poll() {
            let sequence = ordered.packet.header.sequence;
            self.given += 1;
            assert!(self.seen.contains(&sequence), "what never came");
            let follows =
                self.last.is_none_or(|last| u32::from(sequence.wrapping_sub(last)) == ordered.lost % 65_536 + 1);
            assert!(follows || ordered.restarts, "{sequence} behind {:?} with {} lost", self.last, ordered.lost);
            self.last = Some(sequence);
        }
        assert!(self.given <= self.pushed, "once");
    }
}
