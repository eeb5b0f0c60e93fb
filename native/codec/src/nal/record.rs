//! The fields of a decoder configuration record (ISO/IEC 14496-15), and the parameter sets in it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::CodecError;

/// Largest record. One with every parameter set of the largest size would have 18 MB, which a peer could pin for as
/// long as its stream lives; real ones have less than 200 bytes.
pub const MAX_RECORD_BYTES: usize = 65_536;

/// The fields of a record, one after the other.
pub(crate) struct Fields<'a> {
    record: &'a Bytes,
    pub offset: usize,
}

impl<'a> Fields<'a> {
    /// At the beginning of `record`.
    ///
    /// # Errors
    /// [`CodecError::LimitExceeded`] beyond [`MAX_RECORD_BYTES`].
    pub fn new(record: &'a Bytes) -> Result<Self, CodecError> {
        check_record_bytes(record.len())?;
        Ok(Self { record, offset: 0 })
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let field = self.record.get(self.offset..).and_then(|rest| rest.first_chunk());
        let field = *field.ok_or(CodecError::Malformed { what, offset: self.offset })?;
        self.offset += N;
        Ok(field)
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16, CodecError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub fn slice(&mut self, bytes: usize, what: &'static str) -> Result<Bytes, CodecError> {
        let end = self.offset.checked_add(bytes).filter(|&end| end <= self.record.len());
        let end = end.ok_or(CodecError::Malformed { what, offset: self.offset })?;
        let field = self.record.slice(self.offset..end);
        self.offset = end;
        Ok(field)
    }

    /// A NAL unit behind its 16-bit length, and where it begins.
    pub fn nal_unit(&mut self, what: &'static str) -> Result<(usize, Bytes), CodecError> {
        let length = usize::from(self.u16(what)?);
        let offset = self.offset;
        Ok((offset, self.slice(length, what)?))
    }
}

pub(crate) fn check_record_bytes(seen: usize) -> Result<(), CodecError> {
    if seen <= MAX_RECORD_BYTES {
        return Ok(());
    }
    Err(CodecError::LimitExceeded { limit: "bytes of a configuration record", max: MAX_RECORD_BYTES, seen })
}

/// `lengthSizeMinusOne` in the two lowest bits: lengths of 1, 2 or 4 bytes.
pub(crate) fn nal_length_size(minus1: u8, offset: usize) -> Result<u8, CodecError> {
    match (minus1 & 0b11) + 1 {
        3 => Err(CodecError::Malformed { what: "lengthSizeMinusOne", offset }),
        size => Ok(size),
    }
}

/// Whether these can stand in a record: no more than `max`, all of them what their list says, none too long.
pub(crate) fn check_sets(
    sets: &[Bytes],
    is_expected: fn(&[u8]) -> bool,
    max: usize,
    what: &'static str,
) -> Result<(), CodecError> {
    if sets.len() > max {
        return Err(CodecError::LimitExceeded { limit: "parameter sets in a record", max, seen: sets.len() });
    }
    if sets.iter().any(|set| !is_expected(set) || set.len() > usize::from(u16::MAX)) {
        return Err(CodecError::Malformed { what, offset: 0 });
    }
    Ok(())
}

/// Each behind its 16-bit length, which has been checked.
pub(crate) fn put_sets(record: &mut BytesMut, sets: &[Bytes]) {
    for set in sets {
        record.put_u16(u16::try_from(set.len()).unwrap_or(0));
        record.put_slice(set);
    }
}

/// What is new, then the known sets in their order, each replaced by the new one of the same id.
pub(crate) fn merge<Id: PartialEq>(
    known: &[Bytes],
    new: &[Bytes],
    id: fn(&[u8]) -> Result<Id, CodecError>,
) -> Result<Vec<Bytes>, CodecError> {
    let mut merged = known.to_vec();
    let mut added = 0;
    for set in new {
        let set_id = id(set)?;
        // A copy: a slice would keep the access unit alive that it came with.
        let set = Bytes::copy_from_slice(set);
        match merged.iter_mut().find(|known| id(known).is_ok_and(|known_id| known_id == set_id)) {
            Some(known) => *known = set,
            None => {
                merged.insert(added, set);
                added += 1;
            }
        }
    }
    Ok(merged)
}

/// [`merge`] of sequence parameter sets: the first one is taken for that of the pictures, and what they bring is theirs.
pub(crate) fn merge_sps<Id: PartialEq>(
    known: &[Bytes],
    new: &[Bytes],
    id: fn(&[u8]) -> Result<Id, CodecError>,
) -> Result<Vec<Bytes>, CodecError> {
    let mut merged = merge(known, new, id)?;
    let at = new.first().and_then(|first| merged.iter().position(|set| set == first));
    if let Some(front) = at.and_then(|at| merged.get_mut(..=at)) {
        front.rotate_right(1);
    }
    Ok(merged)
}

/// Whether `new` sequence parameter sets are known, and the first of them is that of the pictures already.
pub(crate) fn is_current(known: &[Bytes], new: &[Bytes]) -> bool {
    new.first().is_none_or(|first| known.first() == Some(first)) && all_known(known, new)
}

/// Whether each of `new` is in `known`.
pub(crate) fn all_known(known: &[Bytes], new: &[Bytes]) -> bool {
    new.iter().all(|set| known.contains(set))
}
