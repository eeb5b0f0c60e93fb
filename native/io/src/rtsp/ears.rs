//! Datagrams of a client: a pair of ports for each track, heard from the server alone.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use arcly_wire::rtsp::MediaSetup;
use bytes::Bytes;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::datagrams::{Arrived, Ports, Queues};
use crate::peer::at_port;

/// Datagrams that wait for us; more are dropped, as the kernel would.
const WAITING_MAX: usize = 1024;

/// An RTP packet and an RTCP packet of nobody: what lets answers through a firewall or NAT on our side, which has seen nothing go out.
/// The payload type is one that nobody has (RFC 3551 §6).
const KNOCK_RTP: [u8; 12] = [0x80, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const KNOCK_RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 0];

/// The ports of all tracks of a session.
pub(super) struct Ears {
    /// The connection's other end.
    server: SocketAddr,
    tracks: Vec<Track>,
    arrivals: mpsc::Receiver<Arrived>,
    /// Ours too, so that there is always a next one.
    to: mpsc::Sender<Arrived>,
    stop: CancellationToken,
    _stop: DropGuard,
}

struct Track {
    media: usize,
    ports: Arc<Ports>,
    /// Where the server hears RTP and RTCP, when it has said so.
    target: Option<(SocketAddr, SocketAddr)>,
    queues: Queues,
}

impl Ears {
    /// No ports yet, for a server at that address.
    pub(super) fn new(server: SocketAddr) -> Self {
        let (to, arrivals) = mpsc::channel(WAITING_MAX);
        let stop = CancellationToken::new();
        Self { server, tracks: Vec::new(), arrivals, to, _stop: stop.clone().drop_guard(), stop }
    }

    /// Opens a pair of ports for a track; their numbers.
    pub(super) fn open(&mut self, media: usize) -> io::Result<(u16, u16)> {
        let any: IpAddr =
            if self.server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let ports = Ports::open(&Handle::current(), any, 0).map_err(|error| error.source)?;
        let numbers = ports.numbers();
        self.tracks.push(Track { media, ports, target: None, queues: Queues::new() });
        Ok(numbers)
    }

    /// Hears what the server sends, as it was agreed upon.
    pub(super) fn listen(&mut self, setups: &[MediaSetup]) {
        let server = self.server.ip();
        for track in &mut self.tracks {
            let Some(setup) = setups.iter().find(|setup| setup.media == track.media) else { continue };
            // A server may have several addresses; it is believed about its own, over a connection that we have made to it.
            let source = setup.transport.source.as_ref().and_then(|source| source.parse().ok()).unwrap_or(server);
            let ports = setup.transport.server_port;
            track.target = ports.map(|(rtp, rtcp)| (at_port(self.server, rtp), at_port(self.server, rtcp)));
            for is_rtcp in [false, true] {
                let (ports, to, stop, media) = (track.ports.clone(), self.to.clone(), self.stop.clone(), track.media);
                let believed = [source, server];
                tokio::spawn(async move {
                    tokio::select! {
                        () = hear(&ports, is_rtcp, believed, media, to) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            track.put(false, &KNOCK_RTP);
            track.put(true, &KNOCK_RTCP);
            track.send();
        }
    }

    /// Queues a packet of a track for where the server hears it; what finds no room is lost.
    pub(super) fn put(&mut self, media: usize, is_rtcp: bool, packet: &[u8]) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.media == media) {
            track.put(is_rtcp, packet);
        }
    }

    /// Sends what is queued. What the system does not take now goes with the next.
    pub(super) fn send(&mut self) {
        self.tracks.iter_mut().for_each(Track::send);
    }

    /// The next datagram. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Arrived {
        match self.arrivals.recv().await {
            Some(arrived) => arrived,
            None => std::future::pending().await,
        }
    }
}

impl Track {
    fn put(&mut self, is_rtcp: bool, packet: &[u8]) {
        let Some((rtp, rtcp)) = self.target else { return };
        self.queues.put(is_rtcp, if is_rtcp { rtcp } else { rtp }, packet.len(), |out| {
            out.extend_from_slice(packet);
            true
        });
    }

    fn send(&mut self) {
        self.queues.send(&self.ports);
    }
}

async fn hear(ports: &Ports, is_rtcp: bool, believed: [IpAddr; 2], media: usize, to: mpsc::Sender<Arrived>) {
    let socket = if is_rtcp { &ports.rtcp } else { &ports.rtp };
    let mut inbound = socket.inbound();
    while socket.receive(&mut inbound).await.is_ok() {
        for datagram in inbound.datagrams().filter(|datagram| believed.contains(&datagram.peer.ip())) {
            let payload = Bytes::copy_from_slice(datagram.bytes);
            let _ = to.try_send(Arrived { media, is_rtcp, payload });
        }
    }
}
