//! A stream on its way to one viewer who alone can read it: each packet is sealed (RFC 3711) under a key that only this viewer was told.
//!
//! A key for all viewers would spare all but the first sealing. But whoever has left could read on, and whoever comes late would have to be
//! told how often sequence numbers have wrapped, for which RFC 4568 has no word.

use std::{net::SocketAddr, sync::Arc};

use arcly_wire::{rtp::srtp::Sealer, rtsp::MAGIC};
use bytes::Bytes;
use http_body_util::BodyExt;

use super::{
    channels::{MEDIAS_MAX, split},
    datagrams::Ports,
    outlet::Targets,
    pace::Pace,
};
use crate::{
    egress::{PacketBody, Wants},
    udp::Outbound,
};

/// Bytes that wait for the system at most: those of one picture.
const OUTBOUND_BYTES: usize = 4 << 20;

/// Sequence numbers of a session begin in the lower half: a receiver who misses the packets in front of the first wrap would take those behind
/// it for others (RFC 4568 §6.4.1).
pub(super) const FIRST_SEQUENCE: u16 = 0x7fff;

/// The packets of one viewer.
pub(super) struct Sealed {
    body: PacketBody,
    sealer: Sealer,
    /// How the packets of each track are numbered.
    numbers: [Option<Numbers>; MEDIAS_MAX],
    way: Way,
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
    rtcp: Outbound,
    rtp: Outbound,
    pace: Pace,
}

impl Sealed {
    pub(super) fn new(body: PacketBody, sealer: Sealer, way: Way) -> Self {
        Self { body, sealer, numbers: Default::default(), way }
    }

    pub(super) fn want(&mut self, wants: Wants) {
        self.body.want(wants);
    }

    /// The next bytes for the connection; none at the end of the stream. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Way::Datagrams(datagrams) = &self.way {
                datagrams.pace.ready().await;
            }
            let packets = self.body.frame().await?.ok()?.into_data().unwrap_or_default();
            let said = self.seal(&packets);
            if !said.is_empty() {
                return Some(said);
            }
        }
    }

    /// Seals packets as the log has them: sends them, or returns what is to be written.
    fn seal(&mut self, packets: &[u8]) -> Bytes {
        let (mut said, mut sealed) = (Vec::with_capacity(packets.len() + packets.len() / 8), Vec::new());
        for (channel, packet) in split(packets) {
            let (media, is_rtcp) = (usize::from(channel / 2), channel % 2 == 1);
            sealed.clear();
            let outcome = if is_rtcp {
                self.sealer.rtcp(packet, &mut sealed)
            } else {
                self.sealer.rtp(&renumbered(packet, self.numbers.get_mut(media)), &mut sealed)
            };
            if outcome.is_ok() {
                self.way.put(media, is_rtcp, &sealed, &mut said);
            }
        }
        if let Way::Datagrams(datagrams) = &mut self.way {
            datagrams.send();
        }
        said.into()
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

/// The packet with the sequence number that this viewer gets.
fn renumbered(packet: &[u8], numbers: Option<&mut Option<Numbers>>) -> Vec<u8> {
    let mut own = packet.to_vec();
    if let (Some(numbers), [_, _, high, low, ..]) = (numbers, own.as_mut_slice()) {
        let sequence = u16::from_be_bytes([*high, *low]);
        [*high, *low] = numbers.get_or_insert(Numbers::begin(sequence)).number(sequence).to_be_bytes();
    }
    own
}

impl Way {
    pub(super) fn by_datagrams(ports: Arc<Ports>, targets: Targets) -> Self {
        let [rtcp, rtp] = [(); 2].map(|()| Outbound::new(OUTBOUND_BYTES));
        Self::Datagrams(Box::new(Datagrams { ports, targets, rtcp, rtp, pace: Pace::new() }))
    }

    fn put(&mut self, media: usize, is_rtcp: bool, packet: &[u8], said: &mut Vec<u8>) {
        match self {
            Self::Connection(channels) => {
                let Some((rtp, rtcp)) = channels.get(media).copied().flatten() else { return };
                let Ok(length) = u16::try_from(packet.len()) else { return };
                said.extend_from_slice(&[MAGIC, if is_rtcp { rtcp } else { rtp }]);
                said.extend_from_slice(&length.to_be_bytes());
                said.extend_from_slice(packet);
            }
            Self::Datagrams(datagrams) => datagrams.put(media, is_rtcp, packet),
        }
    }
}

impl Datagrams {
    fn put(&mut self, media: usize, is_rtcp: bool, packet: &[u8]) {
        let Some((rtp, rtcp)): Option<(SocketAddr, SocketAddr)> = self.targets.get(media).copied().flatten() else {
            return;
        };
        let (queue, to) = if is_rtcp { (&mut self.rtcp, rtcp) } else { (&mut self.rtp, rtp) };
        queue.push(to, None, &[packet]);
        self.pace.count(packet.len());
    }

    /// What the system does not take now goes with the next.
    fn send(&mut self) {
        // A report in front of what it is about.
        for (socket, queue) in [(&self.ports.rtcp, &mut self.rtcp), (&self.ports.rtp, &mut self.rtp)] {
            if socket.try_flush(queue).is_err() {
                queue.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
