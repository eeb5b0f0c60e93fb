//! Threads that read and throw away, and count.

use std::{
    io::{ErrorKind, Read},
    net::{TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Between two rounds over all sockets: a picture is 40 ms, and the sockets have room for some.
const PAUSE: Duration = Duration::from_millis(5);
const BUFFER_BYTES: usize = 256 << 10;

/// Reads from all sockets until it is dropped.
pub struct Readers {
    bytes: Arc<AtomicU64>,
    is_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// One of either kind.
pub enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Udp(socket) => socket.recv(buffer),
        }
    }

    fn set_nonblocking(&self) -> std::io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Udp(socket) => socket.set_nonblocking(true),
        }
    }
}

impl Readers {
    pub fn start(mut sockets: Vec<Socket>) -> std::io::Result<Self> {
        sockets.iter().try_for_each(Socket::set_nonblocking)?;
        let (bytes, is_ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, end) = (bytes.clone(), is_ended.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; BUFFER_BYTES];
            while !end.load(Ordering::Relaxed) {
                let read: u64 = sockets.iter_mut().map(|socket| drain(socket, &mut buffer)).sum();
                counter.fetch_add(read, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        });
        Ok(Self { bytes, is_ended, thread: Some(thread) })
    }

    /// Bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn drain(socket: &mut Socket, buffer: &mut [u8]) -> u64 {
    let mut bytes = 0;
    loop {
        match socket.read(buffer) {
            Ok(0) => return bytes,
            Ok(count) => bytes += count as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return bytes,
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
