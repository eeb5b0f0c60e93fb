//! Sets of numbers as runs: what is lost costs by the number of gaps, never by their length.

use std::collections::BTreeMap;

/// Numbers, as first and last of each run. All operations are logarithmic in the number of runs, but for what they take away.
#[derive(Debug, Default)]
pub(super) struct RangeSet {
    runs: BTreeMap<u64, u64>,
    count: u64,
}

impl RangeSet {
    /// Adds `first..=last`; how many are new.
    pub(super) fn insert(&mut self, first: u64, last: u64) -> u64 {
        if last < first {
            return 0;
        }
        let before = self.count;
        let (mut first, mut last) = (first, last);
        // Every run that overlaps or touches becomes part of the new one.
        while let Some((start, end)) =
            self.up_to(last.saturating_add(1)).filter(|(_, end)| end.saturating_add(1) >= first)
        {
            self.runs.remove(&start);
            self.count -= end - start + 1;
            (first, last) = (first.min(start), last.max(end));
        }
        self.runs.insert(first, last);
        self.count += last - first + 1;
        self.count - before
    }

    /// Takes one away; whether it was there.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some((start, end)) = self.containing(number) else { return false };
        self.runs.remove(&start);
        if start < number {
            self.runs.insert(start, number - 1);
        }
        if number < end {
            self.runs.insert(number + 1, end);
        }
        self.count -= 1;
        true
    }

    /// Takes all below `bound` away; how many those were.
    pub(super) fn remove_below(&mut self, bound: u64) -> u64 {
        let before = self.count;
        while let Some((start, end)) = self.first().filter(|(start, _)| *start < bound) {
            self.runs.remove(&start);
            self.count -= end - start + 1;
            if end >= bound {
                self.runs.insert(bound, end);
                self.count += end - bound + 1;
            }
        }
        before - self.count
    }

    /// The lowest run.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.runs.first_key_value().map(|(start, end)| (*start, *end))
    }

    /// All runs, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.runs.iter().map(|(start, end)| (*start, *end))
    }

    /// Numbers in it.
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn containing(&self, number: u64) -> Option<(u64, u64)> {
        self.up_to(number).filter(|(_, end)| *end >= number)
    }

    /// The last run that begins at `number` or before it.
    fn up_to(&self, number: u64) -> Option<(u64, u64)> {
        self.runs.range(..=number).next_back().map(|(start, end)| (*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every operation against a plain set, over pseudo-random numbers.
    #[test]
    fn it_is_a_set() {
        let (mut set, mut plain, mut seed) = (RangeSet::default(), BTreeSet::new(), 1_u64);
        let mut random = move |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % bound
        };
        for _ in 0..20_000 {
            let (first, length) = (random(200), random(8));
            match random(8) {
                0..4 => {
                    let new = (first..=first + length).filter(|number| plain.insert(*number)).count();
                    assert_eq!(set.insert(first, first + length), new as u64);
                }
                4..7 => assert_eq!(set.remove(first), plain.remove(&first)),
                _ => {
                    let bound = first / 8;
                    let before = plain.len();
                    plain.retain(|number| *number >= bound);
                    assert_eq!(set.remove_below(bound), (before - plain.len()) as u64);
                }
            }
            assert_eq!(set.len(), plain.len() as u64);
        }
        let numbers: Vec<_> = set.iter().flat_map(|(first, last)| first..=last).collect();
        assert_eq!(numbers, plain.into_iter().collect::<Vec<_>>());
        assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.1 + 1 < b.0), "runs do not touch");
    }

    #[test]
    fn a_run_of_a_billion_costs_one_entry() {
        let mut set = RangeSet::default();
        assert_eq!(set.insert(0, 1 << 30), (1 << 30) + 1);
        assert!(set.remove(5) && set.insert(9, 3) == 0);
        assert_eq!(set.runs.len(), 2);
        assert_eq!(set.remove_below(1 << 29), (1 << 29) - 1);
        assert!(!set.is_empty());
    }
}
