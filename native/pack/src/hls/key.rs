//! AES-128 of whole segments, and the keys for it (RFC 8216bis §4.4.4.4, §5.2, §6.2.3).
//!
//! Partial Segments: their parent's key and IV hold for them (§4.4.4.9: its tags apply to them), and each is encrypted by itself, since it
//! is decrypted by itself. So the bytes of encrypted parts do not make up their segment, which is encrypted once more in one piece.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    hmac,
    iv::FixedLength,
    rand,
};
use bytes::Bytes;

use crate::PackError;

/// Bytes of a key, and of an IV.
pub const KEY_BYTES: usize = 16;

/// Where keys come from.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The key of that number, counted from 0; `None` while there is none, and the one before goes on. Asked in the way of the media: it
    /// must not wait.
    fn key(&self, number: u64) -> Option<[u8; KEY_BYTES]>;
}

/// Where initialization vectors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IvKind {
    /// The Media Sequence Number (§5.2), which no playlist need tell.
    Sequence,
    /// A random one for each segment, told by its own `EXT-X-KEY`.
    Random,
}

/// How segments are encrypted.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// Where keys come from.
    pub keys: Arc<dyn KeySource>,
    /// A key is for so many segments. 0: one for all.
    pub rotate_segments: u64,
    /// Where initialization vectors come from.
    pub iv: IvKind,
}

impl PartialEq for Encryption {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.keys, &other.keys);
        same && (self.rotate_segments, self.iv) == (other.rotate_segments, other.iv)
    }
}

impl Eq for Encryption {}

/// Keys that nobody knew before: of one secret, so that all playlists of a stream have the same, however far apart they ask.
#[derive(Debug)]
pub struct RandomKeys {
    secret: hmac::Key,
}

impl RandomKeys {
    /// Keys of a secret of the system's random numbers; none where that has none.
    pub fn new() -> Option<Self> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok()?;
        Some(Self { secret })
    }
}

impl KeySource for RandomKeys {
    fn key(&self, number: u64) -> Option<[u8; KEY_BYTES]> {
        let tag = hmac::sign(&self.secret, &number.to_be_bytes());
        tag.as_ref().first_chunk().copied()
    }
}

fn random() -> Option<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    rand::fill(&mut bytes).ok().map(|()| bytes)
}

/// A key, and its name in playlists.
pub struct Key {
    /// The last part of its URI.
    pub name: String,
    /// What players fetch there.
    pub bytes: [u8; KEY_BYTES],
}

impl fmt::Debug for Key {
    /// Without the key: this may come into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Gives the segments of one playlist their keys.
#[derive(Debug)]
pub(crate) struct Keyring {
    encryption: Encryption,
    /// In front of the names of keys.
    prefix: String,
    key: Option<(u64, Arc<Key>)>,
}

impl Keyring {
    /// Keys are named `{prefix}-k{number}.key`.
    pub(crate) fn new(encryption: &Encryption, prefix: &str) -> Self {
        Self { encryption: encryption.clone(), prefix: prefix.to_owned(), key: None }
    }

    /// What the segment of that number is encrypted with.
    ///
    /// # Errors
    /// [`PackError::Unsupported`] when there has never been a key, or the system has no random numbers: nothing goes out in the clear.
    pub(crate) fn lock(&mut self, sequence: u64) -> Result<Lock, PackError> {
        let number = sequence.checked_div(self.encryption.rotate_segments).unwrap_or(0);
        if self.key.as_ref().is_none_or(|(known, _)| *known != number)
            && let Some(bytes) = self.encryption.keys.key(number)
        {
            let name = format!("{}-k{number}.key", self.prefix);
            self.key = Some((number, Arc::new(Key { name, bytes })));
        }
        let no_key = PackError::Unsupported { what: "encryption without a key" };
        let (_, key) = self.key.as_ref().ok_or(no_key)?;
        let told_iv = match self.encryption.iv {
            IvKind::Sequence => None,
            IvKind::Random => Some(random().ok_or(PackError::Unsupported { what: "random numbers" })?),
        };
        Ok(Lock { key: key.clone(), iv: told_iv.unwrap_or_else(|| u128::from(sequence).to_be_bytes()), told_iv })
    }
}

/// What one segment is encrypted with.
#[derive(Debug, Clone)]
pub(crate) struct Lock {
    pub(crate) key: Arc<Key>,
    iv: [u8; KEY_BYTES],
    /// The same, if playlists have to tell it.
    told_iv: Option<[u8; KEY_BYTES]>,
}

impl Lock {
    /// All these bytes as one: CBC begins anew, PKCS7 fills the last block (§4.4.4.4).
    pub(crate) fn encrypt(&self, pieces: &[Bytes]) -> Result<Bytes, PackError> {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let mut data = Vec::with_capacity(bytes + KEY_BYTES - bytes % KEY_BYTES);
        pieces.iter().for_each(|piece| data.extend_from_slice(piece));
        let refused = |_| PackError::Unsupported { what: "AES-128 in CBC" };
        let key = UnboundCipherKey::new(&AES_128, &self.key.bytes).map_err(refused)?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(refused)?;
        key.less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(self.iv))).map_err(refused)?;
        Ok(data.into())
    }

    /// Whether the `EXT-X-KEY` of `other` holds for this one too.
    pub(crate) fn is_told_by(&self, other: &Self) -> bool {
        self.key.name == other.key.name && self.told_iv == other.told_iv
    }

    /// Writes its `EXT-X-KEY` (§4.4.4.4).
    pub(crate) fn write(&self, text: &mut String) {
        use fmt::Write;
        let _ = write!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"{}\"", self.key.name);
        if let Some(iv) = self.told_iv {
            let _ = write!(text, ",IV=0x{:032x}", u128::from_be_bytes(iv));
        }
        text.push('\n');
    }
}

