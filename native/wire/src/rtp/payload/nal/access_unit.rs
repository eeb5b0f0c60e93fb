//! NAL units and fragments to an access unit.

use arcly_codec::{
    CodecError,
    annex_b::{find_start_code, joined_units},
};
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the length in front of each NAL unit.
const LENGTH_BYTES: usize = 4;
/// Room for an access unit that begins: most pictures of a megabit per second.
const FIRST_BYTES: usize = 16 << 10;

/// The access unit that is being put together: NAL units behind 4-byte lengths.
#[derive(Debug)]
pub(in crate::rtp::payload) struct NalBuffer {
    bytes: BytesMut,
    /// Where the NAL unit of the fragments that come begins, at its length.
    fragmented: Option<usize>,
    /// Whether it is a NAL unit that may stand here.
    is_unit: fn(&[u8]) -> bool,
    /// Whether a NAL unit is the first slice of a picture; `None` for what is no slice.
    is_first_slice: fn(&[u8]) -> Option<bool>,
    /// There is a slice in it: it is a picture, or a part of one.
    has_slice: bool,
    /// There is one that is not the first of its picture, and nothing in front of it.
    begins_within_picture: bool,
    /// Units have come that were several.
    has_joined: bool,
    max_bytes: usize,
}

impl NalBuffer {
    pub(super) fn new(is_unit: fn(&[u8]) -> bool, is_first_slice: fn(&[u8]) -> Option<bool>, max_bytes: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            fragmented: None,
            is_unit,
            is_first_slice,
            has_slice: false,
            begins_within_picture: false,
            has_joined: false,
            max_bytes,
        }
    }

    /// Adds a whole NAL unit.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when fragments in front of it have no end; [`CodecError::LimitExceeded`].
    pub(in crate::rtp::payload) fn push(&mut self, nal: &[u8]) -> Result<(), CodecError> {
        self.check_no_fragments()?;
        if self.is_joined(nal) { self.put_joined(nal) } else { self.put(nal) }
    }

    /// Whether there are start codes in it, which no NAL unit has (H.264 §7.4.1): some cameras (V380, servers of macro-video) send the
    /// parameter sets and the key picture behind them as one. Slices, which are nearly all bytes of a stream, are searched only then.
    fn is_joined(&self, nal: &[u8]) -> bool {
        (self.has_joined || (self.is_first_slice)(nal).is_none()) && find_start_code(nal).is_some()
    }

    fn put_joined(&mut self, nals: &[u8]) -> Result<(), CodecError> {
        self.has_joined = true;
        let is_unit = self.is_unit;
        joined_units(nals).filter(|nal| is_unit(nal)).try_for_each(|nal| self.put(nal))
    }

    fn put(&mut self, nal: &[u8]) -> Result<(), CodecError> {
        if nal.is_empty() {
            return Ok(());
        }
        self.reserve(LENGTH_BYTES + nal.len())?;
        self.bytes.put_u32(nal.len() as u32);
        self.bytes.put_slice(nal);
        self.note((self.is_first_slice)(nal));
        Ok(())
    }

    /// Adds a fragment; `header` is that of the NAL unit, made anew of what each fragment says.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when a fragment is missing; [`CodecError::LimitExceeded`].
    pub(in crate::rtp::payload) fn push_fragment(
        &mut self,
        header: &[u8],
        fragment: &[u8],
        is_first: bool,
        is_last: bool,
    ) -> Result<(), CodecError> {
        if is_first {
            self.check_no_fragments()?;
            self.reserve(LENGTH_BYTES + header.len() + fragment.len())?;
            self.fragmented = Some(self.bytes.len());
            self.bytes.put_u32(0);
            self.bytes.put_slice(header);
        }
        let begin = self.fragmented.ok_or(CodecError::Malformed { what: "fragment without a beginning", offset: 0 })?;
        self.reserve(fragment.len())?;
        self.bytes.put_slice(fragment);
        if is_first {
            // Where the slice begins in its picture stands in its first bytes.
            self.note((self.is_first_slice)(self.bytes.get(begin + LENGTH_BYTES..).unwrap_or_default()));
        }
        if is_last { self.close(begin) } else { Ok(()) }
    }

    /// Writes the length of a NAL unit whose fragments are all there.
    fn close(&mut self, begin: usize) -> Result<(), CodecError> {
        self.fragmented = None;
        let nal = self.bytes.get(begin + LENGTH_BYTES..).unwrap_or_default();
        // Not in each fragment: a start code may be cut.
        if self.is_joined(nal) {
            let nals = self.bytes.split_off(begin + LENGTH_BYTES);
            self.bytes.truncate(begin);
            return self.put_joined(&nals);
        }
        let nal_bytes = nal.len() as u32;
        if let Some(length) = self.bytes.get_mut(begin..begin + LENGTH_BYTES) {
            length.copy_from_slice(&nal_bytes.to_be_bytes());
        }
        Ok(())
    }

    fn note(&mut self, is_first_slice: Option<bool>) {
        self.begins_within_picture |= !self.has_slice && is_first_slice == Some(false);
        self.has_slice |= is_first_slice.is_some();
    }

    /// Whether there is a slice in it.
    pub(super) fn has_slice(&self) -> bool {
        self.has_slice
    }

    /// Whether its first slice is not the first one of its picture: the packets in front of it are missing.
    pub(super) fn begins_within_picture(&self) -> bool {
        self.begins_within_picture
    }

    pub(super) fn has_open_fragments(&self) -> bool {
        self.fragmented.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The access unit; the buffer is empty then.
    pub(super) fn take(&mut self) -> Bytes {
        self.forget();
        self.bytes.split().freeze()
    }

    pub(super) fn clear(&mut self) {
        self.forget();
        self.bytes.clear();
    }

    fn forget(&mut self) {
        (self.fragmented, self.has_slice, self.begins_within_picture) = (None, false, false);
    }

    fn check_no_fragments(&self) -> Result<(), CodecError> {
        if self.fragmented.is_none() {
            return Ok(());
        }
        Err(CodecError::Malformed { what: "fragments without an end", offset: 0 })
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), CodecError> {
        let seen = self.bytes.len() + bytes;
        if seen > self.max_bytes {
            return Err(CodecError::LimitExceeded { limit: "bytes of an access unit", max: self.max_bytes, seen });
        }
        if self.bytes.capacity() < seen {
            self.bytes.reserve(bytes.max(FIRST_BYTES.min(self.max_bytes)).max(self.bytes.len()));
        }
        Ok(())
    }
}
