//! The bytes of an access unit as a transport stream has them, in pieces of what is there already.

/// What stands between NAL units.
pub(super) const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Pieces one behind the other. Some may be empty.
pub(super) struct Pieces<'a> {
    /// The one that comes next, and the one behind it.
    next: [&'a [u8]; 2],
    /// What is behind them: NAL units in the form of the bus, each with a start code in front.
    nals: &'a [u8],
}

impl<'a> Pieces<'a> {
    /// These.
    pub(super) fn of(next: [&'a [u8]; 2]) -> Self {
        Self { next, nals: &[] }
    }

    /// NAL units in the form of the bus with start codes between, behind `prefix`.
    #[inline(always)]
    pub(super) fn of_nals(prefix: &'a [u8], nals: &'a [u8]) -> Self {
        let (first, nals) = next_nal(nals).unwrap_or_default();
        Self { next: [prefix, first], nals }
    }

    /// The next one.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<&'a [u8]> {
        let [piece, behind] = self.next;
        self.next = [behind, &[]];
        if !piece.is_empty() || !behind.is_empty() { Some(piece) } else { self.take_start_code() }
    }

    /// The start code of the NAL unit that then comes next.
    #[cold]
    fn take_start_code(&mut self) -> Option<&'a [u8]> {
        let (nal, nals) = next_nal(self.nals)?;
        *self = Self { next: [nal, &[]], nals };
        Some(&START_CODE)
    }
}

/// Bytes of `nals`, in the form of the bus, with a start code in front of each; `None` when their lengths do not add up.
#[inline(always)]
pub(super) fn annex_b_bytes(mut nals: &[u8]) -> Option<usize> {
    let mut bytes = 0;
    while !nals.is_empty() {
        let (nal, rest) = split_nal(nals)?;
        bytes += if nal.is_empty() { 0 } else { START_CODE.len() + nal.len() };
        nals = rest;
    }
    Some(bytes)
}

/// The first NAL unit that is not empty, and what is behind it.
#[inline(always)]
fn next_nal(mut nals: &[u8]) -> Option<(&[u8], &[u8])> {
    loop {
        let (nal, rest) = split_nal(nals)?;
        if !nal.is_empty() {
            return Some((nal, rest));
        }
        nals = rest;
    }
}

/// The first NAL unit, perhaps empty, and what is behind it.
#[inline(always)]
fn split_nal(nals: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = nals.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
