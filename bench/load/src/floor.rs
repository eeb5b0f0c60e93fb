//! The floor: a program that only writes. It makes the stream itself and sends FLV tags to whoever connects, without asking what they want.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;

use crate::clock::{now_ns, timespec};
use crate::flv;
use crate::inspect::Kind;
use crate::stream::{self, Shape};

/// When bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteEvery {
    /// One `send` for every message and viewer.
    Message,
    /// One `writev` for every picture and viewer, the audio in front of it with it.
    Picture,
    /// One `writev` for every window and viewer.
    Window(Duration),
}

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    viewers: Vec<Option<Viewer>>,
    /// Tags that wait for their moment.
    waiting: Vec<Vec<u8>>,
    writes: WriteEvery,
}

struct Viewer {
    socket: TcpStream,
    has_asked: bool,
    /// What the socket had no room for.
    unsent: Vec<u8>,
}

const LISTENER: u64 = u64::MAX;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n";

/// Serves until it is killed. Prints its port.
pub fn run(writes: WriteEvery, shape: Shape) -> std::io::Result<()> {
    let mut floor = Floor::bind(writes)?;
    println!("{}", floor.listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let begin_ns = now_ns();
    let (mut picture, mut sound, mut flush_ns) = (0, 0, begin_ns);
    loop {
        let picture_ns = begin_ns + stream::video_due_ns(picture);
        let sound_ns = begin_ns + stream::audio_due_ns(sound);
        let next_ns = if floor.has_windows() { flush_ns } else { u64::MAX };
        // Whoever comes is served, however busy the floor is.
        floor.serve(Duration::from_nanos(picture_ns.min(sound_ns).min(next_ns).saturating_sub(now_ns())))?;
        if sound_ns <= now_ns() {
            floor.put(Kind::Audio, stream::audio_ms(sound), &shape.audio_body(sound));
            sound += 1;
        }
        if picture_ns <= now_ns() {
            floor.put(Kind::Video, stream::video_ms(picture), &shape.video_body(picture, now_ns()));
            picture += 1;
        }
        if let WriteEvery::Window(window) = writes
            && flush_ns <= now_ns()
        {
            floor.flush();
            flush_ns += window.as_nanos() as u64;
        }
    }
}

impl Floor {
    fn bind(writes: WriteEvery) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self { epoll, listener, viewers: Vec::new(), waiting: Vec::new(), writes })
    }

    fn has_windows(&self) -> bool {
        matches!(self.writes, WriteEvery::Window(_))
    }

    fn put(&mut self, kind: Kind, timestamp_ms: u64, body: &[u8]) {
        let mut tag = Vec::with_capacity(body.len() + 15);
        flv::write_tag(&mut tag, kind, timestamp_ms as u32, body);
        self.waiting.push(tag);
        match self.writes {
            WriteEvery::Message => self.flush(),
            WriteEvery::Picture if kind == Kind::Video => self.flush(),
            WriteEvery::Picture | WriteEvery::Window(_) => {}
        }
    }

    fn flush(&mut self) {
        let slices: Vec<_> = self.waiting.iter().map(|tag| IoSlice::new(tag)).collect();
        for place in &mut self.viewers {
            if place.as_mut().is_some_and(|viewer| viewer.has_asked && viewer.send(&slices).is_err()) {
                *place = None;
            }
        }
        self.waiting.clear();
    }

    fn serve(&mut self, wait: Duration) -> std::io::Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timespec(wait))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept()?,
                index => self.hear(index as usize),
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> std::io::Result<()> {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            // Once for the request, once for room: no viewer costs an `epoll_ctl` later.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(self.viewers.len() as u64), flags)?;
            self.viewers.push(Some(Viewer { socket, has_asked: false, unsent: Vec::new() }));
        }
        Ok(())
    }

    fn hear(&mut self, index: usize) {
        let Some(viewer) = &mut self.viewers[index] else { return };
        if viewer.hear().is_err() {
            self.viewers[index] = None;
        }
    }
}

impl Viewer {
    fn hear(&mut self) -> std::io::Result<()> {
        match self.socket.read(&mut [0; 1024]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if !self.has_asked => {
                self.has_asked = true;
                let mut tags = Vec::new();
                flv::write_tag(&mut tags, Kind::Video, 0, stream::VIDEO_CONFIG);
                flv::write_tag(&mut tags, Kind::Audio, 0, stream::AUDIO_CONFIG);
                self.send(&[IoSlice::new(RESPONSE), IoSlice::new(flv::FILE_HEAD), IoSlice::new(&tags)])?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.unsent.is_empty() { Ok(()) } else { self.send(&[]) }
    }

    fn send(&mut self, slices: &[IoSlice<'_>]) -> std::io::Result<()> {
        if !self.unsent.is_empty() {
            slices.iter().for_each(|slice| self.unsent.extend_from_slice(slice));
            let unsent = std::mem::take(&mut self.unsent);
            let sent = self.write(&[IoSlice::new(&unsent)])?;
            self.unsent.extend_from_slice(&unsent[sent..]);
            return Ok(());
        }
        let mut sent = self.write(slices)?;
        for slice in slices {
            let whole = sent.min(slice.len());
            self.unsent.extend_from_slice(&slice[whole..]);
            sent -= whole;
        }
        Ok(())
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
        let written = match slices {
            [one] => (&self.socket).write(one),
            many => (&self.socket).write_vectored(many),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }
}
