//! One connection of the load: a socket of its own, and the machine.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use arcly_wire::srt::{CallEnd, Packet, Passphrase, SrtCaller, SrtConn, SrtOptions};
use bytes::Bytes;

use crate::{
    arrival::Receiver,
    stream::{self, PAYLOAD_BYTES},
};

/// Called before, and asked again until somebody answers: servers and streams take a while to be there.
pub struct Link {
    receiver: Receiver,
    server: SocketAddr,
    stream_id: String,
    secret: Option<Passphrase>,
    state: State,
    scratch: Vec<u8>,
    /// Payload that has come.
    pub bytes: u64,
}

enum State {
    Calling(Box<SrtCaller>),
    /// Refused: the next call is made then.
    Refused(Duration),
    Up(Box<SrtConn>),
}

/// Between two calls.
const AGAIN: Duration = Duration::from_millis(200);

impl Link {
    pub fn new(now: Duration, server: SocketAddr, stream_id: &str, secret: Option<&str>) -> Result<Self, String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        socket.connect(server).map_err(|error| error.to_string())?;
        let receiver = Receiver::new(socket)?;
        let (stream_id, secret) = (stream_id.to_owned(), secret.and_then(Passphrase::new));
        let (state, scratch) = (State::Refused(now), Vec::with_capacity(2_048));
        Ok(Self { receiver, server, stream_id, secret, state, scratch, bytes: 0 })
    }

    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Data packets that were sent more than once, or were missing.
    pub fn faults(&self, now: Duration) -> u64 {
        let State::Up(conn) = &self.state else { return 0 };
        let counters = conn.stats(now).counters;
        counters.retransmitted_packets + counters.receive_lost_packets + counters.receive_dropped_packets
    }

    /// Takes what has come; `seen` gets the instants of pictures: when they were sent, and when the kernel had them.
    pub fn read(&mut self, now: impl Fn() -> Duration, mut seen: impl FnMut(Duration, Duration)) {
        let (mut buffer, mut is_new) = ([0; 2_048], false);
        while let Some((length, age)) = self.receiver.receive(&mut buffer) {
            let (came, datagram) = (now(), buffer.get(..length).unwrap_or_default());
            is_new = true;
            match &mut self.state {
                State::Calling(caller) => caller.handle_input(came, datagram),
                State::Refused(_) => {}
                State::Up(conn) => {
                    let _ = conn.handle_input(came, datagram);
                    if let Ok(Packet::Data(header, payload)) = Packet::parse(datagram)
                        && !header.is_retransmitted
                    {
                        self.bytes += payload.len() as u64;
                        if let Some(sent) = stream::instant(payload) {
                            seen(sent, came.saturating_sub(age));
                        }
                    }
                }
            }
        }
        if is_new {
            self.turn(now());
        }
    }

    /// Does what is due.
    pub fn turn(&mut self, now: Duration) {
        match &mut self.state {
            State::Refused(again) if now < *again => {}
            State::Refused(_) => {
                let (secret, options) = (self.secret.clone(), SrtOptions::default());
                if let Ok(caller) = SrtCaller::new(now, self.server, &self.stream_id, secret, options) {
                    self.state = State::Calling(Box::new(caller));
                    self.turn(now);
                }
            }
            State::Calling(caller) => {
                caller.handle_timeout(now);
                while let Some(packet) = caller.poll_output(now) {
                    let _ = self.receiver.socket.send(&packet);
                }
                match caller.take_end() {
                    None => {}
                    Some(CallEnd::Connected(conn)) => self.state = State::Up(conn),
                    Some(CallEnd::Rejected(_) | CallEnd::Failed(_)) => self.state = State::Refused(now + AGAIN),
                }
            }
            State::Up(conn) => {
                conn.handle_timeout(now);
                while conn.deliver(now).is_some() {}
                self.speak(now);
            }
        }
    }

    /// Sends packets of a transport stream, if it is up.
    pub fn send(&mut self, now: Duration, packets: &Bytes) {
        if let State::Up(conn) = &mut self.state {
            for start in (0..packets.len()).step_by(PAYLOAD_BYTES) {
                conn.send(now, &packets.slice(start..packets.len().min(start + PAYLOAD_BYTES)));
            }
            self.speak(now);
        }
    }

    fn speak(&mut self, now: Duration) {
        let State::Up(conn) = &mut self.state else { return };
        self.scratch.clear();
        while conn.poll_output(now, &mut self.scratch) {
            let _ = self.receiver.socket.send(&self.scratch);
            self.scratch.clear();
        }
    }
}
