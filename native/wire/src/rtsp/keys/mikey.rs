//! Messages of MIKEY (RFC 3830) that bring one key for SRTP, in the clear: mode "pre-shared key" without a key, as everybody does within TLS.

use arcly_codec::cursor::Cursor;
use aws_lc_rs::rand;

use super::ToldKey;
use crate::srtp::{Key, Suite};

/// Types of payloads (§6.1).
mod payload {
    pub(super) const LAST: u8 = 0;
    pub(super) const KEMAC: u8 = 1;
    pub(super) const T: u8 = 5;
    pub(super) const SP: u8 = 10;
    pub(super) const RAND: u8 = 11;
}

/// Parameters of a policy for SRTP (§6.10.1).
mod parameter {
    pub(super) const ENCRYPTION: u8 = 0;
    pub(super) const KEY_BYTES: u8 = 1;
    pub(super) const AUTHENTICATION: u8 = 2;
    pub(super) const AUTH_KEY_BYTES: u8 = 3;
    pub(super) const SALT_BYTES: u8 = 4;
    pub(super) const RTP_ENCRYPTED: u8 = 7;
    pub(super) const RTCP_ENCRYPTED: u8 = 8;
    pub(super) const RTP_SIGNED: u8 = 10;
    pub(super) const TAG_BYTES: u8 = 11;
    /// Of a transform that encrypts and signs in one (RFC 7714 §14.3).
    pub(super) const AEAD_TAG_BYTES: u8 = 20;
}

/// Transforms (§6.10.1.1, RFC 7714 §14.3): AES in counter mode, with HMAC-SHA1, and in Galois counter mode, with nothing beside it.
const COUNTER: u8 = 1;
const GALOIS: u8 = 6;
const HMAC_SHA1: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;

/// Kinds of keys (§6.13): one that is used as it is, and the same with its salt apart.
const TEK: u8 = 2;
const TEK_AND_SALT: u8 = 3;
/// How long a key is good (§6.13): always, or it has a name.
const NO_VALIDITY: u8 = 0;
const SPI: u8 = 1;
/// Bytes of the random number (§6.11: at least 16).
const RAND_BYTES: usize = 16;
/// Streams that are read of one message.
const STREAMS_MAX: usize = 16;

/// A message that tells a key.
pub(super) fn write(key: &Key, ntp: u64) -> Vec<u8> {
    let mut random = [0; RAND_BYTES + 4];
    // It only keeps messages apart: nothing is derived from it, because the key is used as it is.
    let _ = rand::fill(&mut random);
    let (name, random) = random.split_at(4);
    let suite = key.suite();
    let mut out = vec![1, 0, payload::T, 0];
    out.extend_from_slice(name);
    // One stream, of the policy 0, of any source, whose numbers have not wrapped (§6.1.1).
    out.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&[payload::RAND, 0]);
    out.extend_from_slice(&ntp.to_be_bytes());
    out.extend_from_slice(&[payload::SP, RAND_BYTES as u8]);
    out.extend_from_slice(random);
    let policy = policy(suite);
    out.extend_from_slice(&[payload::KEMAC, 0, 0, 0, 3 * policy.len() as u8]);
    policy.iter().for_each(|(kind, value)| out.extend_from_slice(&[*kind, 1, *value]));
    let both = key.to_bytes();
    let length = both.len() as u8;
    // Key and salt in one, as GStreamer and cameras do; nothing is encrypted, nothing signed.
    out.extend_from_slice(&[payload::LAST, 0, 0, length + 4, payload::LAST, TEK << 4 | NO_VALIDITY, 0, length]);
    out.extend_from_slice(&both);
    out.push(0);
    out
}

