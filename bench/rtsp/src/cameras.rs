//! Cameras that publish by RTSP over TCP: they send what was made before, so that they cost next to nothing.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arcly_wire::rtp::Format;
use bytes::Bytes;

use crate::{
    client::Client,
    stream::{self, PICTURES_PER_S, renumber},
};

/// Publishers in a thread, each at its own time within a picture. They end when this is dropped.
pub struct Cameras {
    is_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cameras {
    pub fn start(server: SocketAddr, packets: &[Vec<Bytes>], count: usize) -> Result<Self, String> {
        let format = Format::of(96, &stream::config()).map_err(|error| error.to_string())?;
        let media = format!(
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 {}\r\na=fmtp:96 {}\r\n",
            format.rtpmap(),
            format.fmtp().unwrap_or_default()
        );
        let publish = |number| Client::connect(server, &format!("cam{number}"))?.publish(&media);
        let sockets: Vec<TcpStream> = (0..count).map(publish).collect::<Result<_, String>>()?;
        let is_ended = Arc::new(AtomicBool::new(false));
        let (end, packets) = (is_ended.clone(), packets.to_vec());
        let thread = std::thread::spawn(move || send(sockets, &packets, &end));
        Ok(Self { is_ended, thread: Some(thread) })
    }
}

/// A picture of each camera every 40 ms, until the end or until the server goes.
fn send(mut sockets: Vec<TcpStream>, packets: &[Vec<Bytes>], end: &AtomicBool) {
    let (start, mut sequence) = (Instant::now(), 0_u16);
    let between = Duration::from_secs(1) / PICTURES_PER_S / sockets.len() as u32;
    for picture in 0_u32.. {
        let Some(group) = packets.get(picture as usize % packets.len()) else { return };
        let mut bytes = Vec::new();
        for packet in group {
            let mut framed = stream::frame(packet);
            renumber(&mut framed[4..], sequence, picture.wrapping_mul(90_000 / PICTURES_PER_S));
            sequence = sequence.wrapping_add(1);
            bytes.extend(framed);
        }
        for (index, socket) in sockets.iter_mut().enumerate() {
            let due = start + Duration::from_secs(1) / PICTURES_PER_S * picture + between * index as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if end.load(Ordering::Relaxed) || socket.write_all(&bytes).is_err() {
                return;
            }
        }
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
