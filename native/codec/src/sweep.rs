//! Seeded mutation of vectors, for the tests: what a parser meets on a bad day.

/// An xorshift generator: the same inputs for the same seed, everywhere.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
}

/// Says which input it was, should the parser panic.
struct Replay {
    seed: u64,
    input: Vec<u8>,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: input {:02x?}", self.seed, self.input);
        }
    }
}

/// Calls `parse` with `count` mutations of the vectors.
pub(crate) fn mutations(seed: u64, count: usize, vectors: &[&[u8]], mut parse: impl FnMut(&[u8])) {
    let mut rng = Rng::new(seed);
    for _ in 0..count {
        let vector = vectors[rng.below(vectors.len())];
        let replay = Replay { seed, input: mutated(vector, &mut rng) };
        parse(&replay.input);
    }
}

/// Calls `parse` with every beginning of `vector` but the whole.
pub(crate) fn truncations(vector: &[u8], mut parse: impl FnMut(&[u8])) {
    for length in 0..vector.len() {
        let replay = Replay { seed: length as u64, input: vector[..length].to_vec() };
        parse(&replay.input);
    }
}

fn mutated(vector: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vector.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len().max(1));
        match rng.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), rng.byte()),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.extend_from_within(at.min(bytes.len())..),
            4 if !bytes.is_empty() => bytes[at] = [0, 1, 3, 0x7f, 0x80, 0xff][rng.below(6)],
            5 if !bytes.is_empty() => bytes[at] = rng.byte(),
            _ if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
    bytes
}

/// The bytes of a vector written in hexadecimal.
pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hexadecimal digits"))
        .collect()
}
