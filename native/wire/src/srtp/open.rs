//! Packets that come.

use super::{
    Key, SrtpError,
    cipher::Cipher,
    derive::{Use, cipher},
    header_bytes, identity,
    index::Sources,
};

/// Checks and decrypts what the other side sends under a key.
#[derive(Debug)]
pub struct Opener {
    mki: Vec<u8>,
    cipher: Cipher,
    sources: Sources,
    /// How often the sequence numbers of a source have wrapped before we came (RFC 3830 §6.1.1).
    rollovers: Vec<(u32, u32)>,
    rtcp: RtcpOpener,
}

/// The same of RTCP alone, for who hears nothing else.
#[derive(Debug)]
pub struct RtcpOpener {
    mki: Vec<u8>,
    cipher: Cipher,
    sources: Sources,
}

impl Opener {
    /// For a key that we were told.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the library refuses it.
    pub fn new(key: &Key) -> Result<Self, SrtpError> {
        Ok(Self {
            mki: key.mki().to_vec(),
            cipher: cipher(key, Use::Rtp)?,
            sources: Sources::default(),
            rollovers: Vec::new(),
            rtcp: RtcpOpener::new(key)?,
        })
    }

    /// With how often the sequence numbers of these sources have wrapped before; of source 0, which is nobody, for all others.
    #[must_use]
    pub fn with_rollovers(self, rollovers: &[(u32, u32)]) -> Self {
        Self { rollovers: rollovers.to_vec(), ..self }
    }

    /// The packet of RTP in it.
    ///
    /// # Errors
    /// [`SrtpError`] for everything that the other side has not sent, or not now.
    pub fn rtp(&mut self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let head = header_bytes(packet).ok_or(SrtpError::Malformed)?;
        let (sequence, ssrc) = identity(packet).ok_or(SrtpError::Malformed)?;
        let place = self.sources.get(ssrc);
        let index = place.map_or_else(|| self.first_index(ssrc, sequence), |place| place.guess(sequence));
        if place.is_some_and(|place| !place.is_new(index)) {
            return Err(SrtpError::Replayed);
        }
        let plain = self.cipher.open_rtp((ssrc, index), packet, head, &self.mki)?;
        self.sources.note(ssrc, index)?;
        Ok(plain)
    }

    /// The compound packet of RTCP in it.
    ///
    /// # Errors
    /// As [`rtp`](Self::rtp).
    pub fn rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        self.rtcp.open(packet)
    }

    fn first_index(&self, ssrc: u32, sequence: u16) -> u64 {
        let told = |of: u32| self.rollovers.iter().find(|(known, _)| *known == of);
        let rollovers = told(ssrc).or_else(|| told(0)).map_or(0, |(_, rollovers)| *rollovers);
        u64::from(rollovers) << 16 | u64::from(sequence)
    }
}

impl RtcpOpener {
    /// For a key that we were told.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the library refuses it.
    pub fn new(key: &Key) -> Result<Self, SrtpError> {
        Ok(Self { mki: key.mki().to_vec(), cipher: cipher(key, Use::Rtcp)?, sources: Sources::default() })
    }

    /// The compound packet in it.
    ///
    /// # Errors
    /// [`SrtpError`] for everything that the other side has not sent, or not now.
    pub fn open(&mut self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let (ssrc, index, plain) = self.cipher.open_rtcp(packet, &self.mki)?;
        self.sources.note(ssrc, index.into())?;
        Ok(plain)
    }
}
