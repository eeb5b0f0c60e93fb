//! Where a source is: its sequence numbers without their wraps, and which of them have come.

use super::{SOURCES_MAX, SrtpError};

/// Packets behind the newest that are told apart (RFC 3711 §3.3.2: at least 64).
const WINDOW: u64 = 64;

/// The newest packet of a source, and those shortly before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Index {
    newest: u64,
    /// Bit n: the nth before the newest has come.
    seen: u64,
}

impl Index {
    /// Of a source that begins with this packet.
    pub(super) fn begin(index: u64) -> Self {
        Self { newest: index, seen: 1 }
    }

    /// The index that a sequence number stands for: the one next to the newest (§3.3.1). Nothing lies in front of index 0.
    pub(super) fn guess(self, sequence: u16) -> u64 {
        let distance = i64::from(sequence.wrapping_sub(self.newest as u16) as i16);
        self.newest.checked_add_signed(distance).unwrap_or_else(|| sequence.into())
    }

    /// Whether it may still come.
    pub(super) fn is_new(self, index: u64) -> bool {
        match self.newest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && self.seen >> behind & 1 == 0,
        }
    }

    /// It has come. Only for one that was checked: else anybody could move the window.
    pub(super) fn note(&mut self, index: u64) {
        if let Some(behind) = self.newest.checked_sub(index) {
            self.seen |= 1u64.checked_shl(u32::try_from(behind).unwrap_or(u32::MAX)).unwrap_or(0);
        } else {
            let ahead = index - self.newest;
            self.seen = self.seen.checked_shl(u32::try_from(ahead).unwrap_or(u32::MAX)).unwrap_or(0) | 1;
            self.newest = index;
        }
    }
}

/// The sources under one key.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<(u32, Index)>);

impl Sources {
    /// Where a source is; none of one that nothing is known of.
    pub(super) fn get(&self, ssrc: u32) -> Option<Index> {
        self.0.iter().find(|(known, _)| *known == ssrc).map(|(_, index)| *index)
    }

    /// A packet of a source has come, or is sent. Only for one that was checked, as [`Index::note`].
    pub(super) fn note(&mut self, ssrc: u32, index: u64) -> Result<(), SrtpError> {
        let is_full = self.0.len() == SOURCES_MAX;
        match self.0.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, place)) if !place.is_new(index) => return Err(SrtpError::Replayed),
            Some((_, place)) => place.note(index),
            // Only who has the key comes so far.
            None if is_full => return Err(SrtpError::TooManySources),
            None => self.0.push((ssrc, Index::begin(index))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_over_their_wrap_and_none_counts_twice() {
        let mut index = Index::begin(65_534);
        assert_eq!([index.guess(65_535), index.guess(1), index.guess(65_000)], [65_535, 65_537, 65_000]);
        index.note(65_537);
        assert_eq!(index.guess(65_535), 65_535, "behind the wrap, from in front of it");
        assert!(index.is_new(65_535) && index.is_new(65_536) && index.is_new(70_000));
        assert!(!index.is_new(65_537) && !index.is_new(65_534));
        index.note(65_535);
        assert!(!index.is_new(65_535));
        assert!(!index.is_new(65_537 - 64), "too old to be sure");
        index.note(1 << 40);
        assert!(!index.is_new(65_537));
        assert_eq!([Index::begin(5).guess(65_535), Index::begin(5).guess(40_000)], [65_535, 40_000]);
    }
}
