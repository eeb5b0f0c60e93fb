//! How sessions end, and who is told.

use std::time::Instant;

use arcly_wire::webrtc::Transport;

use super::{PeerNumber, Port};
use crate::webrtc::peer::{End, Peer, Purpose};

impl Port {
    /// Says goodbye to a peer and forgets it.
    pub(super) fn end(&mut self, number: PeerNumber, end: &End, now: Instant) {
        let Some(mut peer) = self.peers.remove(&number) else { return };
        self.timers.remove(&(peer.due, number));
        self.by_id.remove(&peer.id);
        for name in &peer.user_names {
            self.by_name.remove(name);
        }
        for address in &peer.addresses {
            if self.by_address.get(address) == Some(&number) {
                self.by_address.remove(address);
            }
            if address.0 == Transport::Tcp {
                self.outbox.tcp.remove(&address.1);
            }
        }
        peer.session.close();
        let _ = peer.turn(&mut self.outbox, &self.limits, now);
        self.tell_of(&peer, end);
        match peer.purpose {
            Purpose::Publish(to_bus) => to_bus.end(&end.reason()),
            Purpose::Play(playing) => playing.feeds.iter().for_each(|feed| self.leave(*feed, number)),
        }
    }

    fn tell_of(&self, peer: &Peer, end: &End) {
        let (key, place) = (peer.key(), peer.place());
        match end {
            End::NeverConnected => self.inbox.warn(format!(
                "{key}: {place} had its offer answered and did not connect within {} s: is UDP port {} open, and was it told the right \
                 address?",
                self.limits.connect_time.as_secs(),
                self.socket.addr().port()
            )),
            End::Silent => self.inbox.warn(format!("{key}: {place} is not heard any more")),
            End::Failed(text) => self.inbox.warn(format!("{key}: {place} was disconnected: {text}")),
            End::Bug(text) => self.inbox.report_bug(format!("{key}: {place} was disconnected: {text}; please report it")),
            End::Closed | End::Kicked | End::Stream(_) => {}
        }
    }

    pub(super) async fn end_all(&mut self) {
        let now = Instant::now();
        let numbers: Vec<_> = self.peers.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.end(number, &End::Stream("the server is shutting down"), now));
        let _ = self.socket.flush(&mut self.outbox.udp).await;
    }
}
