//! The access units of a byte stream (Annex B) that has no other sign of where one ends: push bytes, get units.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;

use crate::{
    CodecError,
    annex_b::{START_CODE, finder},
};

/// Where a NAL unit stands in its access unit (H.264 §7.4.1.2.3, H.265 §7.4.2.4.4, H.266 §7.4.2.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In front of the slices: behind a slice it begins the next access unit.
    Head,
    /// In front of the slice that follows, and of the same access unit.
    SlicePrefix,
    /// The first slice of a picture: behind a slice it begins the next access unit.
    FirstSlice,
    /// Another slice of the same picture.
    Slice,
    /// With what is in front of it.
    Tail,
}

impl Place {
    /// Whether a slice is the first one of its picture; `None` for what is no slice.
    pub(crate) fn is_first_slice(self) -> Option<bool> {
        match self {
            Self::FirstSlice => Some(true),
            Self::Slice => Some(false),
            _ => None,
        }
    }
}

/// An access unit of a byte stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units behind start codes, the first of which may have a fourth byte.
    pub stream: Bytes,
    /// Bytes that had been pushed in front of it: of which packet its beginning was, and so its time (ISO/IEC 13818-1
    /// §2.4.3.7: a time is that of the first access unit that begins in the packet).
    pub position: u64,
}

/// Cuts a byte stream into access units, however the stream is cut. What stands in front of the first NAL unit that can
/// begin an access unit is passed over. An access unit ends where the next one begins, so the last one takes a
/// [`Self::finish`].
#[derive(Debug, Clone)]
pub struct AccessUnits {
    place: fn(&[u8]) -> Place,
    max_bytes: usize,
    finder: &'static Finder<'static>,
    /// From the beginning of the access unit, or of what may be one.
    buffer: BytesMut,
    /// Bytes in front of `buffer`.
    position: u64,
    /// Bytes of `buffer` in front of the next start code to be looked for.
    scanned: usize,
    /// Nothing has begun an access unit yet, or since one was too long.
    is_outside: bool,
    has_slice: bool,
    /// Where the prefix of the next slice begins.
    slice_prefix: Option<usize>,
    is_finished: bool,
}

/// Bytes of a NAL unit that its [`Place`] is taken from.
const LOOK_BYTES: usize = 3;

impl AccessUnits {
    /// `max_bytes` bounds an access unit, and what is buffered beyond what was last pushed.
    pub(crate) fn new(place: fn(&[u8]) -> Place, max_bytes: usize) -> Self {
        Self {
            place,
            max_bytes,
            finder: finder(),
            buffer: BytesMut::new(),
            position: 0,
            scanned: 0,
            is_outside: true,
            has_slice: false,
            slice_prefix: None,
            is_finished: false,
        }
    }

    /// Takes the next bytes. Then call [`Self::poll`] until it gives `None`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.is_finished = false;
    }

    /// Says that what has been pushed ends an access unit: [`Self::poll`] gives it. More may be pushed later.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Bytes that are held.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next access unit that is whole.
    ///
    /// # Errors
    /// [`CodecError::LimitExceeded`] once for an access unit that is too long; it is dropped, and the next one found.
    pub fn poll(&mut self) -> Option<Result<AccessUnit, CodecError>> {
        while let Some((at, place)) = self.next_start() {
            if let Some(unit) = self.step(at, place) {
                return Some(unit);
            }
        }
        // The byte in front of a start code may be its zero_byte.
        let unseen = self.scanned.saturating_sub(1);
        if self.is_outside {
            self.advance(unseen);
        } else if self.buffer.len() > self.max_bytes {
            return Some(Err(self.drop_long(unseen)));
        }
        if self.is_finished { self.rest().map(Ok) } else { None }
    }

    /// Where the next start code is, and what stands behind it.
    fn next_start(&mut self) -> Option<(usize, Place)> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(at) = self.finder.find(unseen).map(|at| self.scanned + at) else {
            // The first bytes of one may be there.
            self.scanned += unseen.len().saturating_sub(START_CODE.len() - 1);
            return None;
        };
        self.scanned = at;
        let nal = self.buffer.get(at + START_CODE.len()..).unwrap_or_default();
        if nal.len() < LOOK_BYTES && !self.is_finished {
            return None;
        }
        let place = match nal {
            // Another start code, or nothing: no unit.
            [] | [0, 0, ..] => Place::Tail,
            nal => (self.place)(nal.get(..LOOK_BYTES).unwrap_or(nal)),
        };
        self.scanned = at + START_CODE.len();
        Some((at, place))
    }

    /// What the NAL unit behind the start code `at` means.
    fn step(&mut self, at: usize, place: Place) -> Option<Result<AccessUnit, CodecError>> {
        let is_zero = |before: &u8| *before == 0;
        let has_zero_byte = at.checked_sub(1).and_then(|before| self.buffer.get(before)).is_some_and(is_zero);
        let start = at - usize::from(has_zero_byte);
        let begins = matches!(place, Place::Head | Place::FirstSlice);
        if self.is_outside {
            self.is_outside = !begins;
            self.advance(if begins { start } else { at });
            self.has_slice = place == Place::FirstSlice;
            return None;
        }
        if begins && self.has_slice {
            let end = self.slice_prefix.take().unwrap_or(start);
            self.has_slice = place == Place::FirstSlice;
            return Some(if end > self.max_bytes { Err(self.drop_long(start)) } else { Ok(self.cut(end)) });
        }
        match place {
            Place::SlicePrefix => self.slice_prefix = self.slice_prefix.or(Some(start)),
            Place::FirstSlice | Place::Slice => (self.has_slice, self.slice_prefix) = (true, None),
            Place::Head | Place::Tail => {}
        }
        None
    }

    fn cut(&mut self, end: usize) -> AccessUnit {
        let position = self.position;
        self.position += end as u64;
        self.scanned = self.scanned.saturating_sub(end);
        AccessUnit { stream: self.buffer.split_to(end).freeze(), position }
    }

    fn advance(&mut self, bytes: usize) {
        let bytes = bytes.min(self.buffer.len());
        self.buffer.advance(bytes);
        self.position += bytes as u64;
        self.scanned = self.scanned.saturating_sub(bytes);
    }

    /// Drops what is in front of `keep_from`, where the next one is or can be.
    fn drop_long(&mut self, keep_from: usize) -> CodecError {
        let error = CodecError::LimitExceeded {
            limit: "bytes of an access unit",
            max: self.max_bytes,
            seen: self.buffer.len(),
        };
        self.advance(keep_from);
        // Behind the cut the next unit is known to begin; otherwise it has to be found.
        self.scanned = 0;
        self.is_outside = true;
        self.has_slice = false;
        self.slice_prefix = None;
        error
    }

    /// What is left at the end.
    fn rest(&mut self) -> Option<AccessUnit> {
        let is_unit = !self.is_outside && !self.buffer.is_empty();
        let unit = self.cut(self.buffer.len());
        self.scanned = 0;
        self.is_outside = true;
        self.has_slice = false;
        self.slice_prefix = None;
        is_unit.then_some(unit)
    }
}
