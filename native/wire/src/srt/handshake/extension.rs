//! Extensions of a conclusion (SRT §3.2.1.1-3.2.1.4).

use super::{Membership, field};
use crate::srt::{SrtError, packet::word};

/// Extension types (SRT §3.2.1, table 5).
mod kind {
    pub const HS_REQUEST: u16 = 1;
    pub const HS_RESPONSE: u16 = 2;
    pub const KM_REQUEST: u16 = 3;
    pub const KM_RESPONSE: u16 = 4;
    pub const STREAM_ID: u16 = 5;
    pub const CONGESTION: u16 = 6;
    pub const GROUP: u16 = 8;
}

/// Bits of [`HsMessage::flags`] (SRT §3.2.1.1.1).
pub mod flags {
    /// Data that is sent has the times of its origin.
    pub const TSBPD_SEND: u32 = 0x01;
    /// Data that is received is delivered by these times.
    pub const TSBPD_RECEIVE: u32 = 0x02;
    /// KK is understood.
    pub const CRYPT: u32 = 0x04;
    /// What is too late is dropped.
    pub const TOO_LATE_DROP: u32 = 0x08;
    /// Losses are reported again and again.
    pub const PERIODIC_NAK: u32 = 0x10;
    /// R is understood.
    pub const REXMIT: u32 = 0x20;
    /// A stream of bytes without messages: file mode.
    pub const STREAM: u32 = 0x40;
    /// Packet filters are understood.
    pub const PACKET_FILTER: u32 = 0x80;
}

/// Bytes of a stream id (SRT §3.2.1.3).
pub(in crate::srt) const STREAM_ID_BYTES_MAX: usize = 512;

/// The Handshake Extension Message (SRT §3.2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HsMessage {
    /// `major << 16 | minor << 8 | patch`.
    pub version: u32,
    /// See [`flags`].
    pub flags: u32,
    /// The delay with which its sender delivers what it receives, in milliseconds.
    pub receive_delay_ms: u16,
    /// The delay with which what it sends is to be delivered at least.
    pub send_delay_ms: u16,
}

/// All that we know of. What we do not is skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// HSREQ.
    pub request: Option<HsMessage>,
    /// HSRSP.
    pub response: Option<HsMessage>,
    /// KMREQ.
    pub key_request: Option<Vec<u8>>,
    /// KMRSP: the key material again, or one word that says why not.
    pub key_response: Option<Vec<u8>>,
    /// SID: text, in UTF-8 where the peer obeys.
    pub stream_id: Option<Vec<u8>>,
    /// CONGESTION: `live` or `file`; `live` where it is missing.
    pub congestion: Option<Vec<u8>>,
    /// GROUP: what the connection is a member of.
    pub group: Option<Membership>,
}

impl Extensions {
    /// Reads what follows a handshake. A type that is unknown is skipped; one that comes twice is an error, because two readers would
    /// disagree on which counts.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, SrtError> {
        let (mut found, whole) = (Self::default(), bytes.len());
        while !bytes.is_empty() {
            let offset = whole - bytes.len();
            let cut_off = || SrtError::malformed("handshake extension", offset);
            let head = word(bytes, 0).ok_or_else(cut_off)?;
            let end = 4 + usize::from(head as u16) * 4;
            let contents = bytes.get(4..end).ok_or_else(cut_off)?;
            found.take((head >> 16) as u16, contents, offset)?;
            bytes = bytes.get(end..).unwrap_or_default();
        }
        Ok(found)
    }

    fn take(&mut self, extension: u16, contents: &[u8], offset: usize) -> Result<(), SrtError> {
        let is_new = match extension {
            kind::HS_REQUEST => self.request.replace(HsMessage::parse(contents, offset)?).is_none(),
            kind::HS_RESPONSE => self.response.replace(HsMessage::parse(contents, offset)?).is_none(),
            kind::KM_REQUEST => self.key_request.replace(contents.to_vec()).is_none(),
            kind::KM_RESPONSE => self.key_response.replace(contents.to_vec()).is_none(),
            kind::STREAM_ID if contents.len() > STREAM_ID_BYTES_MAX => {
                return Err(SrtError::malformed("stream id", offset));
            }
            kind::STREAM_ID => self.stream_id.replace(text(contents)).is_none(),
            kind::CONGESTION => self.congestion.replace(text(contents)).is_none(),
            kind::GROUP => self.group.replace(Membership::parse(contents, offset)?).is_none(),
            _ => true,
        };
        if is_new { Ok(()) } else { Err(SrtError::malformed("handshake extension that comes twice", offset)) }
    }

    /// The flags that say which there are.
    pub(super) fn field(&self) -> u16 {
        let flag = |is_there, flag| if is_there { flag } else { 0 };
        flag(self.request.is_some() || self.response.is_some(), field::HS)
            | flag(self.key_request.is_some() || self.key_response.is_some(), field::KM)
            | flag(self.stream_id.is_some() || self.congestion.is_some() || self.group.is_some(), field::CONFIG)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let messages = [(kind::HS_REQUEST, self.request), (kind::HS_RESPONSE, self.response)];
        for (extension, message) in messages {
            if let Some(message) = message {
                put(extension, &message.to_bytes(), out);
            }
        }
        let keys = [(kind::KM_REQUEST, &self.key_request), (kind::KM_RESPONSE, &self.key_response)];
        for (extension, key) in keys {
            if let Some(key) = key {
                put(extension, key, out);
            }
        }
        for (extension, words) in [(kind::STREAM_ID, &self.stream_id), (kind::CONGESTION, &self.congestion)] {
            if let Some(words) = words {
                put(extension, &turned(words), out);
            }
        }
        if let Some(group) = self.group {
            put(kind::GROUP, &group.to_bytes(), out);
        }
    }
}

