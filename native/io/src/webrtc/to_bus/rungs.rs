//! A publisher that sends its pictures in several encodings (simulcast, RFC 8853): a stream for each, all with the same sound.

use std::time::Instant;

use arcly_bus::Publisher;
use arcly_wire::webrtc::{ArrivedPacket, TrackKey};
use bytes::Bytes;

use super::ToBus;

/// The streams of one publisher.
pub(in crate::webrtc) struct Rungs {
    first: ToBus,
    /// By the name of the encoding.
    others: Vec<(String, ToBus)>,
}

impl Rungs {
    /// `has_messages`: the publisher may send some.
    pub(in crate::webrtc) fn new(publisher: Publisher, others: Vec<(String, Publisher)>, has_messages: bool) -> Self {
        let rung = |publisher| ToBus::new(publisher, has_messages);
        let others = others.into_iter().map(|(name, publisher)| (name, rung(publisher)));
        Self { others: others.collect(), first: rung(publisher) }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut ToBus> {
        std::iter::once(&mut self.first).chain(self.others.iter_mut().map(|(_, rung)| rung))
    }

    /// Media may come from now on.
    pub(in crate::webrtc) fn connected(&mut self, now: Instant) {
        self.all().for_each(|rung| rung.connected(now));
    }

    /// Takes a packet: of a named encoding to its stream, of others (sound) to all.
    pub(in crate::webrtc) fn packet(&mut self, packet: ArrivedPacket, now: Instant) {
        let Some(name) = packet.track.rid() else {
            for (_, rung) in &mut self.others {
                rung.packet(packet.clone(), now);
            }
            return self.first.packet(packet, now);
        };
        match self.others.iter_mut().find(|(rung, _)| rung == name) {
            Some((_, rung)) => rung.packet(packet, now),
            None => self.first.packet(packet, now),
        }
    }

    /// Takes a message: every encoding has them.
    pub(in crate::webrtc) fn message(&mut self, message: Bytes, now: Instant) {
        self.all().for_each(|rung| rung.message(message.clone(), now));
    }

    pub(in crate::webrtc) fn take_key_frame_wishes(&mut self, now: Instant) -> Vec<TrackKey> {
        self.all().flat_map(|rung| rung.take_key_frame_wishes(now)).collect()
    }

    pub(in crate::webrtc) fn due(&self) -> Option<Instant> {
        self.others.iter().filter_map(|(_, rung)| rung.due()).chain(self.first.due()).min()
    }

    pub(in crate::webrtc) fn handle_timeout(&mut self, now: Instant) {
        self.all().for_each(|rung| rung.handle_timeout(now));
    }

    /// Why the publish is to end: somebody else has ended its stream. An encoding whose stream is ended is left out.
    pub(in crate::webrtc) fn ended(&mut self) -> Option<&'static str> {
        self.others.retain(|(_, rung)| rung.ended().is_none());
        self.first.ended()
    }

    pub(in crate::webrtc) fn take_problems(&mut self) -> Vec<String> {
        self.all().flat_map(ToBus::take_problems).collect()
    }

    pub(in crate::webrtc) fn end(self, reason: &str) {
        self.others.into_iter().for_each(|(_, rung)| rung.end(reason.to_owned()));
        self.first.end(reason.to_owned());
    }
}
