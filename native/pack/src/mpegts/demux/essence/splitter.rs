//! Access units that do not begin and end where PES packets do: several in one, or one over many.

use std::collections::VecDeque;

use arcly_codec::nal::AccessUnits;
use bytes::Bytes;

use super::Unit;
use crate::mpegts::demux::timeline::Times;

/// Bytes of an access unit, as of a PES packet.
pub(super) const MAX_UNIT_BYTES: usize = 16 << 20;
/// Beginnings of PES packets that are kept for one access unit. Stops a picture in PES packets of a byte.
const MAX_MARKS: usize = 4_096;

/// Cuts PES packets into access units. Holds less than one, which ends where the next one begins.
#[derive(Debug)]
pub(super) struct Splitter {
    units: AccessUnits,
    pushed_bytes: u64,
    /// Where PES packets begin, and their times.
    marks: VecDeque<(u64, Option<Times>)>,
}

impl Splitter {
    pub(super) fn new(access_units: fn(usize) -> AccessUnits) -> Self {
        Self { units: access_units(MAX_UNIT_BYTES), pushed_bytes: 0, marks: VecDeque::new() }
    }

    /// Takes the next PES packet; then [`Self::poll`] until it gives nothing.
    pub(super) fn push(&mut self, unit: &Unit) {
        if self.marks.len() == MAX_MARKS {
            self.marks.remove(1);
        }
        self.marks.push_back((self.pushed_bytes, unit.times));
        self.units.push(&unit.content);
        self.pushed_bytes += unit.content.len() as u64;
    }

    /// Nothing more comes: what is there is whole.
    pub(super) fn finish(&mut self) {
        self.units.finish();
    }

    /// The next access unit with its times; `Err` for one that was too long.
    pub(super) fn poll(&mut self) -> Option<Result<(Bytes, Option<Times>), ()>> {
        let Ok(unit) = self.units.poll()? else { return Some(Err(())) };
        let times = self.times_at(unit.position);
        Some(Ok((unit.stream, times)))
    }

    /// The times of a PES packet are those of the first access unit that begins in it (§2.4.3.7).
    fn times_at(&mut self, position: u64) -> Option<Times> {
        while self.marks.get(1).is_some_and(|(begin, _)| *begin <= position) {
            self.marks.pop_front();
        }
        self.marks.front_mut().and_then(|(_, times)| times.take())
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.units.buffered_bytes()
    }
}

/// The first NAL unit of a byte stream that begins with one (Annex B), behind any number of zero bytes.
pub(super) fn first_nal(stream: &[u8]) -> Option<&[u8]> {
    let zeros = stream.iter().position(|byte| *byte != 0).filter(|zeros| *zeros >= 2)?;
    stream.get(zeros..)?.strip_prefix(&[1])
}