fn put(extension: u16, contents: &[u8], out: &mut Vec<u8>) {
    let padding = contents.len().next_multiple_of(4) - contents.len();
    out.extend_from_slice(&extension.to_be_bytes());
    out.extend_from_slice(&((contents.len() + padding) as u16 / 4).to_be_bytes());
    out.extend_from_slice(contents);
    out.extend(std::iter::repeat_n(0, padding));
}

/// Text is stored as little-endian words (SRT §3.2.1.3), and filled up with zeros.
fn text(contents: &[u8]) -> Vec<u8> {
    let mut text = turned(contents);
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    text.truncate(end);
    text
}

/// Each word's bytes the other way round, the last one filled up.
fn turned(bytes: &[u8]) -> Vec<u8> {
    let whole = bytes.len().next_multiple_of(4);
    let mut words = bytes.to_vec();
    words.resize(whole, 0);
    words.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    words
}

impl HsMessage {
    /// Three words; more are of a future version.
    fn parse(contents: &[u8], offset: usize) -> Result<Self, SrtError> {
        let fields = word(contents, 0).zip(word(contents, 4)).zip(word(contents, 8));
        let ((version, flags), delays) =
            fields.ok_or_else(|| SrtError::malformed("handshake extension message", offset))?;
        Ok(Self { version, flags, receive_delay_ms: (delays >> 16) as u16, send_delay_ms: delays as u16 })
    }

    fn to_bytes(self) -> Vec<u8> {
        let delays = u32::from(self.receive_delay_ms) << 16 | u32::from(self.send_delay_ms);
        [self.version, self.flags, delays].into_iter().flat_map(u32::to_be_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::GroupKind, *};

    fn whole() -> Extensions {
        let message = HsMessage { version: 0x0001_0501, flags: 0x3f, receive_delay_ms: 120, send_delay_ms: 0 };
        Extensions {
            request: Some(message),
            response: None,
            key_request: Some(vec![1, 2, 3, 4]),
            key_response: None,
            stream_id: Some(b"publish:live/cam".to_vec()),
            congestion: Some(b"live".to_vec()),
            group: Some(Membership { id: 0x4000_0009, kind: GroupKind::Backup, flags: 0, weight: 3 }),
        }
    }

    fn written(extensions: &Extensions) -> Vec<u8> {
        let mut bytes = Vec::new();
        extensions.write(&mut bytes);
        bytes
    }

    #[test]
    fn extensions_are_read_as_they_were_written() {
        assert_eq!(Extensions::parse(&written(&whole())).unwrap(), whole());
        assert_eq!(whole().field(), 7);
    }

    #[test]
    fn text_is_stored_in_little_endian_words() {
        let extensions = Extensions { stream_id: Some(b"abcde".to_vec()), ..Extensions::default() };
        assert_eq!(written(&extensions), *b"\0\x05\0\x02dcba\0\0\0e");
        assert_eq!(Extensions::parse(b"\0\x05\0\x02dcba\0\0\0e").unwrap(), extensions);
    }

    #[test]
    fn extensions_of_unknown_type_are_skipped() {
        let bytes = [&[0, 99, 0, 1, 1, 2, 3, 4, 0, 7, 0, 1, 0, 0, 0, 1][..], &written(&whole())].concat();
        assert_eq!(Extensions::parse(&bytes).unwrap(), whole());
    }

    #[test]
    fn extensions_that_are_cut_off_or_come_twice_are_malformed() {
        let bytes = written(&whole());
        let ends = [0, 16, 24, 44, 52, 64];
        for length in 0..=bytes.len() {
            assert_eq!(Extensions::parse(&bytes[..length]).is_ok(), ends.contains(&length), "{length}");
        }
        assert!(Extensions::parse(&bytes.repeat(2)).is_err());
        let long = [&[0, 5, 0, 129][..], &[b'a'; 516]].concat();
        assert!(Extensions::parse(&long).is_err());
    }
}
