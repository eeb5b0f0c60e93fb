//! A stream on its way to one viewer who alone can read it: each packet is sealed (RFC 3711) under a key that only this viewer was told.
//!
//! A key for all viewers would spare all but the first sealing. But whoever has left could read on, and whoever comes late would have to be
//! told how often sequence numbers have wrapped, for which RFC 4568 has no word.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arcly_wire::{
    rtsp::{FRAME_HEADER_BYTES, frame_header},
    srtp::{Sealer, SrtpError, TAG_BYTES_MAX},
};
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;

use super::{
    channels::{MEDIAS_MAX, split},
    datagrams::{Ports, Queues},
    outlet::Targets,
    pace::Pace,
};
use crate::egress::{PacketBody, Patience, Wants};

/// What sealing adds to a packet at most: a tag, and the number of one of RTCP. Keys of ours have no names.
const SEAL_BYTES_MAX: usize = TAG_BYTES_MAX + 4;

/// Sequence numbers of a session begin in the lower half: a receiver who misses the packets in front of the first wrap would take those behind
/// it for others (RFC 4568 §6.4.1).
pub(super) const FIRST_SEQUENCE: u16 = 0x7fff;

/// The packets of one viewer.
pub(super) struct Sealed {
    body: PacketBody,
    /// As the log has them, and not sealed yet.
    waiting: Bytes,
    seal: Seal,
    way: Way,
}

/// What seals them.
struct Seal {
    sealer: Sealer,
    /// How the packets of each track are numbered.
    numbers: [Option<Numbers>; MEDIAS_MAX],
    /// The key has sealed as many packets as it may (RFC 3711 §9.2).
    is_spent: bool,
}

/// How they travel.
pub(super) enum Way {
    /// Over the connection: the channels of RTP and RTCP of each track.
    Connection([Option<(u8, u8)>; MEDIAS_MAX]),
    Datagrams(Box<Datagrams>),
}

/// A viewer by UDP.
pub(super) struct Datagrams {
    ports: Arc<Ports>,
    targets: Targets,
    queues: Queues,
    pace: Pace,
}

impl Sealed {
    pub(super) fn new(body: PacketBody, sealer: Sealer, way: Way) -> Self {
        Self { body, waiting: Bytes::new(), seal: Seal::new(sealer), way }
    }

    pub(super) fn want(&mut self, wants: Wants) {
        self.body.want(wants);
    }

    /// How long the viewer is waited for.
    pub(super) fn patience(&self, stall_max: Duration) -> Patience {
        self.body.patience(stall_max)
    }

    /// The next bytes for the connection; none at the end of the stream. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`SrtpError::Exhausted`] when there has to be another key: for that a viewer has to come again.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SrtpError> {
        loop {
            if self.seal.is_spent {
                return Err(SrtpError::Exhausted);
            }
            if let Way::Datagrams(datagrams) = &self.way {
                datagrams.pace.ready().await;
            }
            if self.waiting.is_empty() {
                let Some(Ok(frame)) = self.body.frame().await else { return Ok(None) };
                self.waiting = frame.into_data().unwrap_or_default();
            }
            let said = match &mut self.way {
                Way::Connection(channels) => self.seal.for_connection(&std::mem::take(&mut self.waiting), channels),
                Way::Datagrams(datagrams) => {
                    let sent = datagrams.send(&self.waiting, &mut self.seal);
                    self.waiting.advance(sent);
                    Vec::new()
                }
            };
            if !said.is_empty() {
                return Ok(Some(said.into()));
            }
        }
    }
}

impl Seal {
    fn new(sealer: Sealer) -> Self {
        Self { sealer, numbers: Default::default(), is_spent: false }
    }

    /// Appends a packet of a track as this viewer gets it; false when it cannot.
    fn write(&mut self, media: usize, is_rtcp: bool, packet: &[u8], out: &mut Vec<u8>) -> bool {
        let from = out.len();
        out.extend_from_slice(packet);
        let sealed = if is_rtcp { self.sealer.rtcp(out, from) } else { self.write_rtp(media, out, from) };
        self.is_spent |= sealed == Err(SrtpError::Exhausted);
        sealed.is_ok()
    }

    fn write_rtp(&mut self, media: usize, out: &mut Vec<u8>, from: usize) -> Result<(), SrtpError> {
        if let (Some(numbers), Some([_, _, high, low, ..])) = (self.numbers.get_mut(media), out.get_mut(from..)) {
            let sequence = u16::from_be_bytes([*high, *low]);
            [*high, *low] = numbers.get_or_insert(Numbers::begin(sequence)).number(sequence).to_be_bytes();
        }
        self.sealer.rtp(out, from)
    }

