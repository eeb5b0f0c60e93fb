//! `esds`: the elementary stream descriptor (ISO/IEC 14496-1 §7.2.6.5), read.

use bytes::Bytes;

use crate::PackError;

/// Tags of descriptors (§7.2.2.1).
const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const DECODER_SPECIFIC_INFO: u8 = 5;

/// What an `esds` says about the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DecoderConfig {
    /// `objectTypeIndication`.
    pub object: u8,
    /// `DecoderSpecificInfo`: the AudioSpecificConfig of AAC; empty when there is none.
    pub specific: Bytes,
}

/// Reads the body of an `esds` box behind version and flags.
///
/// Descriptors nest three deep, in one order: no recursion. What follows in each of them is passed over.
pub(super) fn parse_esds(body: &Bytes) -> Result<DecoderConfig, PackError> {
    let mut at = Descriptors { bytes: body, offset: 0, end: body.len() };
    at.enter(ES_DESCRIPTOR, "ES_Descriptor")?;
    at.skip(2, "ES_ID")?;
    let flags = at.u8("ES_Descriptor flags")?;
    if flags & 0x80 != 0 {
        at.skip(2, "dependsOn_ES_ID")?;
    }
    if flags & 0x40 != 0 {
        let length = at.u8("URLlength")?;
        at.skip(usize::from(length), "URLstring")?;
    }
    if flags & 0x20 != 0 {
        at.skip(2, "OCR_ES_Id")?;
    }
    at.enter(DECODER_CONFIG, "DecoderConfigDescriptor")?;
    let object = at.u8("objectTypeIndication")?;
    at.skip(12, "DecoderConfigDescriptor")?;
    let specific = match at.enter(DECODER_SPECIFIC_INFO, "DecoderSpecificInfo") {
        Ok(()) => body.slice(at.offset..at.end),
        // None is what MP3 has.
        Err(_) => Bytes::new(),
    };
    Ok(DecoderConfig { object, specific })
}

/// A position in nested descriptors, and where the innermost one ends.
struct Descriptors<'a> {
    bytes: &'a [u8],
    offset: usize,
    end: usize,
}

impl Descriptors<'_> {
    /// Goes to the body of the next descriptor with that tag, over others.
    fn enter(&mut self, wanted: u8, what: &'static str) -> Result<(), PackError> {
        loop {
            let tag = self.u8(what)?;
            let length = self.length(what)?;
            let end = self.offset.saturating_add(length);
            // Some writers count too much into the outer lengths: what is there is what counts.
            if tag == wanted {
                self.end = end.min(self.end);
                return Ok(());
            }
            if end > self.end {
                return Err(self.malformed(what));
            }
            self.offset = end;
        }
    }

    /// `sizeOfInstance`: up to four bytes of seven bits.
    fn length(&mut self, what: &'static str) -> Result<usize, PackError> {
        let mut length = 0;
        for _ in 0..4 {
            let byte = self.u8(what)?;
            length = length << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
        Err(self.malformed(what))
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, PackError> {
        let byte = self.bytes.get(self.offset..self.end).and_then(|rest| rest.first().copied());
        let byte = byte.ok_or_else(|| self.malformed(what))?;
        self.offset += 1;
        Ok(byte)
    }

    fn skip(&mut self, count: usize, what: &'static str) -> Result<(), PackError> {
        if count > self.end.saturating_sub(self.offset) {
            return Err(self.malformed(what));
        }
        self.offset += count;
        Ok(())
    }

    fn malformed(&self, what: &'static str) -> PackError {
        PackError::Malformed { what, offset: self.offset }
    }
}
