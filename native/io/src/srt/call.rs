//! A connection that we make: a machine and a socket of its own.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use arcly_wire::srt::{CallEnd, SrtCaller, SrtConn, SrtRendezvous};
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
        let peer = url.resolve().await?;
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
        let mut wire = Wire { socket, inbound, outbound, datagram: Vec::new(), started, alarm };
        let machine = wire.call(url, peer).await?;
        Ok(Self { machine, peer, wire })
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
                let now = started.elapsed();
                for datagram in inbound.datagrams().filter(|datagram| datagram.peer.ip() == self.peer.ip()) {
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
    async fn call(&mut self, url: &SrtUrl, peer: SocketAddr) -> Result<SrtConn, String> {
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
            let end = caller.take_end();
            if let (Dial::Rendezvous(rendezvous), Some(_)) = (&mut caller, &end)
                && let Some(farewell) = rendezvous.poll_output(self.started.elapsed())
            {
                self.outbound.push(peer, None, &[&farewell]);
            }
            match end {
                None => {}
                Some(CallEnd::Connected(machine)) => return Ok(*machine),
                Some(CallEnd::Rejected(reason)) => return Err(format!("refused: {reason}")),
                Some(CallEnd::Failed(error)) => return Err(error.to_string()),
            }
        }
    }
}
