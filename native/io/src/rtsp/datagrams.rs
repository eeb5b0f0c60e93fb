//! Datagrams of all sessions of a listener: one port for RTP and one for RTCP (RFC 3550 §11).
//!
//! What comes is believed only from where a session has said that it sends from, and only by the address of its connection; all else is
//! dropped unread. What goes, goes to the address of the connection, never to one that was only named: see `outlet`.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use arcly_wire::rtsp::MediaSetup;
use bytes::Bytes;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Inbox, ListenError, lock,
    peer::at_port,
    udp::{Interface, MulticastOut, Outbound, UdpOptions, UdpSocket},
};

/// Datagrams of one session that wait for it; more are dropped, as the kernel would.
const WAITING_MAX: usize = 1024;

/// Bytes that wait for the system at most: those of one picture.
const QUEUE_BYTES: usize = 4 << 20;

/// Routers that packets to groups may pass, ourselves included: those of an organisation.
pub(crate) const GROUP_TTL: u8 = 16;

/// How often a pair of free ports is looked for.
const PAIR_TRIES: usize = 32;

/// A datagram of a session.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The track, by its place in the description.
    pub(crate) media: usize,
    pub(crate) is_rtcp: bool,
    pub(crate) payload: Bytes,
}

/// The two ports, and who is known there.
pub(crate) struct Ports {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    routes: Mutex<HashMap<(bool, SocketAddr), Route>>,
}

struct Route {
    media: usize,
    to: mpsc::Sender<Arrived>,
}

/// Datagrams of one session on their way to the system.
pub(super) struct Queues {
    rtp: Outbound,
    rtcp: Outbound,
}

impl Queues {
    /// Empty ones. What waits is at most a picture.
    pub(super) fn new() -> Self {
        Self { rtp: Outbound::new(QUEUE_BYTES), rtcp: Outbound::new(QUEUE_BYTES) }
    }

    /// Queues a packet that `write` appends, of so many bytes at most; what finds no room is lost.
    pub(super) fn put(
        &mut self,
        is_rtcp: bool,
        to: SocketAddr,
        bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        let queue = if is_rtcp { &mut self.rtcp } else { &mut self.rtp };
        if queue.has_room(bytes_max) {
            queue.append(to, None, write);
        }
    }

    /// Sends what is queued. What the system does not take now goes with the next.
    pub(super) fn send(&mut self, ports: &Ports) {
        // A report in front of what it is about.
        for (socket, queue) in [(&ports.rtcp, &mut self.rtcp), (&ports.rtp, &mut self.rtp)] {
            if socket.try_flush(queue).is_err() {
                queue.clear();
            }
        }
    }
}

/// A session that hears datagrams, until this is dropped.
pub(crate) struct Registration {
    ports: Arc<Ports>,
    known: Vec<(bool, SocketAddr)>,
    arrivals: mpsc::Receiver<Arrived>,
}

impl Ports {
    /// Opens `port` for RTP and the next one for RTCP; 0 stands for any free pair.
    ///
    /// # Errors
    /// [`ListenError`] when one of them cannot be had.
    pub(crate) fn open(runtime: &Handle, host: IpAddr, port: u16) -> Result<Arc<Self>, ListenError> {
        let tries = if port == 0 { PAIR_TRIES } else { 1 };
        for _ in 1..tries {
            if let Ok(ports) = Self::pair(runtime, host, port) {
                return Ok(Arc::new(ports));
            }
        }
        Self::pair(runtime, host, port).map(Arc::new)
    }

    fn pair(runtime: &Handle, host: IpAddr, port: u16) -> Result<Self, ListenError> {
        let options = UdpOptions { multicast_out: multicast_out(host), ..UdpOptions::default() };
        let rtp_options = UdpOptions { coalesced: true, ..options.clone() };
        let bind = |port, options| {
            let addr = SocketAddr::new(host, port);
            UdpSocket::bind(runtime, addr, options).map_err(|source| ListenError { addr, source })
        };
        let rtp = bind(port, &rtp_options)?;
        // Behind the last port there is none: 0 would be any.
        let next = rtp
            .addr()
            .port()
            .checked_add(1)
            .ok_or_else(|| ListenError { addr: rtp.addr(), source: io::ErrorKind::AddrNotAvailable.into() })?;
        let rtcp = bind(next, &options)?;
        Ok(Self { rtp, rtcp, routes: Mutex::default() })
    }

