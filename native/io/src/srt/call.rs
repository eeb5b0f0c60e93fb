//! A connection that we make: a machine and a socket of its own.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use arcly_wire::srt::{CallEnd, Packet, SrtCaller, SrtConn, SrtError, SrtRendezvous};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::{
    alarm::{Alarm, GRAIN},
    connection::reason,
    url::SrtUrl,
};
use crate::{
    bell::Bell,
    udp::{Inbound, Outbound, UdpOptions, UdpSocket},
};

/// Bytes that may wait for the kernel.
const OUTBOUND_BYTES_MAX: usize = 4 << 20;
/// Where nothing else is due.
const LOOK: Duration = Duration::from_secs(1);

/// A connected call.
pub(super) struct Call {
    pub(super) machine: SrtConn,
    pub(super) peer: SocketAddr,
    wire: Wire,
}

/// A socket and what is on its way through it.
struct Wire {
    socket: UdpSocket,
    inbound: Inbound,
    outbound: Outbound,
    /// The datagram that is made now.
    datagram: Vec<u8>,
    started: Instant,
    alarm: Alarm,
}

impl Call {
    /// Calls; an error is a sentence.
    pub(super) async fn connect(runtime: &Handle, url: &SrtUrl) -> Result<Self, String> {
        Self::reach(runtime, url, url.resolve().await?).await
    }