/// What a policy says of a suite.
fn policy(suite: Suite) -> Vec<(u8, u8)> {
    let (key, salt, tag) = (suite.key_bytes() as u8, suite.salt_bytes() as u8, suite.tag_bytes() as u8);
    let mut policy = match suite.is_gcm() {
        true => vec![
            (parameter::ENCRYPTION, GALOIS),
            (parameter::KEY_BYTES, key),
            (parameter::AUTHENTICATION, NO_AUTHENTICATION),
            (parameter::SALT_BYTES, salt),
            (parameter::AEAD_TAG_BYTES, tag),
        ],
        // The length of the key of the signature is that of its tag: GStreamer takes it for that, and all others derive 20 bytes whatever
        // stands here.
        false => vec![
            (parameter::ENCRYPTION, COUNTER),
            (parameter::KEY_BYTES, key),
            (parameter::AUTHENTICATION, HMAC_SHA1),
            (parameter::AUTH_KEY_BYTES, tag),
            (parameter::TAG_BYTES, tag),
        ],
    };
    policy.extend([(parameter::RTP_ENCRYPTED, 1), (parameter::RTCP_ENCRYPTED, 1), (parameter::RTP_SIGNED, 1)]);
    policy
}

/// What a message says, as far as it is read.
#[derive(Default)]
struct Reading {
    rollovers: Vec<(u32, u32)>,
    key_bytes: Option<u8>,
    tag_bytes: Option<u8>,
    auth_key_bytes: Option<u8>,
    encryption: Option<u8>,
    authentication: Option<u8>,
    is_unknown: bool,
    key: Vec<u8>,
    mki: Vec<u8>,
}

/// The key that a message tells; none where it is malformed, encrypted, or for another transform than is known.
pub(super) fn read(message: &[u8]) -> Option<ToldKey> {
    let mut cursor = Cursor::new(message);
    let mut reading = Reading::default();
    let mut next = reading.header(&mut cursor)?;
    while next != payload::LAST {
        let kind = next;
        next = cursor.u8()?;
        match kind {
            payload::T => reading.timestamp(&mut cursor)?,
            payload::RAND => {
                let length = cursor.u8()?;
                cursor.take(length.into())?;
            }
            payload::SP => reading.policy(&mut cursor)?,
            payload::KEMAC => reading.keys(&mut cursor)?,
            _ => return None,
        }
    }
    reading.finish()
}

impl Reading {
    fn header(&mut self, cursor: &mut Cursor<'_>) -> Option<u8> {
        let [version, kind] = [cursor.u8()?, cursor.u8()?];
        let next = cursor.u8()?;
        // Whether an answer is wished for, the function for deriving, and the name of the bundle.
        cursor.take(5)?;
        let (streams, map) = (cursor.u8()?, cursor.u8()?);
        if version != 1 || kind != 0 || map != 0 {
            return None;
        }
        for at in 0..usize::from(streams) {
            let (_policy, ssrc, rollovers) = (cursor.u8()?, cursor.u32()?, cursor.u32()?);
            if at < STREAMS_MAX {
                self.rollovers.push((ssrc, rollovers));
            }
        }
        Some(next)
    }

    fn timestamp(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let bytes = match cursor.u8()? {
            0 | 1 => 8,
            2 => 4,
            _ => return None,
        };
        cursor.take(bytes).map(|_| ())
    }

    fn policy(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let (_number, protocol) = (cursor.u8()?, cursor.u8()?);
        let length = cursor.u16()?;
        let mut parameters = Cursor::new(cursor.take(length.into())?);
        while let Some(kind) = parameters.u8() {
            let length = parameters.u8()?;
            let &[.., value] = parameters.take(length.into())? else { continue };
            match kind {
                parameter::KEY_BYTES => self.key_bytes = Some(value),
                parameter::AUTH_KEY_BYTES => self.auth_key_bytes = Some(value),
                parameter::TAG_BYTES => self.tag_bytes = Some(value),
                parameter::ENCRYPTION => self.encryption = Some(value),
                parameter::AUTHENTICATION => self.authentication = Some(value),
                // RTCP that is not encrypted says so in each packet.
                parameter::RTP_ENCRYPTED | parameter::RTP_SIGNED => self.is_unknown |= value != 1,
                _ => {}
            }
        }
        self.is_unknown |= protocol != 0;
        Some(())
    }

