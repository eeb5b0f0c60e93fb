//! Many viewers in one thread: one read for what has come, one pass over it, no copy of media.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;

use crate::clock::{self, now_ns};
use crate::fault::Fault;
use crate::flv::Response;
use crate::inspect::{Inspector, Media, Tally};
use crate::rtmp::{Purpose, Session};

/// What is played.
#[derive(Clone, Debug)]
pub enum Source {
    /// A server and app/stream.
    Rtmp(SocketAddr, String),
    /// A server and a path.
    Flv(SocketAddr, String),
}

impl Source {
    pub fn address(&self) -> SocketAddr {
        let (Self::Rtmp(address, _) | Self::Flv(address, _)) = self;
        *address
    }
}

/// The players, and what they have seen.
pub struct Players {
    epoll: OwnedFd,
    viewers: Vec<Option<Viewer>>,
    buffer: Vec<u8>,
    pub tally: Tally,
    /// Why viewers are no more.
    pub faults: Vec<Fault>,
}

struct Viewer {
    socket: TcpStream,
    protocol: Protocol,
    inspector: Inspector,
}

enum Protocol {
    Rtmp(Box<Session>),
    Flv(Box<Response>),
}

/// Larger than a key frame: most wake-ups are one read.
const BUFFER_BYTES: usize = 256 << 10;
/// A server that does not accept for so long is no server.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// In which all have to have come: thousands take some seconds, a server that is drowned takes for ever.
const GROW_DEADLINE: Duration = Duration::from_secs(30);
/// Between two that come; a second for 500 of them.
const PACE: Duration = Duration::from_millis(2);

impl Players {
    pub fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            viewers: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            tally: Tally::default(),
            faults: Vec::new(),
        })
    }

    /// Viewers that are connected.
    pub fn count(&self) -> usize {
        self.viewers.iter().flatten().count()
    }

    /// Viewers that have seen a picture, and one of the last half second and `late`, by which publishers were late.
    pub fn playing(&self, late: Duration) -> usize {
        let now = now_ns();
        let inspectors = self.viewers.iter().flatten().map(|viewer| &viewer.inspector);
        inspectors.filter(|inspector| inspector.is_playing() && !inspector.is_stalled(now, late)).count()
    }

    /// Viewers that have seen no picture, and how long ago any of the others saw its last.
    pub fn waits(&self) -> (usize, Duration) {
        let now = now_ns();
        let waits = self.viewers.iter().flatten().map(|viewer| viewer.inspector.waits(now));
        waits.fold((0, Duration::ZERO), |(unseen, longest), wait| match wait {
            Some(wait) => (unseen, longest.max(wait)),
            None => (unseen + 1, longest),
        })
    }

    /// Lets viewers come one after the other until there are `count`; the others play on.
    pub fn grow_to(&mut self, count: usize, source: &Source) -> Result<(), Fault> {
        let deadline = Instant::now() + GROW_DEADLINE;
        while self.count() < count {
            if Instant::now() > deadline {
                return Err(Fault::Refused(format!(
                    "{} of {count} viewers could come in {} s",
                    self.count(),
                    GROW_DEADLINE.as_secs()
                )));
            }
            self.join(source)?;
            self.run_for(PACE);
            if let Some(fault) = self.faults.first() {
                return Err(fault.clone());
            }
        }
        Ok(())
    }

    /// One more viewer; its number.
    pub fn join(&mut self, source: &Source) -> Result<usize, Fault> {
        let viewer = Viewer::dial(source)?;
        let index = self.viewers.len();
        epoll::add(&self.epoll, &viewer.socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)
            .map_err(std::io::Error::from)?;
        self.viewers.push(Some(viewer));
        Ok(index)
    }

    /// The viewer goes.
    pub fn leave(&mut self, index: usize) {
        self.viewers[index] = None;
    }

    /// The viewer stays connected, but reads no more.
    pub fn stop_reading(&mut self, index: usize) {
        if let Some(viewer) = &self.viewers[index] {
            let _ = epoll::delete(&self.epoll, &viewer.socket);
        }
    }

    /// The port of the viewer's end.
    pub fn local_port(&self, index: usize) -> Option<u16> {
        Some(self.viewers[index].as_ref()?.socket.local_addr().ok()?.port())
    }

    pub fn has_key_frame(&self, index: usize) -> bool {
        self.viewers[index].as_ref().is_some_and(|viewer| viewer.inspector.has_key_frame())
    }

    /// Plays for so long.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(Instant::now() + duration, |_| false);
    }

    /// Plays until `is_enough` or the deadline.
    pub fn run_until(&mut self, deadline: Instant, is_enough: impl Fn(&Self) -> bool) {
        let mut events = Vec::with_capacity(256);
        while !is_enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&clock::timespec(left)));
            for event in events.drain(..) {
                let event: epoll::Event = event;
                self.read(event.data.u64() as usize);
            }
        }
    }

    fn read(&mut self, index: usize) {
        let Some(viewer) = &mut self.viewers[index] else { return };
        if let Err(fault) = viewer.read(&mut self.buffer, &mut self.tally) {
            self.faults.push(fault);
            self.viewers[index] = None;
        }
    }
}

impl Viewer {
    fn dial(source: &Source) -> Result<Self, Fault> {
        let socket = TcpStream::connect_timeout(&source.address(), CONNECT_DEADLINE)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut inspector = Inspector::default();
        let protocol = match source {
            Source::Rtmp(_, name) => Protocol::Rtmp(Box::new(Session::new(Purpose::Play, name))),
            Source::Flv(_, path) => {
                (&socket).write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
                inspector.asked_ns = now_ns();
                Protocol::Flv(Box::new(Response::new()))
            }
        };
        let mut viewer = Self { socket, protocol, inspector };
        viewer.write()?;
        Ok(viewer)
    }

    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<(), Fault> {
        loop {
            let got = match self.socket.read(buffer) {
                Ok(0) => return Err(Fault::Closed),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut media = Media { inspector: &mut self.inspector, tally, now_ns: now_ns() };
            match &mut self.protocol {
                Protocol::Rtmp(session) => session.receive(&buffer[..got], &mut media)?,
                Protocol::Flv(response) => response.receive(&buffer[..got], &mut media)?,
            }
            self.write()?;
            if got < buffer.len() {
                return Ok(());
            }
        }
    }

    /// What players send is some bytes now and then: a socket that has no room for them is broken.
    fn write(&mut self) -> Result<(), Fault> {
        let Protocol::Rtmp(session) = &mut self.protocol else { return Ok(()) };
        if !session.output.is_empty() {
            let asks = session.has_asked() && self.inspector.asked_ns == 0;
            if asks {
                self.inspector.asked_ns = now_ns();
            }
            self.socket.write_all(&session.output)?;
            session.output = Vec::new();
        }
        Ok(())
    }
}
