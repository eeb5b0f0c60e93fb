//! The keys of a connection: made, told, taken, changed (SRT §6.1.5, §6.1.6).

use std::num::NonZeroU32;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    pbkdf2::{PBKDF2_HMAC_SHA1, derive},
    rand,
};

use super::{
    CipherMode, KeyMaterial, KeySize, Passphrase,
    cipher::{Cipher, SALT_BYTES},
    wrap::unwrap,
};
use crate::srt::{
    SrtError,
    packet::{DataHeader, KeyFlag},
};

/// Rounds of PBKDF2 (SRT §6.1.4).
const ROUNDS: NonZeroU32 = match NonZeroU32::new(2048) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};

/// A key that the peer has not confirmed is not used before so many packets were sent with the old one: the peer could not read them. Then
/// it has to be, for sequence numbers come round again, and with them counters.
const FORCED_PACKETS: u64 = 1 << 30;

/// When a key is changed, in packets sent with it (SRT §6.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// Packets until the next key is used.
    pub(crate) period: u64,
    /// Packets before that at which it is announced, and after that at which the old one is forgotten.
    pub(crate) announce: u64,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { period: 1 << 25, announce: 4000 }
    }
}

/// What the key encrypting key is made of: the slow step, done once per salt.
struct Kek {
    key: Vec<u8>,
    salt: [u8; SALT_BYTES],
}

impl Kek {
    fn derive(passphrase: &Passphrase, size: KeySize, salt: [u8; SALT_BYTES]) -> Self {
        let mut key = vec![0; size.bytes()];
        // The last 64 bits of the salt (SRT §6.2.1).
        let (_, low) = salt.split_at(SALT_BYTES / 2);
        derive(PBKDF2_HMAC_SHA1, ROUNDS, low, passphrase.as_bytes(), &mut key);
        Self { key, salt }
    }
}

/// A pair of keys, of which one or both are there.
#[derive(Debug, Default)]
struct Pair {
    even: Option<Cipher>,
    odd: Option<Cipher>,
}

impl Pair {
    fn get(&self, flag: KeyFlag) -> Option<&Cipher> {
        match flag {
            KeyFlag::Even => self.even.as_ref(),
            KeyFlag::Odd => self.odd.as_ref(),
            KeyFlag::Clear | KeyFlag::Both => None,
        }
    }

    fn set(&mut self, flag: KeyFlag, cipher: Option<Cipher>) {
        match flag {
            KeyFlag::Even => self.even = cipher,
            KeyFlag::Odd => self.odd = cipher,
            KeyFlag::Clear | KeyFlag::Both => {}
        }
    }
}

/// The keys of both directions. They begin as the same one, the initiator's; each sender changes its own.
pub(crate) struct Keys {
    passphrase: Passphrase,
    mode: CipherMode,
    kek: Kek,
    received: Pair,
    sent: Pair,
    /// With which key packets are sent now.
    active: KeyFlag,
    active_key: Vec<u8>,
    next_key: Option<Vec<u8>>,
    /// Packets sent with the active key.
    count: u64,
    refresh: Refresh,
    /// What the peer has not confirmed yet.
    announced: Option<Vec<u8>>,
}