    /// Receives until `stop`.
    pub(crate) fn serve(self: &Arc<Self>, runtime: &Handle, stop: &CancellationToken, inbox: &Arc<Inbox>) {
        for is_rtcp in [false, true] {
            let (ports, stop, inbox) = (self.clone(), stop.clone(), inbox.clone());
            runtime.spawn(async move {
                let socket = if is_rtcp { &ports.rtcp } else { &ports.rtp };
                tokio::select! {
                    error = ports.receive(is_rtcp, socket) => {
                        inbox.warn(format!("nothing more is heard at {}: {error}", socket.addr()));
                    }
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    /// Until the socket is of no use any more.
    async fn receive(&self, is_rtcp: bool, socket: &UdpSocket) -> io::Error {
        let mut inbound = socket.inbound();
        loop {
            if let Err(error) = socket.receive(&mut inbound).await {
                return error;
            }
            let routes = self.lock();
            for datagram in inbound.datagrams() {
                if let Some(Route { media, to }) = routes.get(&(is_rtcp, datagram.peer)) {
                    // Full: what is late is worth less than what follows.
                    let payload = Bytes::copy_from_slice(datagram.bytes);
                    let _ = to.try_send(Arrived { media: *media, is_rtcp, payload });
                }
            }
        }
    }

    /// Ports of RTP and RTCP.
    pub(crate) fn numbers(&self) -> (u16, u16) {
        (self.rtp.addr().port(), self.rtcp.addr().port())
    }

    /// Hears what comes for the session of `peer`; none when somebody else of that address is there already.
    pub(crate) fn register(self: &Arc<Self>, peer: SocketAddr, setups: &[MediaSetup]) -> Option<Registration> {
        let (to, arrivals) = mpsc::channel(WAITING_MAX);
        let mut registration = Registration { ports: self.clone(), known: Vec::new(), arrivals };
        let mut routes = self.lock();
        let mut is_free = true;
        for MediaSetup { media, transport } in setups {
            let Some((rtp, rtcp)) = transport.client_port else { continue };
            for key in [(false, at_port(peer, rtp)), (true, at_port(peer, rtcp))] {
                if routes.contains_key(&key) {
                    is_free = false;
                    continue;
                }
                routes.insert(key, Route { media: *media, to: to.clone() });
                registration.known.push(key);
            }
        }
        drop(routes);
        is_free.then_some(registration)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(bool, SocketAddr), Route>> {
        lock(&self.routes)
    }
}

/// By the interface of our address, where we have only one.
fn multicast_out(host: IpAddr) -> MulticastOut {
    let interface = match host {
        IpAddr::V4(address) if !address.is_unspecified() => Interface::Address(address),
        _ => Interface::Routed,
    };
    MulticastOut { interface, ttl: GROUP_TTL, ..MulticastOut::default() }
}

impl Registration {
    /// The next datagram. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Arrived> {
        self.arrivals.recv().await
    }

    /// Sends RTCP of a track to where the session has its own.
    pub(crate) fn answer(&self, media: usize, report: &[u8]) {
        let routes = self.ports.lock();
        let of_media = |key: &&(bool, SocketAddr)| key.0 && routes.get(key).is_some_and(|route| route.media == media);
        let mut outbound = Outbound::new(report.len());
        if let Some((_, to)) = self.known.iter().find(of_media) {
            outbound.push(*to, None, &[report]);
        }
        drop(routes);
        // When the system takes nothing now, the next report says it too.
        let _ = self.ports.rtcp.try_flush(&mut outbound);
    }

    /// One that is there already.
    pub(crate) fn try_next(&mut self) -> Option<Arrived> {
        self.arrivals.try_recv().ok()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut routes = self.ports.lock();
        self.known.iter().for_each(|key| drop(routes.remove(key)));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use arcly_wire::rtsp::Transport;

    use super::*;

    /// The zone was lost: what came of a link-local address was dropped, and what went to one had no way.
    #[tokio::test]
    async fn a_peer_is_known_by_the_zone_of_its_address() {
        let ports = Ports::open(&Handle::current(), Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let setups = [MediaSetup { media: 0, transport: Transport::udp((5000, 5001)) }];
        let _registration = ports.register("[fe80::1%3]:40000".parse().unwrap(), &setups).unwrap();
        let is_known = |is_rtcp, from: &str| ports.lock().contains_key(&(is_rtcp, from.parse().unwrap()));
        assert!(is_known(false, "[fe80::1%3]:5000") && is_known(true, "[fe80::1%3]:5001"));
        assert!(!is_known(false, "[fe80::1%4]:5000") && !is_known(false, "[fe80::1]:5000"));
    }
}
