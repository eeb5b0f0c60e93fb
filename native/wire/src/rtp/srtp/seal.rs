//! Packets on their way out.

use super::{
    Key, RTCP_TAG_BYTES, SOURCES_MAX, SrtpError,
    derive::{SessionKeys, Use},
    header_bytes, identity,
    index::Index,
};

/// Encrypts and signs what one side sends under a key.
pub struct Sealer {
    key: Key,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    sources: Vec<(u32, Index)>,
    /// Of the next RTCP packet (RFC 3711 §3.4), for all sources.
    rtcp_index: u32,
}

impl Sealer {
    /// A key that nothing was sent under.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the library refuses it.
    pub fn new(key: &Key) -> Result<Self, SrtpError> {
        Ok(Self {
            key: key.clone(),
            rtp: SessionKeys::derive(key, Use::Rtp)?,
            rtcp: SessionKeys::derive(key, Use::Rtcp)?,
            sources: Vec::new(),
            rtcp_index: 0,
        })
    }

    /// Appends a packet of RTP, sealed. The first one of a source begins at its sequence number without a wrap before it: receivers that have
    /// nothing but the key think so, too.
    ///
    /// # Errors
    /// [`SrtpError`] for what is no packet, and for one whose number was there before; nothing is appended.
    pub fn rtp(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<(), SrtpError> {
        let head = header_bytes(packet).ok_or(SrtpError::Malformed)?;
        let (sequence, ssrc) = identity(packet).ok_or(SrtpError::Malformed)?;
        let index = self.next_index(ssrc, sequence)?;
        let begun = out.len();
        out.extend_from_slice(packet);
        let sealed = self.rtp.apply(ssrc, index, out.get_mut(begun + head..).unwrap_or_default());
        if sealed.is_err() {
            out.truncate(begun);
            return sealed;
        }
        let rollover = ((index >> 16) as u32).to_be_bytes();
        let tag = self.rtp.sign([out.get(begun..).unwrap_or_default(), &rollover]);
        out.extend_from_slice(&self.key.mki);
        out.extend_from_slice(tag.as_ref().get(..self.key.suite.tag_bytes()).unwrap_or_default());
        Ok(())
    }

    /// Appends a compound packet of RTCP, sealed.
    ///
    /// # Errors
    /// [`SrtpError`] for what is no packet; nothing is appended.
    pub fn rtcp(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<(), SrtpError> {
        let [_, _, _, _, ssrc @ ..] = *packet.first_chunk::<8>().ok_or(SrtpError::Malformed)?;
        let (ssrc, index, begun) = (u32::from_be_bytes(ssrc), self.rtcp_index, out.len());
        out.extend_from_slice(packet);
        let sealed = self.rtcp.apply(ssrc, index.into(), out.get_mut(begun + 8..).unwrap_or_default());
        if sealed.is_err() {
            out.truncate(begun);
            return sealed;
        }
        // 31 bits (§3.4): no session lives that long.
        self.rtcp_index = index.wrapping_add(1) & (ENCRYPTED - 1);
        out.extend_from_slice(&(ENCRYPTED | index).to_be_bytes());
        let tag = self.rtcp.sign([out.get(begun..).unwrap_or_default(), &[]]);
        out.extend_from_slice(&self.key.mki);
        out.extend_from_slice(tag.as_ref().get(..RTCP_TAG_BYTES).unwrap_or_default());
        Ok(())
    }

    fn next_index(&mut self, ssrc: u32, sequence: u16) -> Result<u64, SrtpError> {
        if let Some((_, known)) = self.sources.iter_mut().find(|(known, _)| *known == ssrc) {
            let index = known.guess(sequence);
            // Two packets under one index would tell what is in both (RFC 3711 §9.1).
            if !known.is_new(index) {
                return Err(SrtpError::Replayed);
            }
            known.note(index);
            return Ok(index);
        }
        if self.sources.len() == SOURCES_MAX {
            return Err(SrtpError::TooManySources);
        }
        self.sources.push((ssrc, Index::begin(sequence.into())));
        Ok(sequence.into())
    }
}

/// The bit in front of the index of an RTCP packet (§3.4).
pub(super) const ENCRYPTED: u32 = 1 << 31;
