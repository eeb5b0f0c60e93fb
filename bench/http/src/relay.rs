//! A wire between a publisher and a server that knows when each picture went over it: by what is on it, an RTMP connection (Adobe's RTMP 1.0 §5).

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// C0, C1 and C2 (§5.2).
const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;
const SET_CHUNK_SIZE: u8 = 1;
const VIDEO: u8 = 9;

/// One connection, relayed.
pub struct Relay {
    /// Where the publisher connects to.
    pub address: SocketAddr,
    pictures: Arc<Mutex<Vec<Instant>>>,
}

impl Relay {
    /// One to `server`, for the first who connects.
    pub fn start(server: SocketAddr) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
        let (address, pictures) = (listener.local_addr().map_err(text)?, Arc::default());
        let noted = Arc::clone(&pictures);
        thread::spawn(move || relay(&listener, server, &noted));
        Ok(Self { address, pictures })
    }

    /// When the last byte of each picture was about to be written to the server.
    pub fn pictures(&self) -> Vec<Instant> {
        self.pictures.lock().map(|pictures| pictures.clone()).unwrap_or_default()
    }
}

fn relay(listener: &TcpListener, server: SocketAddr, noted: &Mutex<Vec<Instant>>) -> std::io::Result<()> {
    let (mut publisher, _) = listener.accept()?;
    let mut server = TcpStream::connect(server)?;
    server.set_nodelay(true)?;
    let (mut from, mut to) = (server.try_clone()?, publisher.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    let (mut chunks, mut buffer) = (Chunks::default(), vec![0; 256 << 10]);
    loop {
        let read = publisher.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let ended = chunks.read(&buffer[..read]);
        if let Ok(mut noted) = noted.lock() {
            let many = noted.len() + ended;
            noted.resize(many, Instant::now());
        }
        server.write_all(&buffer[..read])?;
    }
}

/// A message that is not whole yet, of one chunk stream.
#[derive(Clone, Copy, Default)]
struct Message {
    bytes: usize,
    type_id: u8,
    left: usize,
}

/// Finds the ends of messages in what a publisher sends.
struct Chunks {
    held: Vec<u8>,
    greeted: bool,
    chunk_bytes: usize,
    streams: [Message; 64],
    pictures: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { held: Vec::new(), greeted: false, chunk_bytes: 128, streams: [Message::default(); 64], pictures: 0 }
    }
}

impl Chunks {
    /// How many pictures end in these bytes. The first video message is the decoder's configuration, no picture.
    fn read(&mut self, bytes: &[u8]) -> usize {
        self.held.extend_from_slice(bytes);
        let (mut at, mut found) = (0, 0);
        if !self.greeted {
            if self.held.len() < HANDSHAKE_BYTES {
                return 0;
            }
            (self.greeted, at) = (true, HANDSHAKE_BYTES);
        }
        while let Some((bytes, ended)) = self.chunk(at) {
            at += bytes;
            if ended == Some(VIDEO) {
                found += usize::from(self.pictures > 0);
                self.pictures += 1;
            }
        }
        self.held.drain(..at);
        found
    }

    /// The chunk at `at` (§5.3.1): its length, and the type of the message that it ends; none where it is not whole.
    fn chunk(&mut self, at: usize) -> Option<(usize, Option<u8>)> {
        let chunk = &self.held[at..];
        let head_bytes = [12, 8, 4, 1][usize::from(chunk.first()? >> 6)];
        let head = chunk.get(..head_bytes)?;
        let mut message = self.streams[usize::from(head[0] & 63)];
        if head_bytes >= 8 {
            let length = [0, head[4], head[5], head[6]];
            message = Message { bytes: u32::from_be_bytes(length) as usize, type_id: head[7], left: 0 };
        }
        if message.left == 0 {
            message.left = message.bytes;
        }
        let take = message.left.min(self.chunk_bytes);
        let body = chunk.get(head_bytes..head_bytes + take)?;
        message.left -= take;
        let ended = (message.left == 0).then_some(message.type_id);
        if let (Some(SET_CHUNK_SIZE), Some(&size)) = (ended, body.first_chunk()) {
            self.chunk_bytes = u32::from_be_bytes(size) as usize;
        }
        self.streams[usize::from(head[0] & 63)] = message;
        Some((head_bytes + take, ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(type_id: u8, body: &[u8], chunk_bytes: usize) -> Vec<u8> {
        let length = (body.len() as u32).to_be_bytes();
        let mut bytes = vec![4, 0, 0, 0, length[1], length[2], length[3], type_id, 1, 0, 0, 0];
        for (index, chunk) in body.chunks(chunk_bytes).enumerate() {
            if index > 0 {
                bytes.push(0xC4);
            }
            bytes.extend_from_slice(chunk);
        }
        bytes
    }

    #[test]
    fn pictures_are_counted_however_they_are_cut() {
        let mut bytes = vec![3; HANDSHAKE_BYTES];
        bytes.extend(message(VIDEO, &[1; 40], 128));
        bytes.extend(message(VIDEO, &[2; 300], 128));
        bytes.extend(message(SET_CHUNK_SIZE, &4096_u32.to_be_bytes(), 128));
        bytes.extend(message(8, &[3; 200], 4096));
        bytes.extend(message(VIDEO, &[4; 9000], 4096));
        for piece_bytes in [1, 7, 1000, bytes.len()] {
            let mut chunks = Chunks::default();
            assert_eq!(bytes.chunks(piece_bytes).map(|piece| chunks.read(piece)).sum::<usize>(), 2);
        }
    }
}
