//! All that plays and publishes, in one thread.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    link::Link,
    stream::{PAYLOAD_BYTES, PICTURE_TIME, Stream},
};

/// Between two looks at all sockets. Nobody waits at them: to wake somebody for each datagram would cost the server, here and in the floor.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two looks at the clocks of all connections.
const TICK: Duration = Duration::from_millis(5);
/// Servers, their publishers and their viewers are there by then.
const START_TIME: Duration = Duration::from_secs(30);

pub struct Load {
    started: Instant,
    links: Vec<Link>,
    /// Links before this index publish.
    publishers: usize,
    /// Where pictures go without SRT.
    plain: Option<(UdpSocket, Vec<SocketAddr>)>,
    bits_per_s: u64,
    stream: Stream,
    /// The picture that is sent now, to whom next, and when it began.
    picture: Bytes,
    turn: usize,
    picture_began: Duration,
    ticked: Duration,
    /// Sent and come, of pictures.
    pub instants: Vec<(Duration, Duration)>,
    /// Payload that was sent.
    pub sent_bytes: u64,
}

impl Load {
    pub fn new(bits_per_s: u64) -> Self {
        Self {
            started: Instant::now(),
            links: Vec::new(),
            publishers: 0,
            plain: None,
            bits_per_s,
            stream: Stream::new(bits_per_s),
            picture: Bytes::new(),
            turn: 0,
            picture_began: Duration::ZERO,
            ticked: Duration::ZERO,
            instants: Vec::new(),
            sent_bytes: 0,
        }
    }

    /// Publishers come first.
    pub fn publish(&mut self, server: SocketAddr, stream_id: &str, secret: Option<&str>) -> Result<(), String> {
        assert!(self.publishers == self.links.len(), "publishers come before viewers");
        self.publishers += 1;
        self.call(server, stream_id, secret)
    }

    pub fn play(&mut self, server: SocketAddr, stream_id: &str, secret: Option<&str>) -> Result<(), String> {
        self.call(server, stream_id, secret)
    }

    /// Sends the pictures to these ports as they are.
    pub fn feed(&mut self, ports: Vec<SocketAddr>) -> Result<(), String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        self.plain = Some((socket, ports));
        Ok(())
    }

    fn call(&mut self, server: SocketAddr, stream_id: &str, secret: Option<&str>) -> Result<(), String> {
        self.links.push(Link::new(self.now(), server, stream_id, secret)?);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Until everybody is connected, and then for so long.
    pub fn connect(&mut self, settle: Duration) -> Result<(), String> {
        let deadline = self.now() + START_TIME;
        while !self.links.iter().all(Link::is_up) {
            self.turn();
            if self.now() > deadline {
                let up = self.links.iter().filter(|link| link.is_up()).count();
                return Err(format!("{up} of {} connections came about", self.links.len()));
            }
        }
        self.run(settle);
        Ok(())
    }

    pub fn run(&mut self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.turn();
        }
    }

    /// Payload that viewers got so far.
    pub fn bytes(&self) -> u64 {
        self.links.iter().map(|link| link.bytes).sum()
    }

    /// Packets lost or sent again so far.
    pub fn faults(&self) -> u64 {
        let now = self.now();
        self.links.iter().map(|link| link.faults(now)).sum()
    }

    fn turn(&mut self) {
        std::thread::sleep(PAUSE.min(self.next_due().saturating_sub(self.now())));
        let (started, instants) = (self.started, &mut self.instants);
        for link in &mut self.links {
            link.read(|| started.elapsed(), |sent, came| instants.push((sent, came)));
        }
        let now = self.now();
        if now >= self.ticked + TICK {
            self.ticked = now;
            self.links.iter_mut().for_each(|link| link.turn(now));
        }
        while self.next_due() <= self.now() {
            self.send_next();
        }
    }

    fn senders(&self) -> usize {
        self.publishers + self.plain.as_ref().map_or(0, |(_, ports)| ports.len())
    }

    /// When the next sender has its turn: spread over the time of a picture.
    fn next_due(&self) -> Duration {
        let senders = self.senders().max(1) as u32;
        if self.senders() == 0 { Duration::MAX } else { self.picture_began + PICTURE_TIME / senders * self.turn as u32 }
    }

    fn send_next(&mut self) {
        let now = self.now();
        if self.turn == 0 || self.picture.is_empty() {
            self.picture = self.stream.next(now);
        }
        if let Some(link) = self.links.get_mut(..self.publishers).and_then(|links| links.get_mut(self.turn)) {
            link.send(now, &self.picture);
        } else if let Some((socket, ports)) = &self.plain
            && let Some(port) = ports.get(self.turn - self.publishers)
        {
            self.picture.chunks(PAYLOAD_BYTES).for_each(|chunk| drop(socket.send_to(chunk, port)));
        }
        self.sent_bytes += self.picture.len() as u64;
        self.turn += 1;
        if self.turn == self.senders() {
            self.turn = 0;
            self.picture_began += PICTURE_TIME;
            // A machine that was busy with other things is not made up for.
            if self.picture_began + PICTURE_TIME < now {
                self.picture_began = now;
            }
        }
    }

    /// Gigabits that so many viewers are due in so long.
    pub fn due_gbit(&self, connections: usize, time: Duration) -> f64 {
        self.bits_per_s as f64 * connections as f64 * time.as_secs_f64() / 1e9
    }
}
