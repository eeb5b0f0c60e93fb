//! Boxes, read (ISO/IEC 14496-12 §4.2): headers, children, fields. Offsets in errors are those of the file.
//!
//! Containers are walked along fixed paths, so that nothing recurses however deep the input nests.

use bytes::{Buf, Bytes};

use crate::PackError;

/// Size, type, `largesize`.
pub(super) const LARGE_HEADER_BYTES: usize = 16;

/// The header of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BoxHeader {
    pub kind: [u8; 4],
    /// 8, or 16 with a `largesize`.
    pub header_bytes: u64,
    /// All of the box; `None` for one that goes to the end of what it is in.
    pub size: Option<u64>,
}

impl BoxHeader {
    /// The header at the beginning of `bytes`, which stand at `offset`; `None` when it is not whole.
    pub fn parse(bytes: &[u8], offset: u64) -> Result<Option<Self>, PackError> {
        let Some((&[s0, s1, s2, s3, kind @ ..], rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let (header_bytes, size) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => (8, None),
            1 => match rest.first_chunk() {
                Some(large) => (16, Some(u64::from_be_bytes(*large))),
                None => return Ok(None),
            },
            size => (8, Some(u64::from(size))),
        };
        if size.is_some_and(|size| size < header_bytes) {
            return Err(malformed("box size", offset));
        }
        Ok(Some(Self { kind, header_bytes, size }))
    }
}

/// What is in a box, and where that begins in the file.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub bytes: Bytes,
    pub offset: u64,
}

impl Body {
    /// The boxes in it. Fewer than eight bytes behind the last one are passed over: QuickTime ends some lists with a zero.
    pub fn children(&self) -> Children {
        Children { rest: self.clone() }
    }

    /// The first child of that type.
    pub fn find(&self, kind: &[u8; 4]) -> Result<Option<Self>, PackError> {
        for child in self.children() {
            let (found, body) = child?;
            if found == *kind {
                return Ok(Some(body));
            }
        }
        Ok(None)
    }

    /// The first child of that type, which must be there.
    pub fn require(&self, kind: &[u8; 4], what: &'static str) -> Result<Self, PackError> {
        self.find(kind)?.ok_or(malformed(what, self.offset))
    }

    pub fn fields(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, at: 0, offset: self.offset }
    }

    /// What is behind its first `count` bytes.
    pub fn behind(&self, count: usize, what: &'static str) -> Result<Self, PackError> {
        if count > self.bytes.len() {
            return Err(malformed(what, self.offset));
        }
        Ok(Self { bytes: self.bytes.slice(count..), offset: self.offset.saturating_add(count as u64) })
    }

    /// Version, flags, and what is behind them (§4.2).
    pub fn full(&self, what: &'static str) -> Result<(u8, u32, Self), PackError> {
        let word = self.fields().u32(what)?;
        let [version, ..] = word.to_be_bytes();
        Ok((version, word & 0x00ff_ffff, self.behind(4, what)?))
    }

    /// The `entry_count` and the table behind it, of entries of `entry_bytes`, which must all be there.
    pub fn table(&self, entry_bytes: usize, what: &'static str) -> Result<Table, PackError> {
        let count = self.fields().u32(what)?;
        Table::new(self.behind(4, what)?, count, entry_bytes, what)
    }
}

/// Entries of one size.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    bytes: Bytes,
    entry_bytes: usize,
}

impl Table {
    /// The first `count` entries of `body`.
    pub fn new(body: Body, count: u32, entry_bytes: usize, what: &'static str) -> Result<Self, PackError> {
        let bytes = (count as usize).checked_mul(entry_bytes).filter(|&bytes| bytes <= body.bytes.len());
        let bytes = bytes.ok_or(malformed(what, body.offset))?;
        Ok(Self { bytes: body.bytes.slice(..bytes), entry_bytes })
    }

    pub fn len(&self) -> usize {
        self.bytes.len().checked_div(self.entry_bytes).unwrap_or(0)
    }

    /// The 32-bit number at `field` bytes into entry `index`; `None` behind the end.
    pub fn u32(&self, index: usize, field: usize) -> Option<u32> {
        let at = index.checked_mul(self.entry_bytes)?.checked_add(field)?;
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|value| u32::from_be_bytes(*value))
    }

    pub fn u64(&self, index: usize) -> Option<u64> {
        let at = index.checked_mul(self.entry_bytes)?;
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|value| u64::from_be_bytes(*value))
    }

    pub fn u16(&self, index: usize) -> Option<u16> {
        let at = index.checked_mul(self.entry_bytes)?;
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|value| u16::from_be_bytes(*value))
    }

    pub fn u8(&self, index: usize) -> Option<u8> {
        self.bytes.get(index).copied()
    }
}

/// See [`Body::children`].
#[derive(Debug)]
pub(super) struct Children {
    rest: Body,
}

impl Iterator for Children {
    type Item = Result<([u8; 4], Body), PackError>;

    fn next(&mut self) -> Option<Self::Item> {
        // A header that is cut off, too, is what is behind the last box.
        let header = BoxHeader::parse(&self.rest.bytes, self.rest.offset).transpose()?;
        let child = header.and_then(|header| split_first(&mut self.rest, header));
        if child.is_err() {
            self.rest.bytes.clear();
        }
        Some(child)
    }
}

/// Takes the first box from the front.
fn split_first(rest: &mut Body, header: BoxHeader) -> Result<([u8; 4], Body), PackError> {
    let available = rest.bytes.len() as u64;
    let size = header.size.unwrap_or(available);
    if size > available {
        return Err(malformed("box longer than what it is in", rest.offset));
    }
    let mut bytes = rest.bytes.split_to(size as usize);
    bytes.advance(header.header_bytes as usize);
    let body = Body { bytes, offset: rest.offset.saturating_add(header.header_bytes) };
    rest.offset = rest.offset.saturating_add(size);
    Ok((header.kind, body))
}

/// The fields of a box, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    offset: u64,
}

impl Fields<'_> {
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], PackError> {
        let field = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let field = *field.ok_or(malformed(what, self.offset.saturating_add(self.at as u64)))?;
        self.at += N;
        Ok(field)
    }

    pub fn skip(&mut self, count: usize, what: &'static str) -> Result<(), PackError> {
        if count > self.bytes.len().saturating_sub(self.at) {
            return Err(malformed(what, self.offset.saturating_add(self.at as u64)));
        }
        self.at += count;
        Ok(())
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, PackError> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16, PackError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, PackError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, PackError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// 64 bits in version 1, else 32.
    pub fn versioned(&mut self, version: u8, what: &'static str) -> Result<u64, PackError> {
        if version == 1 { self.u64(what) } else { self.u32(what).map(u64::from) }
    }

    /// 32 bits when `flags` has `flag`.
    pub fn optional(&mut self, flags: u32, flag: u32, what: &'static str) -> Result<Option<u32>, PackError> {
        if flags & flag == 0 { Ok(None) } else { self.u32(what).map(Some) }
    }

    /// Bytes up to a zero, which is read too.
    pub fn text(&mut self, what: &'static str) -> Result<&[u8], PackError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == 0);
        let end = end.ok_or(malformed(what, self.offset.saturating_add(self.at as u64)))?;
        self.at += end + 1;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }
}

pub(super) fn malformed(what: &'static str, offset: u64) -> PackError {
    PackError::Malformed { what, offset: usize::try_from(offset).unwrap_or(usize::MAX) }
}
