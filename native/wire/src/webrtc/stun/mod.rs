//! Messages of STUN (RFC 8489 §5, §14), read in one place: [`Check`] answers those of a peer, [`super::demux`] tells whose they are,
//! [`super::discover`] asks servers where our port is seen.

mod check;

use arcly_codec::cursor::Cursor;

pub use self::check::Check;
#[cfg(test)]
pub(in crate::webrtc) use self::check::request;

pub(super) const HEADER_BYTES: usize = 20;
pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

pub(super) const BINDING_REQUEST: u16 = 0x0001;
pub(super) const BINDING_SUCCESS: u16 = 0x0101;

pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;

/// Attributes of a message that are looked at; real ones have at most ten.
const ATTRIBUTES_MAX: usize = 32;

/// The number of a request, which its answer has too.
pub type Transaction = [u8; 12];

/// A message that is as long as it says. Nothing else of it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub(super) kind: u16,
    /// Its number.
    pub(super) transaction: Transaction,
    datagram: &'a [u8],
}

/// What a message says, piece by piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    fields: Cursor<'a>,
    left: usize,
}

/// One piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) kind: u16,
    pub(super) value: &'a [u8],
    /// Where it begins in the datagram.
    begin: usize,
}

impl<'a> Message<'a> {
    /// Reads the header; `None` for what is no message of STUN.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut fields = Cursor::new(datagram);
        let (kind, bytes, cookie) = (fields.u16()?, usize::from(fields.u16()?), fields.array()?);
        let transaction = fields.array()?;
        // RFC 8489 §5: the length is a multiple of 4 and does not count the header.
        let is_whole = bytes == fields.rest().len() && bytes.is_multiple_of(4);
        (cookie == COOKIE && is_whole).then_some(Self { kind, transaction, datagram })
    }

    /// Of a request: our user name fragment, the part of USERNAME before the colon (RFC 8445 §7.2.2).
    pub fn ours(&self) -> Option<&'a str> {
        let name = self.attributes().find(|attribute| attribute.kind == USERNAME)?;
        std::str::from_utf8(name.value).ok()?.split_once(':').map(|(ours, _)| ours)
    }

    /// Whether it asks for an answer.
    pub fn is_request(&self) -> bool {
        self.kind == BINDING_REQUEST
    }

    pub(super) fn attributes(&self) -> Attributes<'a> {
        let mut fields = Cursor::new(self.datagram);
        fields.take(HEADER_BYTES);
        Attributes { fields, left: ATTRIBUTES_MAX }
    }
}

impl Attributes<'_> {
    /// Whether nothing is left that could not be read.
    fn is_at_end(&self) -> bool {
        self.fields.is_empty()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut fields = self.fields;
        let begin = fields.offset();
        let (kind, bytes) = (fields.u16()?, usize::from(fields.u16()?));
        let value = fields.take(bytes)?;
        // RFC 8489 §14: values are padded to 32 bits.
        fields.take(bytes.next_multiple_of(4) - bytes)?;
        self.fields = fields;
        Some(Attribute { kind, value, begin })
    }
}
