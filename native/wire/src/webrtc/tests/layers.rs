//! A viewer of a stream in three renditions, over a link whose rate changes.

use super::*;

/// Bits per second of the renditions, pictures alone.
const RATES: [u64; 3] = [2_400_000, 800_000, 250_000];
const PICTURE_MS: u64 = 40;

/// A server that sends what its choice says, for so long; which rendition at the end of each second, and the last estimate.
struct Watched {
    pair: Pair,
    choice: LayerChoice,
    estimate: Option<u64>,
    layers: Vec<usize>,
    pictures: u32,
}

impl Watched {
    fn new(seed: u64) -> Self {
        let options = PlayOptions { estimates: true, ..PlayOptions::default() };
        let mut pair = Pair::playing_with(&[Codec::Vp8], options, seed);
        assert!(pair.connect(), "seed {seed}");
        pair.session.want_bitrate(RATES[0] * 13 / 10).unwrap();
        Self { pair, choice: LayerChoice::new(0), estimate: None, layers: Vec::new(), pictures: 0 }
    }

    fn play(&mut self, seconds: u64) -> Vec<usize> {
        let begun = self.layers.len();
        for _ in 0..seconds {
            for _ in 0..1000 / PICTURE_MS {
                self.picture();
                self.pair.run(PICTURE_MS);
                self.take_estimates();
            }
            self.layers.push(self.choice.current());
        }
        self.layers[begun..].to_vec()
    }

    fn picture(&mut self) {
        let bytes = RATES[self.choice.current()] * PICTURE_MS / 8000;
        let packets = bytes.div_ceil(1100);
        for packet in 1..=packets {
            let outgoing = OutgoingPacket {
                timestamp: self.pictures * PICTURE_MS as u32 * 90,
                marker: packet == packets,
                payload: vec![7; (bytes / packets) as usize].into(),
                wall: self.pair.now,
            };
            self.pair.send(Lane::Video, outgoing).unwrap();
        }
        self.pictures += 1;
    }

    fn take_estimates(&mut self) {
        for event in self.pair.events.drain(..) {
            if let Event::Estimate(estimate) = event {
                self.estimate = Some(estimate);
            }
        }
        let now = self.pair.now;
        if let Some(estimate) = self.estimate {
            self.choice.choose(estimate, &RATES, now);
            if self.choice.doubts(estimate, &RATES, now) {
                self.pair.session.estimate_anew(estimate).unwrap();
            }
        }
    }
}

#[test]
fn under_a_cap_of_500_kbit_the_layer_goes_down_and_comes_back_behind_it() {
    for seed in 1..=seeds(3) {
        let mut watched = Watched::new(seed);
        let free = watched.play(15);
        assert_eq!(free.last(), Some(&0), "seed {seed}: a free path carries the best: {free:?}");
        watched.pair.relink(|links| links.rate_bps = Some(500_000));
        let capped = watched.play(20);
        assert!(capped.iter().position(|layer| *layer == 2).is_some_and(|at| at <= 4), "seed {seed}: {capped:?}");
        assert!(capped[8..].iter().all(|layer| *layer == 2), "seed {seed}: it stays there: {capped:?}");
        assert!(watched.estimate.is_some_and(|estimate| estimate < 800_000), "seed {seed}: {:?}", watched.estimate);
        watched.pair.relink(|links| links.rate_bps = None);
        let freed = watched.play(45);
        assert_eq!(freed.last(), Some(&0), "seed {seed}: {freed:?}, {:?}", watched.estimate);
    }
}

/// Found with Chromium on a busy machine: its reports told of queues where there were none, and the last of them was believed for good.
#[test]
fn after_spells_in_which_the_viewer_seems_late_it_comes_back_to_the_best() {
    for seed in 1..=seeds(4) {
        let mut watched = Watched::new(seed);
        watched.play(10);
        for spell in 0..4 {
            // Datagrams come as through a thin pipe for a moment, and are read by the batch.
            let rate_bps = Some(200_000 + 100_000 * ((seed + spell) % 5));
            watched.pair.relink(|links| *links = LinkConfig { rate_bps, jitter: Duration::from_millis(60), ..*links });
            watched.play(1 + (seed + spell) % 3);
            watched.pair.relink(|links| *links = LinkConfig { rate_bps: None, jitter: Duration::ZERO, ..*links });
            watched.play(2);
        }
        let freed = watched.play(60);
        assert_eq!(freed.last(), Some(&0), "seed {seed}: {freed:?}, {:?}", watched.estimate);
    }
}

#[test]
fn a_burst_at_the_join_is_spread_over_what_the_path_carries() {
    let mut watched = Watched::new(7);
    watched.play(1);
    watched.pair.relink(|links| links.rate_bps = Some(2_500_000));
    let before = watched.pair.client.arrived.len();
    // A GOP of 200 KB at once, through a router that keeps 40 KB.
    for number in 0..180 {
        let payload = vec![7; 1100].into();
        let wall = watched.pair.now;
        let outgoing = OutgoingPacket { timestamp: 90_000 + number, marker: true, payload, wall };
        watched.pair.send(Lane::Video, outgoing).unwrap();
    }
    watched.pair.run(3000);
    let arrived = watched.pair.client.arrived.len() - before;
    assert!(arrived >= 175, "{arrived} of 180 came");
}
