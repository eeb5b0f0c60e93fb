//! The control header in front of each Opus packet in MPEG-TS (`opus_control_header()` of "Opus in MPEG-2 Transport
//! Streams", which the registration descriptor `Opus` announces).

use bytes::BufMut;

use crate::CodecError;

/// Bytes of `au_size` that are read. A packet of 255 streams and 120 ms has less than 76 500 bytes, which is what these say.
const MAX_SIZE_BYTES: usize = 300;

/// Longest control header that is read: flags, size, two trims, and an extension of 255 bytes behind its length.
pub const MAX_CONTROL_HEADER_BYTES: usize = 2 + MAX_SIZE_BYTES + 4 + 256;

/// `control_header_prefix`: eleven bits.
const PREFIX: u16 = 0x3ff << 5;
const START_TRIM: u16 = 1 << 4;
const END_TRIM: u16 = 1 << 3;
const EXTENSION: u16 = 1 << 2;
/// Trims have 13 bits.
const MAX_TRIM: u16 = 0x1fff;

/// What a control header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControlHeader {
    /// Bytes of the header: the packet begins here.
    pub header_bytes: usize,
    /// Bytes of the packet behind it.
    pub payload_bytes: usize,
    /// Samples at 48 kHz to drop from the beginning of the decoded packet.
    pub start_trim: u16,
    /// Samples at 48 kHz to drop from its end.
    pub end_trim: u16,
}

impl ControlHeader {
    /// Reads the header at the beginning of `bytes`, which need not hold the packet.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when this is no whole header; [`CodecError::LimitExceeded`] beyond
    /// [`MAX_CONTROL_HEADER_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut fields = Fields { bytes, offset: 0 };
        let flags = fields.u16("control_header_prefix")?;
        if flags & 0xffe0 != PREFIX {
            return Err(CodecError::Malformed { what: "control_header_prefix", offset: 0 });
        }
        let payload_bytes = fields.size()?;
        let start_trim = if flags & START_TRIM != 0 { fields.u16("start_trim")? & MAX_TRIM } else { 0 };
        let end_trim = if flags & END_TRIM != 0 { fields.u16("end_trim")? & MAX_TRIM } else { 0 };
        if flags & EXTENSION != 0 {
            let extension_bytes = usize::from(fields.u8("control_extension_length")?);
            fields.skip(extension_bytes, "control_extension")?;
        }
        Ok(Self { header_bytes: fields.offset, payload_bytes, start_trim, end_trim })
    }

    /// Writes the header of a packet of `payload_bytes`. Trims are cut to the 13 bits that they have.
    pub fn write(into: &mut impl BufMut, payload_bytes: usize, start_trim: u16, end_trim: u16) {
        let flag = |trim, flag| if trim > 0 { flag } else { 0 };
        into.put_u16(PREFIX | flag(start_trim, START_TRIM) | flag(end_trim, END_TRIM));
        into.put_bytes(0xff, payload_bytes / 255);
        into.put_u8((payload_bytes % 255) as u8);
        for trim in [start_trim, end_trim].into_iter().filter(|&trim| trim > 0) {
            into.put_u16(trim.min(MAX_TRIM));
        }
    }

    /// Bytes that [`Self::write`] writes without trims.
    pub fn bytes_for(payload_bytes: usize) -> usize {
        2 + payload_bytes / 255 + 1
    }
}

struct Fields<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Fields<'_> {
    fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(self.offset).ok_or(CodecError::Malformed { what, offset: self.offset })?;
        self.offset += 1;
        Ok(byte)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, CodecError> {
        Ok(u16::from_be_bytes([self.u8(what)?, self.u8(what)?]))
    }

    fn skip(&mut self, bytes: usize, what: &'static str) -> Result<(), CodecError> {
        let end = self.offset.checked_add(bytes).filter(|&end| end <= self.bytes.len());
        self.offset = end.ok_or(CodecError::Malformed { what, offset: self.offset })?;
        Ok(())
    }

    /// `au_size`: the sum of bytes up to and with the first that is not 255.
    fn size(&mut self) -> Result<usize, CodecError> {
        let mut size = 0;
        loop {
            let byte = self.u8("au_size")?;
            size += usize::from(byte);
            if byte != 0xff {
                return Ok(size);
            }
            // The two bytes in front are not of the size.
            let seen = self.offset - 1;
            if seen > MAX_SIZE_BYTES {
                return Err(CodecError::LimitExceeded { limit: "bytes of au_size", max: MAX_SIZE_BYTES, seen });
            }
        }
    }
}
