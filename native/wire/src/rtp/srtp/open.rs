//! Packets that come.

use bytes::{Bytes, BytesMut};

use super::{
    Key, RTCP_TAG_BYTES, SOURCES_MAX, SrtpError,
    derive::{SessionKeys, Use},
    header_bytes, identity,
    index::Index,
    seal::ENCRYPTED,
};

/// Checks and decrypts what the other side sends under a key.
pub struct Opener {
    key: Key,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    sources: Vec<(u32, Index)>,
    rtcp_sources: Vec<(u32, Index)>,
    /// How often the sequence numbers of a source have wrapped before we came (RFC 3830 §6.1.1).
    rollovers: Vec<(u32, u32)>,
}

impl Opener {
    /// For a key that we were told.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the library refuses it.
    pub fn new(key: &Key) -> Result<Self, SrtpError> {
        Ok(Self {
            key: key.clone(),
            rtp: SessionKeys::derive(key, Use::Rtp)?,
            rtcp: SessionKeys::derive(key, Use::Rtcp)?,
            sources: Vec::new(),
            rtcp_sources: Vec::new(),
            rollovers: Vec::new(),
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
    pub fn rtp(&mut self, packet: &[u8]) -> Result<Bytes, SrtpError> {
        let tag_bytes = self.key.suite.tag_bytes();
        let (body, tag) = self.split(packet, tag_bytes)?;
        let head = header_bytes(body).ok_or(SrtpError::Malformed)?;
        let (sequence, ssrc) = identity(body).ok_or(SrtpError::Malformed)?;
        let known = self.sources.iter().position(|(known, _)| *known == ssrc);
        let place = known.and_then(|at| self.sources.get(at)).map(|(_, index)| *index);
        let index = place.map_or_else(|| self.first_index(ssrc, sequence), |place| place.guess(sequence));
        if place.is_some_and(|place| !place.is_new(index)) {
            return Err(SrtpError::Replayed);
        }
        self.rtp.check([body, &((index >> 16) as u32).to_be_bytes()], tag)?;
        let mut plain = BytesMut::from(body);
        self.rtp.apply(ssrc, index, plain.get_mut(head..).unwrap_or_default())?;
        note(&mut self.sources, ssrc, index)?;
        Ok(plain.freeze())
    }

    /// The compound packet of RTCP in it.
    ///
    /// # Errors
    /// As [`rtp`](Self::rtp).
    pub fn rtcp(&mut self, packet: &[u8]) -> Result<Bytes, SrtpError> {
        let (signed, tag) = self.split(packet, RTCP_TAG_BYTES)?;
        self.rtcp.check([signed, &[]], tag)?;
        let (body, trailer) = signed.split_last_chunk::<4>().ok_or(SrtpError::Malformed)?;
        let [_, _, _, _, ssrc @ ..] = *body.first_chunk::<8>().ok_or(SrtpError::Malformed)?;
        let (ssrc, trailer) = (u32::from_be_bytes(ssrc), u32::from_be_bytes(*trailer));
        let index = u64::from(trailer & !ENCRYPTED);
        let known = self.rtcp_sources.iter().find(|(known, _)| *known == ssrc);
        if known.is_some_and(|(_, place)| !place.is_new(index)) {
            return Err(SrtpError::Replayed);
        }
        let mut plain = BytesMut::from(body);
        if trailer & ENCRYPTED != 0 {
            self.rtcp.apply(ssrc, index, plain.get_mut(8..).unwrap_or_default())?;
        }
        note(&mut self.rtcp_sources, ssrc, index)?;
        Ok(plain.freeze())
    }

    /// What is signed, and its tag; the name of the key between them has to be ours.
    fn split<'a>(&self, packet: &'a [u8], tag_bytes: usize) -> Result<(&'a [u8], &'a [u8]), SrtpError> {
        let at = packet.len().checked_sub(tag_bytes).ok_or(SrtpError::Malformed)?;
        let (front, tag) = packet.split_at_checked(at).ok_or(SrtpError::Malformed)?;
        Ok((front.strip_suffix(self.key.mki.as_slice()).ok_or(SrtpError::Forged)?, tag))
    }

    fn first_index(&self, ssrc: u32, sequence: u16) -> u64 {
        let told = |of: u32| self.rollovers.iter().find(|(known, _)| *known == of);
        let rollovers = told(ssrc).or_else(|| told(0)).map_or(0, |(_, rollovers)| *rollovers);
        u64::from(rollovers) << 16 | u64::from(sequence)
    }
}

fn note(sources: &mut Vec<(u32, Index)>, ssrc: u32, index: u64) -> Result<(), SrtpError> {
    let is_full = sources.len() == SOURCES_MAX;
    match sources.iter_mut().find(|(known, _)| *known == ssrc) {
        Some((_, place)) => place.note(index),
        // Only who has the key comes so far.
        None if is_full => return Err(SrtpError::TooManySources),
        None => sources.push((ssrc, Index::begin(index))),
    }
    Ok(())
}
