//! Lists of lost packets as they stand in a NAK (SRT Appendix A).

/// The first bit of a word: a range begins here, and its end is the next word.
const RANGE: u32 = 1 << 31;

/// A loss list that a peer sent, read as it is walked: it cannot claim more than its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LossReport<'a> {
    pub(in crate::srt) bytes: &'a [u8],
}

impl LossReport<'_> {
    /// First and last sequence number of each run, 31 bits each, as the peer wrote them: not checked in any way.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut words =
            self.bytes.chunks_exact(4).map(|word| word.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)));
        std::iter::from_fn(move || {
            let first: u32 = words.next()?;
            if first & RANGE == 0 {
                return Some((first, first));
            }
            // A range without an end is cut off: nothing is known of it.
            Some((first & !RANGE, words.next()? & !RANGE))
        })
    }
}

/// Appends one run, as one word or two.
pub(crate) fn write_run(first: u32, last: u32, out: &mut Vec<u8>) {
    if first == last {
        out.extend_from_slice(&first.to_be_bytes());
    } else {
        out.extend_from_slice(&(first | RANGE).to_be_bytes());
        out.extend_from_slice(&last.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let runs = [(5, 5), (7, 9), (0x7fff_ffff, 0), (12, 13)];
        let mut bytes = Vec::new();
        runs.iter().for_each(|(first, last)| write_run(*first, *last, &mut bytes));
        assert_eq!(LossReport { bytes: &bytes }.runs().collect::<Vec<_>>(), runs);
        assert_eq!(bytes.len(), 28);
    }

    #[test]
    fn a_range_without_its_end_is_nothing() {
        let bytes = [0, 0, 0, 1, 0x80, 0, 0, 2, 0, 0];
        assert_eq!(LossReport { bytes: &bytes }.runs().collect::<Vec<_>>(), [(1, 1)]);
    }
}