    /// Packets as the log has them, for the channels of this viewer.
    fn for_connection(&mut self, packets: &[u8], channels: &[Option<(u8, u8)>; MEDIAS_MAX]) -> Vec<u8> {
        let mut out = Vec::with_capacity(packets.len() + packets.len() / 8);
        for (channel, packet) in split(packets) {
            let (media, is_rtcp) = (usize::from(channel / 2), channel % 2 == 1);
            let Some((rtp, rtcp)) = channels.get(media).copied().flatten() else { continue };
            let begun = out.len();
            out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
            let is_sealed = self.write(media, is_rtcp, packet, &mut out);
            let bytes = out.len() - begun - FRAME_HEADER_BYTES;
            let header = frame_header(if is_rtcp { rtcp } else { rtp }, bytes).filter(|_| is_sealed);
            match header.zip(out.get_mut(begun..).and_then(<[u8]>::first_chunk_mut)) {
                Some((header, place)) => *place = header,
                None => out.truncate(begun),
            }
        }
        out
    }
}

/// Sequence numbers of one viewer.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    /// What they are lower by than those of other viewers.
    lower_by: u16,
    next: u16,
}

impl Numbers {
    fn begin(sequence: u16) -> Self {
        Self { lower_by: sequence & !FIRST_SEQUENCE, next: sequence & FIRST_SEQUENCE }
    }

    /// The number of the next packet. They never go back, as they would where a viewer goes on after a pause: receivers drop what they
    /// take for a repetition.
    fn number(&mut self, sequence: u16) -> u16 {
        if sequence.wrapping_sub(self.lower_by).wrapping_sub(self.next) > u16::MAX / 2 {
            self.lower_by = sequence.wrapping_sub(self.next);
        }
        let own = sequence.wrapping_sub(self.lower_by);
        self.next = own.wrapping_add(1);
        own
    }
}

impl Way {
    pub(super) fn by_datagrams(ports: Arc<Ports>, targets: Targets) -> Self {
        Self::Datagrams(Box::new(Datagrams { ports, targets, queues: Queues::new(), pace: Pace::new() }))
    }
}

impl Datagrams {
    /// Sends packets as the log has them, as many as may be sent now; how many bytes these had.
    fn send(&mut self, packets: &[u8], seal: &mut Seal) -> usize {
        let mut taken = 0;
        for (channel, packet) in split(packets) {
            taken += FRAME_HEADER_BYTES + packet.len();
            let (media, is_rtcp) = (usize::from(channel / 2), channel % 2 == 1);
            let Some((rtp, rtcp)): Option<(SocketAddr, SocketAddr)> = self.targets.get(media).copied().flatten() else {
                continue;
            };
            let (to, bytes_max) = (if is_rtcp { rtcp } else { rtp }, packet.len() + SEAL_BYTES_MAX);
            self.queues.put(is_rtcp, to, bytes_max, |out| seal.write(media, is_rtcp, packet, out));
            self.pace.count(bytes_max);
            if self.pace.is_spent() {
                self.queues.send(&self.ports);
                return taken;
            }
        }
        self.queues.send(&self.ports);
        packets.len()
    }
}

#[cfg(test)]
mod tests {
    use arcly_wire::srtp::{Key, Lifetime, Suite};

    use super::*;

    /// RFC 3711 §9.2.
    #[test]
    fn a_key_that_has_sealed_as_much_as_it_may_ends_the_play() {
        let sealer = Sealer::new(&Key::random(Suite::default()).unwrap()).unwrap();
        let mut seal = Seal::new(sealer.with_lifetime(Lifetime { rtp: 2, ..Lifetime::MAX }));
        let packet = |sequence: u8| [&b"$\0\0\x0d\x80\x60\0"[..], &[sequence], b"\0\0\0\0ssrcx"].concat();
        let channels = std::array::from_fn(|media| Some((2 * media as u8, 2 * media as u8 + 1)));
        assert!(!seal.for_connection(&[packet(1), packet(2)].concat(), &channels).is_empty());
        assert!(!seal.is_spent);
        assert!(seal.for_connection(&packet(3), &channels).is_empty(), "nothing goes in the clear");
        assert!(seal.is_spent);
    }

    /// Found by reading: a viewer who went on after a pause was sent numbers that went back.
    #[test]
    fn numbers_never_go_back_and_show_what_is_missing() {
        let mut numbers = Numbers::begin(40_000);
        let own = |numbers: &mut Numbers, sequences: &[u16]| {
            sequences.iter().map(|sequence| numbers.number(*sequence)).collect::<Vec<_>>()
        };
        assert_eq!(own(&mut numbers, &[40_000, 40_001, 40_005]), [7232, 7233, 7237]);
        // The key picture that was sent before, and much later.
        assert_eq!(own(&mut numbers, &[40_001, 40_002, 15_000, 15_001]), [7238, 7239, 7240, 7241]);
        assert_eq!(own(&mut numbers, &[15_003]), [7243]);
    }
}
