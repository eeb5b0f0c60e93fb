//! Where the port is seen from outside: STUN servers are asked from the port itself, for an answer that holds for no other.

use std::{net::SocketAddr, time::Instant};

use arcly_wire::webrtc::discover::Discovered;

use super::Port;

impl Port {
    /// Asks whom it is time to ask.
    pub(super) fn discover(&mut self, now: Instant) {
        if self.discovery.due().is_none_or(|due| due > now) {
            return;
        }
        let (requests, silent) = self.discovery.poll(now);
        for (server, request) in requests {
            self.outbox.udp.push(server, None, &[&request]);
        }
        for found in silent {
            self.tell_found(found);
        }
    }

    /// Takes a datagram that is of no peer: it may be an answer.
    pub(super) fn discovered(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if let Some(found) = self.discovery.handle_datagram(from, bytes, now) {
            self.settings.set_discovered(&self.discovery.addresses());
            self.tell_found(found);
        }
    }

    fn tell_found(&self, found: Discovered) {
        match found {
            Discovered::Address(address) => {
                self.inbox.tell(format!("media are reached from outside at {address}, too"))
            }
            Discovered::Silence { server } => self.inbox.warn(format!(
                "the STUN server {server} does not answer: peers outside are not told where to connect to by it"
            )),
        }
    }
}