impl Keys {
    /// New ones, of the initiator (SRT §6.2.1); the second is what tells the peer.
    pub(crate) fn make(
        passphrase: &Passphrase,
        (mode, size): (CipherMode, KeySize),
        refresh: Refresh,
    ) -> Result<(Self, KeyMaterial), SrtError> {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt)?;
        let kek = Kek::derive(passphrase, size, salt);
        let key = random_key(size)?;
        let material = KeyMaterial::seal(mode, &kek.key, salt, Some(&key), None)?;
        Ok((Self::new(passphrase, mode, kek, (KeyFlag::Even, key), refresh)?, material))
    }

    /// Those that the initiator has told.
    ///
    /// # Errors
    /// [`SrtError::BadSecret`] when the passphrase is another one.
    pub(crate) fn take(passphrase: &Passphrase, material: &KeyMaterial, refresh: Refresh) -> Result<Self, SrtError> {
        let kek = Kek::derive(passphrase, material.size, material.salt);
        let unwrapped = unwrap(&kek.key, &material.wrapped)?;
        let (even, odd) = split(material, &unwrapped);
        let (flag, key) = match (even, odd) {
            (Some(even), _) => (KeyFlag::Even, even),
            (None, odd) => (KeyFlag::Odd, odd.unwrap_or_default()),
        };
        let mut keys = Self::new(passphrase, material.mode, kek, (flag, key.to_vec()), refresh)?;
        keys.receive(material, &unwrapped)?;
        Ok(keys)
    }

    fn new(
        passphrase: &Passphrase,
        mode: CipherMode,
        kek: Kek,
        (flag, key): (KeyFlag, Vec<u8>),
        refresh: Refresh,
    ) -> Result<Self, SrtError> {
        let (mut received, mut sent) = (Pair::default(), Pair::default());
        received.set(flag, Some(Cipher::new(mode, &key, kek.salt)?));
        sent.set(flag, Some(Cipher::new(mode, &key, kek.salt)?));
        Ok(Self {
            passphrase: passphrase.clone(),
            mode,
            kek,
            received,
            sent,
            active: flag,
            active_key: key,
            next_key: None,
            count: 0,
            refresh,
            announced: None,
        })
    }

    /// Takes keys with which the peer will send (SRT §6.1.6).
    ///
    /// # Errors
    /// [`SrtError::BadSecret`] when they are wrapped with another passphrase, and those of a message that is broken.
    pub(crate) fn update(&mut self, material: &KeyMaterial) -> Result<(), SrtError> {
        if material.mode != self.mode {
            return Err(SrtError::Unsupported { what: "another cipher on a connection" });
        }
        let same_salt = verify_slices_are_equal(&material.salt, &self.kek.salt).is_ok();
        let unwrapped = if same_salt && material.size.bytes() == self.kek.key.len() {
            unwrap(&self.kek.key, &material.wrapped)?
        } else {
            let kek = Kek::derive(&self.passphrase, material.size, material.salt);
            unwrap(&kek.key, &material.wrapped)?
        };
        self.receive(material, &unwrapped)
    }

    /// The length of the key that we send with.
    pub(crate) fn size(&self) -> KeySize {
        KeySize::of(&self.active_key).unwrap_or_default()
    }

    /// Whether an update with this material costs a derivation of a key.
    pub(crate) fn is_costly(&self, material: &KeyMaterial) -> bool {
        material.salt != self.kek.salt || material.size.bytes() != self.kek.key.len()
    }

    fn receive(&mut self, material: &KeyMaterial, unwrapped: &[u8]) -> Result<(), SrtError> {
        let (even, odd) = split(material, unwrapped);
        for (flag, key) in [(KeyFlag::Even, even), (KeyFlag::Odd, odd)] {
            if let Some(key) = key {
                self.received.set(flag, Some(Cipher::new(self.mode, key, material.salt)?));
            }
        }
        Ok(())
    }

    /// What they are for.
    pub(crate) fn mode(&self) -> CipherMode {
        self.mode
    }

    /// Bytes behind each payload.
    pub(crate) fn tag_bytes(&self) -> usize {
        self.mode.tag_bytes()
    }

    /// Decrypts the payload of a packet; false when there is no such key, or it is not what was sent.
    pub(crate) fn decrypt(&self, header: &DataHeader, payload: &mut Vec<u8>) -> bool {
        self.received.get(header.key).is_some_and(|cipher| cipher.open(header, payload).is_ok())
    }

    /// Encrypts the payload of a packet, what stands in `out` from `from` on; false when its key is forgotten.
    pub(crate) fn encrypt(&self, header: &DataHeader, out: &mut Vec<u8>, from: usize) -> bool {
        self.sent.get(header.key).is_some_and(|cipher| cipher.seal(header, out, from).is_ok())
    }

    /// The key for one more packet, and what has to be told before it is sent: a new key that is to come.
    pub(crate) fn next(&mut self) -> Result<(KeyFlag, Option<Vec<u8>>), SrtError> {
        self.count += 1;
        let mut told = None;
        if self.count == self.refresh.period.saturating_sub(self.refresh.announce) {
            told = Some(self.announce()?);
        } else if self.count > self.refresh.period && (self.announced.is_none() || self.count > FORCED_PACKETS) {
            self.switch();
        } else if self.count == self.refresh.announce {
            self.sent.set(other(self.active), None);
        }
        Ok((self.active, told))
    }

    fn announce(&mut self) -> Result<Vec<u8>, SrtError> {
        let key = random_key(KeySize::of(&self.active_key)?)?;
        self.sent.set(other(self.active), Some(Cipher::new(self.mode, &key, self.kek.salt)?));
        let (even, odd) =
            if self.active == KeyFlag::Even { (&self.active_key, &key) } else { (&key, &self.active_key) };
        let material = KeyMaterial::seal(self.mode, &self.kek.key, self.kek.salt, Some(even), Some(odd))?.to_bytes();
        self.next_key = Some(key);
        self.announced = Some(material.clone());
        Ok(material)
    }

    fn switch(&mut self) {
        // Without a new key the old one goes on: a counter that would repeat is 2^31 packets away.
        if let Some(key) = self.next_key.take() {
            self.active = other(self.active);
            self.active_key = key;
            self.count = 1;
        }
    }

    /// What was announced and is not confirmed: to be said again.
    pub(crate) fn unconfirmed(&self) -> Option<&[u8]> {
        self.announced.as_deref()
    }

    /// The peer has answered; whether it is what was announced.
    pub(crate) fn confirm(&mut self, material: &[u8]) -> bool {
        self.announced.take_if(|announced| announced == material).is_some()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("active", &self.active).field("count", &self.count).finish_non_exhaustive()
    }
}

fn other(flag: KeyFlag) -> KeyFlag {
    if flag == KeyFlag::Even { KeyFlag::Odd } else { KeyFlag::Even }
}

fn random_key(size: KeySize) -> Result<Vec<u8>, SrtError> {
    let mut key = vec![0; size.bytes()];
    rand::fill(&mut key)?;
    Ok(key)
}

/// The even and the odd key; where both are there, the even one comes first (SRT §3.2.2).
fn split<'a>(material: &KeyMaterial, unwrapped: &'a [u8]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let (first, second) = unwrapped.split_at_checked(material.size.bytes()).unwrap_or_default();
    match material.keys {
        KeyFlag::Both => (Some(first), Some(second)),
        KeyFlag::Odd => (None, Some(first)),
        KeyFlag::Even | KeyFlag::Clear => (Some(first), None),
    }
}