    fn keys(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let encryption = cursor.u8()?;
        let length = cursor.u16()?;
        let mut data = Cursor::new(cursor.take(length.into())?);
        let signature = cursor.u8()?;
        if encryption != 0 || signature != 0 {
            return None;
        }
        let (_next, kinds) = (data.u8()?, data.u8()?);
        let length = data.u16()?;
        self.key = data.take(length.into())?.to_vec();
        match kinds >> 4 {
            TEK => {}
            TEK_AND_SALT => {
                let length = data.u16()?;
                self.key.extend_from_slice(data.take(length.into())?);
            }
            // Keys to derive others from.
            _ => return None,
        }
        if kinds & 0x0f == SPI {
            let length = data.u8()?;
            self.mki = data.take(length.into())?.to_vec();
        }
        Some(())
    }

    fn finish(self) -> Option<ToldKey> {
        let suite = self.suite().filter(|_| !self.is_unknown)?;
        let key = Key::new(suite, &self.key).ok()?.with_mki(self.mki);
        Some(ToldKey { key, rollovers: self.rollovers })
    }

    fn suite(&self) -> Option<Suite> {
        let is_gcm = match (self.encryption.unwrap_or(COUNTER), self.authentication) {
            (COUNTER, None | Some(HMAC_SHA1)) => false,
            (GALOIS, None | Some(NO_AUTHENTICATION)) => true,
            _ => return None,
        };
        // GStreamer tells the tag as the length of the key of the signature: 4 or 10, which no such key has.
        let tag_bytes = self.tag_bytes.or(self.auth_key_bytes.filter(|bytes| *bytes == 4)).unwrap_or(10);
        let is_meant = |suite: &Suite| {
            // Where no length is said, that of the key counts.
            let key_bytes = self.key_bytes.map_or(self.key.len().saturating_sub(suite.salt_bytes()), usize::from);
            suite.is_gcm() == is_gcm
                && suite.key_bytes() == key_bytes
                && (is_gcm || suite.tag_bytes() == usize::from(tag_bytes))
        };
        Suite::ALL.into_iter().find(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64;

    /// As a camera has it, with a name of the key in four bytes (from ONVIF's discussion of its Streaming Specification).
    const CAMERA: &str = "AQAFAP1td9ABAADCD1UcAAAAAAoAAdOOGc75XD0BAAAAGAABAQEBEAIBAQMBFAcBAQgBAQoBAQsBCgAAACcAIQAe30C59UrClE0e27UP5h/Wty9UL8+dfzg+2ttmmo3kBAAAAC8A";

    #[test]
    fn a_message_of_a_camera_is_read() {
        let told = read(&base64::decode(CAMERA.as_bytes()).unwrap()).unwrap();
        assert_eq!((told.key.suite(), told.key.mki()), (Suite::Aes128Tag80, &[0, 0, 0, 0x2f][..]));
        assert_eq!(told.rollovers, [(0xc20f_551c, 0)]);
        assert_eq!(told.key.to_bytes()[..4], [0xdf, 0x40, 0xb9, 0xf5]);
    }

    #[test]
    fn messages_that_are_cut_or_changed_panic_nowhere_and_other_transforms_are_left_out() {
        let whole = write(&Key::random(Suite::default()).unwrap(), 7);
        assert!(read(&whole).is_some());
        for cut in 0..whole.len() - 1 {
            assert_eq!(read(&whole[..cut]), None, "{cut}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
        let policy = whole.windows(3).position(|three| three == [parameter::ENCRYPTION, 1, 1]).unwrap();
        let mut other = whole.clone();
        other[policy + 2] = 2;
        assert_eq!(read(&other), None, "F8 mode");
        other[policy + 2] = GALOIS;
        assert_eq!(read(&other), None, "Galois counter mode, with HMAC-SHA1 beside it");
    }
}