    /// Calls the first of these addresses that answers: a name may have one at which nobody listens.
    async fn reach(runtime: &Handle, url: &SrtUrl, addresses: Vec<SocketAddr>) -> Result<Self, String> {
        let mut last = String::new();
        for peer in addresses {
            let called = async {
                let mut wire = Wire::open(runtime, url, peer)?;
                Ok((wire.call(url, peer).await?, wire))
            };
            match called.await {
                Ok((CallEnd::Connected(machine), wire)) => return Ok(Self { machine: *machine, peer, wire }),
                Ok((CallEnd::Rejected(reason), _)) => return Err(format!("refused: {reason}")),
                Ok((CallEnd::Failed(error @ SrtError::Timeout { .. }), _)) => last = error.to_string(),
                Ok((CallEnd::Failed(error), _)) => return Err(error.to_string()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn now(&self) -> Duration {
        self.wire.started.elapsed()
    }

    /// Waits until something has come, or it is time for something, or until `at`, or `bell` rings; and says what the machine has to say.
    pub(super) async fn turn(&mut self, bell: &Bell, at: Option<Duration>) -> Result<(), String> {
        self.speak();
        let latest = at.unwrap_or(Duration::MAX).min(self.now() + LOOK);
        let due = self.machine.poll_timeout().unwrap_or(Duration::MAX).min(latest);
        let Wire { socket, inbound, outbound, started, alarm, .. } = &mut self.wire;
        alarm.set(due, GRAIN);
        let failed = |error| format!("the socket is of no use any more: {error}");
        tokio::select! {
            received = socket.receive(inbound) => {
                received.map_err(failed)?;
                let (now, peer, local_id) = (started.elapsed(), self.peer.ip(), Some(self.machine.local_id()));
                // Whoever shares its address, or forges it, does not know the number.
                let is_ours = |bytes| Packet::destination(bytes) == local_id;
                for datagram in inbound.datagrams().filter(|it| it.peer.ip() == peer && is_ours(it.bytes)) {
                    // A broken datagram is dropped.
                    let _ = self.machine.handle_input(now, datagram.bytes);
                }
            }
            flushed = socket.flush(outbound), if !outbound.is_empty() => flushed.map_err(failed)?,
            () = alarm.ring() => self.machine.handle_timeout(started.elapsed()),
            () = bell.heard() => {}
        }
        match self.machine.closed() {
            None => Ok(()),
            Some(closed) => {
                self.speak();
                Err(reason(closed))
            }
        }
    }

    /// Gives the kernel what the machine has to say.
    pub(super) fn speak(&mut self) {
        let now = self.now();
        let Wire { socket, outbound, datagram, .. } = &mut self.wire;
        while self.machine.poll_output(now, datagram) {
            outbound.push(self.peer, None, &[datagram]);
            datagram.clear();
        }
        let _ = socket.try_flush(outbound);
    }

    /// Says goodbye.
    pub(super) fn close(&mut self) {
        self.machine.close(self.now());
        self.speak();
    }
}

/// The two ways to call.
enum Dial {
    Caller(Box<SrtCaller>),
    Rendezvous(Box<SrtRendezvous>),
}

impl Dial {
    fn new(now: Duration, url: &SrtUrl, peer: SocketAddr) -> Result<Self, String> {
        let (passphrase, settings) = (url.passphrase.clone(), url.settings);
        let made = if url.rendezvous {
            SrtRendezvous::new(now, peer, passphrase, settings).map(|caller| Self::Rendezvous(Box::new(caller)))
        } else {
            SrtCaller::new(now, peer, &url.stream_id, passphrase, settings).map(|caller| Self::Caller(Box::new(caller)))
        };
        made.map_err(|error| error.to_string())
    }

    fn poll_output(&mut self, now: Duration) -> Option<Vec<u8>> {
        match self {
            Self::Caller(caller) => caller.poll_output(now),
            Self::Rendezvous(caller) => caller.poll_output(now),
        }
    }

    fn poll_timeout(&self) -> Option<Duration> {
        match self {
            Self::Caller(caller) => caller.poll_timeout(),
            Self::Rendezvous(caller) => caller.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Duration) {
        match self {
            Self::Caller(caller) => caller.handle_timeout(now),
            Self::Rendezvous(caller) => caller.handle_timeout(now),
        }
    }

    fn handle_input(&mut self, now: Duration, datagram: &[u8]) {
        match self {
            Self::Caller(caller) => caller.handle_input(now, datagram),
            Self::Rendezvous(caller) => caller.handle_input(now, datagram),
        }
    }

    fn take_end(&mut self) -> Option<CallEnd> {
        match self {
            Self::Caller(caller) => caller.take_end(),
            Self::Rendezvous(caller) => caller.take_end(),
        }
    }
}

impl Wire {
    fn open(runtime: &Handle, url: &SrtUrl, peer: SocketAddr) -> Result<Self, String> {
        // Who is called back must be found at a port that is known: by custom, the same.
        let port = if url.rendezvous { url.port } else { 0 };
        let any = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let local = (url.adapter.unwrap_or(any), port).into();
        let options = UdpOptions { coalesced: true, ..UdpOptions::default() };
        let socket =
            UdpSocket::bind(runtime, local, &options).map_err(|error| format!("cannot call {url}: {error}"))?;
        let (inbound, outbound) = (socket.inbound(), Outbound::new(OUTBOUND_BYTES_MAX));
        let started = Instant::now();
        let alarm = Alarm::new(started).map_err(|error| format!("there is no timer to call {url} by: {error}"))?;
        Ok(Self { socket, inbound, outbound, datagram: Vec::new(), started, alarm })
    }

    async fn call(&mut self, url: &SrtUrl, peer: SocketAddr) -> Result<CallEnd, String> {
        let mut caller = Dial::new(self.started.elapsed(), url, peer)?;
        loop {
            while let Some(packet) = caller.poll_output(self.started.elapsed()) {
                self.outbound.push(peer, None, &[&packet]);
                let _ = self.socket.try_flush(&mut self.outbound);
            }
            let due = self.started + caller.poll_timeout().unwrap_or_default();
            tokio::select! {
                received = self.socket.receive(&mut self.inbound) => {
                    received.map_err(|error| error.to_string())?;
                    let now = self.started.elapsed();
                    self.inbound.datagrams().filter(|datagram| datagram.peer == peer)
                        .for_each(|datagram| caller.handle_input(now, datagram.bytes));
                }
                () = sleep_until(due) => caller.handle_timeout(self.started.elapsed()),
            }
            let Some(end) = caller.take_end() else { continue };
            if let Dial::Rendezvous(rendezvous) = &mut caller
                && let Some(farewell) = rendezvous.poll_output(self.started.elapsed())
            {
                self.outbound.push(peer, None, &[&farewell]);
                // With a refusal the socket goes.
                let _ = self.socket.try_flush(&mut self.outbound);
            }
            return Ok(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use arcly_wire::srt::{Closed, Control, Passphrase, RejectReason, Reply, SrtListener, SrtOptions};
    use tokio::{
        net::UdpSocket as Plain,
        time::{sleep, timeout},
    };

    use super::*;

    const NOW: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Takes the first call that comes to `socket`, or refuses it; where that comes from.
    async fn answer(socket: &Plain, accepts: bool) -> SocketAddr {
        let (listener, options, mut bytes) = (SrtListener::new(None).unwrap(), SrtOptions::default(), [0; 1_500]);
        loop {
            let (length, peer) = socket.recv_from(&mut bytes).await.unwrap();
            let said = match listener.handle_input(NOW, peer, &bytes[..length]) {
                Reply::Nothing => continue,
                Reply::Send(cookie) => {
                    socket.send_to(&cookie, peer).await.unwrap();
                    continue;
                }
                Reply::Request(request) if accepts => request.accept(NOW, &options, None, 7).unwrap().1.packet(NOW),
                Reply::Request(request) => request.reject(RejectReason::Forbidden),
            };
            socket.send_to(&said, peer).await.unwrap();
            return peer;
        }
    }

    /// A call to a listener that takes it, and that listener: its socket, and where the call comes from.
    async fn connected() -> (Plain, SocketAddr, Call) {
        let socket = Plain::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = SrtUrl::parse(&format!("srt://{}", socket.local_addr().unwrap())).unwrap();
        let runtime = Handle::current();
        let (peer, call) = tokio::join!(answer(&socket, true), Call::connect(&runtime, &url));
        (socket, peer, call.unwrap())
    }

    /// `localhost` is `::1` first in many places, and only that was called: there was no answer, for ever.
    #[tokio::test]
    async fn an_address_of_a_name_that_does_not_answer_leaves_the_others_their_turn() {
        let open = async || Plain::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (takes, refuses, unasked) = (open().await, open().await, open().await);
        let at = |socket: &Plain| socket.local_addr().unwrap();
        let silent = SocketAddr::from((Ipv6Addr::LOCALHOST, at(&takes).port()));
        let url = SrtUrl::parse("srt://localhost?connect_timeout=1000").unwrap();
        let runtime = Handle::current();
        let reach = Call::reach(&runtime, &url, vec![silent, at(&takes), at(&unasked)]);
        let (_, call) = tokio::join!(timeout(PATIENCE, answer(&takes, true)), reach);
        assert_eq!(call.unwrap().peer, at(&takes));
        // Who is refused does not ask elsewhere.
        let reach = Call::reach(&runtime, &url, vec![at(&refuses), at(&unasked)]);
        let (_, call) = tokio::join!(timeout(PATIENCE, answer(&refuses, false)), reach);
        assert!(call.is_err_and(|error| error.starts_with("refused")));
        assert!(unasked.try_recv_from(&mut [0; 1_500]).is_err());
    }

    /// Anybody at its address could end it, and two calls to one host each other.
    #[tokio::test]
    async fn a_goodbye_to_another_socket_ends_no_call() {
        let (socket, peer, mut call) = connected().await;
        let (id, bell) = (call.machine.local_id(), Bell::default());
        let to = |id: u32, control: Control<'_>| {
            let mut packet = Vec::new();
            control.write(0, id, &mut packet);
            packet
        };
        socket.send_to(&to(id ^ 1, Control::Shutdown), peer).await.unwrap();
        // Who sees this has seen the other.
        let mut broken = to(id, Control::KeepAlive);
        broken[1] = 2;
        broken.truncate(16);
        socket.send_to(&broken, peer).await.unwrap();
        while call.machine.stats(call.now()).counters.malformed_packets == 0 {
            call.turn(&bell, None).await.unwrap();
        }
        assert!(call.machine.closed().is_none());
        socket.send_to(&to(id, Control::Shutdown), peer).await.unwrap();
        while call.turn(&bell, None).await.is_ok() {}
        assert_eq!(call.machine.closed(), Some(Closed::ByPeer));
    }

    /// Who of the two refuses is up to the dice. The refusal went with the socket, unsent: the other waited until its time was up.
    #[tokio::test]
    async fn who_refuses_to_meet_says_so() {
        for _ in 0..8 {
            let socket = Plain::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let (port, started) = (socket.local_addr().unwrap().port(), Instant::now());
            let url = format!("srt://127.0.0.1:{port}?mode=rendezvous&adapter=127.0.0.2&passphrase=one%20of%20ours");
            let there = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
            let (secret, options) = (Passphrase::new("one of theirs"), SrtOptions::default());
            let mut theirs = SrtRendezvous::new(started.elapsed(), there, secret, options).unwrap();
            let meet = async {
                let mut bytes = [0; 1_500];
                loop {
                    while let Some(packet) = theirs.poll_output(started.elapsed()) {
                        let _ = socket.send_to(&packet, there).await;
                    }
                    if let Some(end) = theirs.take_end() {
                        return end;
                    }
                    tokio::select! {
                        received = socket.recv_from(&mut bytes) => if let Ok((length, _)) = received {
                            theirs.handle_input(started.elapsed(), &bytes[..length]);
                        },
                        () = sleep(Duration::from_millis(5)) => theirs.handle_timeout(started.elapsed()),
                    }
                }
            };
            let (url, runtime) = (SrtUrl::parse(&url).unwrap(), Handle::current());
            let (end, call) = tokio::join!(meet, Call::connect(&runtime, &url));
            assert!(matches!(end, CallEnd::Rejected(_)), "{end:?}");
            assert!(call.is_err_and(|error| error.starts_with("refused")));
        }
    }
}
