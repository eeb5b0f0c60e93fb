//! Breaking valid bytes.

use std::ops::Range;

use crate::random::Random;

/// No input is longer: what a parser does with a kilobyte it does with a megabyte, slower.
pub const MAX_INPUT_BYTES: usize = 64 << 10;
/// Values at the edges of what fields can say.
const EDGES: [u64; 10] = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0xff_ffff, 0x7fff_ffff];

/// An edit that knows what the bytes mean, and leaves what it does not break readable.
pub type Edit = fn(&mut Random, &mut Vec<u8>);

/// Bytes for a target, and where a socket would have cut them.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    /// All of them.
    pub bytes: Vec<u8>,
    cuts: Vec<usize>,
}

impl Input {
    /// Bytes in one piece.
    pub fn whole(bytes: Vec<u8>) -> Self {
        Self { bytes, cuts: Vec::new() }
    }

    /// What a coverage-guided fuzzer came up with: the last byte says how many bytes a piece has, 0 for all in one.
    pub fn guided(data: &[u8]) -> Self {
        let Some((&step, bytes)) = data.split_last() else { return Self::whole(Vec::new()) };
        let cuts = if step == 0 { Vec::new() } else { positions(usize::from(step), bytes.len()) };
        Self { bytes: bytes.to_vec(), cuts }
    }

    /// The pieces in order; none is empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain(std::iter::once(self.bytes.len()));
        begins.zip(ends).filter_map(|(begin, end)| self.bytes.get(begin..end)).filter(|piece| !piece.is_empty())
    }
}

/// Input `number` of `seed`: one of the vectors, edited one to eight times, cut at random. Half of the edits are those of
/// the target, if it has any.
pub fn make_input(vectors: &[Vec<u8>], own: Option<Edit>, seed: u64, number: u64) -> Input {
    let mut random = Random::new(seed, number);
    // The shortest of three: a long vector takes the time of many short ones, and every parser gets to its end in a short one.
    let three: [_; 3] = std::array::from_fn(|_| random.pick(vectors));
    let picked = three.into_iter().flatten().min_by_key(|vector| vector.len());
    let mut bytes = picked.cloned().unwrap_or_default();
    // Few edits reach deep, many find strange combinations.
    let edits = random.pick(&[1, 1, 2, 3, 8]).copied().unwrap_or(1);
    for _ in 0..edits {
        match own {
            Some(own) if random.below(2) == 0 => own(&mut random, &mut bytes),
            _ => edit(&mut random, &mut bytes, vectors),
        }
        bytes.truncate(MAX_INPUT_BYTES);
    }
    let cuts = cut(&mut random, bytes.len());
    Input { bytes, cuts }
}

fn edit(random: &mut Random, bytes: &mut Vec<u8>, vectors: &[Vec<u8>]) {
    match random.below(10) {
        0 | 1 => flip_bit(random, bytes),
        2 | 3 => set_byte(random, bytes),
        4 | 5 => set_length_field(random, bytes),
        6 => bytes.truncate(random.below(bytes.len()).max(1)),
        7 => drop(bytes.drain(some_range(random, bytes.len()))),
        8 => repeat(random, bytes),
        _ => splice(random, bytes, vectors),
    }
}

fn flip_bit(random: &mut Random, bytes: &mut [u8]) {
    let at = random.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn set_byte(random: &mut Random, bytes: &mut [u8]) {
    let at = random.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte = if random.below(2) == 0 { edge(random) as u8 } else { random.next() as u8 };
    }
}

/// Writes an edge, or what was there give or take a little, as a big-endian field of 2 to 4 bytes.
fn set_length_field(random: &mut Random, bytes: &mut [u8]) {
    let (at, width) = (random.below(bytes.len()), 2 + random.below(3));
    let Some(field) = at.checked_add(width).and_then(|end| bytes.get_mut(at..end)) else { return };
    let present = field.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let value = match random.below(3) {
        0 => edge(random),
        1 => present.wrapping_add(1 + random.next() % 4),
        _ => present.wrapping_sub(1 + random.next() % 4),
    };
    for (byte, new) in field.iter_mut().rev().zip(value.to_le_bytes()) {
        *byte = new;
    }
}

/// Doubles a piece in place, up to 64 times: the input for loops and limits.
fn repeat(random: &mut Random, bytes: &mut Vec<u8>) {
    let range = some_range(random, bytes.len());
    let piece = bytes.get(range.clone()).unwrap_or_default().repeat(1 << random.below(7));
    bytes.splice(range.end..range.end, piece);
}

/// Puts a piece of any vector in the place of a piece of this one.
fn splice(random: &mut Random, bytes: &mut Vec<u8>, vectors: &[Vec<u8>]) {
    let Some(other) = random.pick(vectors) else { return };
    let piece = other.get(some_range(random, other.len())).unwrap_or_default().to_vec();
    bytes.splice(some_range(random, bytes.len()), piece);
}

/// A range within `length`, usually short.
fn some_range(random: &mut Random, length: usize) -> Range<usize> {
    let begin = random.below(length);
    let longest = if random.below(4) == 0 { length } else { 32 };
    let end = begin.saturating_add(random.below(longest)).min(length);
    begin..end
}

/// A value at the edge of what some field can say.
pub fn edge(random: &mut Random) -> u64 {
    random.pick(&EDGES).copied().unwrap_or_default()
}

/// Ascending positions: none, some, or one behind every few bytes.
fn cut(random: &mut Random, length: usize) -> Vec<usize> {
    let step = match random.below(4) {
        0 => return Vec::new(),
        1 => 1 + random.below(4),
        _ => 1 + random.below(length),
    };
    positions(step, length)
}

/// The multiples of `step` within `length`.
fn positions(step: usize, length: usize) -> Vec<usize> {
    (1..).map(|index: usize| index.saturating_mul(step)).take_while(|position| *position < length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Vec<Vec<u8>> {
        vec![(0..=255).collect(), b"short".to_vec(), Vec::new()]
    }

    #[test]
    fn same_seed_and_number_give_the_same_input() {
        for number in 0..1000 {
            assert_eq!(make_input(&vectors(), None, 7, number), make_input(&vectors(), None, 7, number));
        }
    }

    #[test]
    fn inputs_differ_by_number_and_by_seed() {
        let inputs = |seed| (0..1000).map(move |number| make_input(&vectors()[..1], None, seed, number).bytes);
        let distinct: std::collections::HashSet<_> = inputs(1).chain(inputs(2)).collect();
        assert!(distinct.len() > 1900, "{}", distinct.len());
    }

    #[test]
    fn guided_inputs_are_cut_as_their_last_byte_says() {
        let pieces = |data: &[u8]| Input::guided(data).pieces().map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(pieces(&[1, 2, 3, 4, 5, 2]), [2, 2, 1]);
        assert_eq!(pieces(&[1, 2, 3, 0]), [3]);
        assert!(pieces(&[]).is_empty() && pieces(&[7]).is_empty());
    }

    #[test]
    fn pieces_are_the_bytes_in_order() {
        for number in 0..2000 {
            let input = make_input(&vectors(), None, 3, number);
            assert_eq!(input.pieces().collect::<Vec<_>>().concat(), input.bytes, "{number}");
            assert!(input.bytes.len() <= MAX_INPUT_BYTES);
        }
    }
}
