//! Packets on their way out: sealed where they lie, with no copy in between.

use super::{
    ENCRYPTED, Key, SrtpError,
    cipher::Cipher,
    derive::{Use, cipher},
    header_bytes, identity,
    index::Sources,
};

/// No packet has a higher index (RFC 3711 §3.3.1).
const INDEX_MAX: u64 = (1 << 48) - 1;

/// Encrypts and signs what one side sends under a key.
#[derive(Debug)]
pub struct Sealer {
    mki: Vec<u8>,
    rtp: Cipher,
    rtcp: Cipher,
    sources: Sources,
    /// Packets of RTP that may still be sealed, of all sources together.
    rtp_left: u64,
    /// Of the next RTCP packet (RFC 3711 §3.4), for all sources, and the first one that may not be sealed.
    rtcp_index: u32,
    rtcp_end: u32,
}

/// How many packets a key may seal, of all sources together (RFC 3711 §9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Of RTP: 2⁴⁸ at most.
    pub rtp: u64,
    /// Of RTCP: 2³¹ at most.
    pub rtcp: u32,
}

impl Lifetime {
    /// What no key may exceed.
    pub const MAX: Self = Self { rtp: INDEX_MAX + 1, rtcp: ENCRYPTED };
}

impl Sealer {
    /// A key that nothing was sent under.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the library refuses it.
    pub fn new(key: &Key) -> Result<Self, SrtpError> {
        Ok(Self {
            mki: key.mki().to_vec(),
            rtp: cipher(key, Use::Rtp)?,
            rtcp: cipher(key, Use::Rtcp)?,
            sources: Sources::default(),
            rtp_left: Lifetime::MAX.rtp,
            rtcp_index: 0,
            rtcp_end: Lifetime::MAX.rtcp,
        })
    }

    /// The same, of a key that is given up earlier.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Lifetime) -> Self {
        let Lifetime { rtp, rtcp } = Lifetime::MAX;
        Self { rtp_left: lifetime.rtp.min(rtp), rtcp_end: lifetime.rtcp.min(rtcp), ..self }
    }

    /// How many packets it may still seal.
    #[cfg(test)]
    pub(super) fn lifetime(&self) -> Lifetime {
        Lifetime { rtp: self.rtp_left, rtcp: self.rtcp_end - self.rtcp_index }
    }

    /// Seals the packet of RTP that `out` ends with, from `from` on. The first one of a source begins at its sequence number without a wrap
    /// before it: receivers that have nothing but the key think so, too.
    ///
    /// # Errors
    /// [`SrtpError`] for what is no packet, for one whose number was there before, and behind the last one of a key; then it is taken away
    /// from `out`.
    pub fn rtp(&mut self, out: &mut Vec<u8>, from: usize) -> Result<(), SrtpError> {
        let sealed = self.take_rtp(out, from);
        sealed.inspect_err(|_| out.truncate(from))
    }

    fn take_rtp(&mut self, out: &mut Vec<u8>, from: usize) -> Result<(), SrtpError> {
        let packet = out.get(from..).unwrap_or_default();
        let head = header_bytes(packet).ok_or(SrtpError::Malformed)?;
        let (sequence, ssrc) = identity(packet).ok_or(SrtpError::Malformed)?;
        let index = self.sources.get(ssrc).map_or(sequence.into(), |known| known.guess(sequence));
        // Two packets under one index would tell what is in both (RFC 3711 §9.1).
        self.sources.note(ssrc, index)?;
        self.rtp_left = self.rtp_left.checked_sub(1).ok_or(SrtpError::Exhausted)?;
        self.numbered_rtp((ssrc, index), out, from, head)
    }

    /// The same for who counts the packets of a source itself: `index` is the number of this one, unrolled, whose lower 16 bits are in the
    /// header of so many bytes. The same must not be used again for another packet: that would tell what is in both (RFC 3711 §9.1).
    ///
    /// # Errors
    /// [`SrtpError`] for what is no packet, and behind the last index of a key; what is in `out` is of no use then.
    pub fn numbered_rtp(
        &self,
        (ssrc, index): (u32, u64),
        out: &mut Vec<u8>,
        from: usize,
        header_bytes: usize,
    ) -> Result<(), SrtpError> {
        if index > INDEX_MAX {
            return Err(SrtpError::Exhausted);
        }
        self.rtp.seal_rtp((ssrc, index), out, from, header_bytes, &self.mki)
    }

    /// Seals the compound packet of RTCP that `out` ends with, from `from` on.
    ///
    /// # Errors
    /// [`SrtpError`] for what is no packet, and behind the last one of a key; then it is taken away from `out`.
    pub fn rtcp(&mut self, out: &mut Vec<u8>, from: usize) -> Result<(), SrtpError> {
        let index = self.rtcp_index;
        let sealed = if index < self.rtcp_end {
            self.rtcp_index += 1;
            self.rtcp.seal_rtcp(index, out, from, &self.mki)
        } else {
            Err(SrtpError::Exhausted)
        };
        sealed.inspect_err(|_| out.truncate(from))
    }
}