/// What holds from here on is in the clear.
pub(crate) const NO_KEY: &str = "#EXT-X-KEY:METHOD=NONE\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys whose bytes are their number, up to a last one.
    #[derive(Debug)]
    struct Numbers(u64);

    impl KeySource for Numbers {
        fn key(&self, number: u64) -> Option<[u8; KEY_BYTES]> {
            (number <= self.0).then(|| [u8::try_from(number).unwrap(); KEY_BYTES])
        }
    }

    fn ring(last: u64, rotate_segments: u64, iv: IvKind) -> Keyring {
        Keyring::new(&Encryption { keys: Arc::new(Numbers(last)), rotate_segments, iv }, "s")
    }

    fn tag(lock: &Lock) -> String {
        let mut text = String::new();
        lock.write(&mut text);
        text
    }

    #[test]
    fn a_known_vector_and_a_block_of_padding() {
        // NIST SP 800-38A F.2.1, first block, with its key and IV.
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let bytes = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
        let iv = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let lock = Lock { key: Arc::new(Key { name: "k".into(), bytes }), iv, told_iv: None };
        let plain = Bytes::from(hex("6bc1bee22e409f96e93d7e117393172a"));
        let encrypted = lock.encrypt(&[plain.slice(..5), plain.slice(5..)]).unwrap();
        assert_eq!(encrypted[..16], hex("7649abac8119b246cee98e9b12e9197d"));
        assert_eq!(encrypted.len(), 32, "a whole block of padding");
        assert_eq!(lock.encrypt(&[]).unwrap().len(), 16);
    }

    #[test]
    fn keys_change_after_so_many_segments_and_an_absent_one_lets_the_one_before_go_on() {
        let mut ring = ring(1, 2, IvKind::Sequence);
        let names: Vec<String> = (0..6).map(|sequence| ring.lock(sequence).unwrap().key.name.clone()).collect();
        assert_eq!(names, ["s-k0.key", "s-k0.key", "s-k1.key", "s-k1.key", "s-k1.key", "s-k1.key"]);
    }

    #[test]
    fn random_keys_are_the_same_for_all_playlists_and_no_others() {
        let (keys, others) = (RandomKeys::new().unwrap(), RandomKeys::new().unwrap());
        assert_eq!(keys.key(7), keys.key(7));
        assert_ne!(keys.key(7), keys.key(8));
        assert_ne!(keys.key(7), others.key(7));
    }

    #[test]
    fn without_a_key_there_is_nothing() {
        #[derive(Debug)]
        struct None_;
        impl KeySource for None_ {
            fn key(&self, _: u64) -> Option<[u8; KEY_BYTES]> {
                None
            }
        }
        let encryption = Encryption { keys: Arc::new(None_), rotate_segments: 0, iv: IvKind::Sequence };
        assert!(Keyring::new(&encryption, "s").lock(0).is_err());
    }

    #[test]
    fn an_iv_of_the_number_is_not_told_and_a_random_one_is() {
        let mut numbered = ring(0, 0, IvKind::Sequence);
        let lock = numbered.lock(258).unwrap();
        assert_eq!(lock.iv, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(tag(&lock), "#EXT-X-KEY:METHOD=AES-128,URI=\"s-k0.key\"\n");
        assert!(numbered.lock(259).unwrap().is_told_by(&lock));
        let mut random = ring(0, 0, IvKind::Random);
        let (one, other) = (random.lock(0).unwrap(), random.lock(1).unwrap());
        assert!(!one.is_told_by(&other));
        assert_eq!(tag(&one).len(), "#EXT-X-KEY:METHOD=AES-128,URI=\"s-k0.key\",IV=0x\n".len() + 32);
    }
}
