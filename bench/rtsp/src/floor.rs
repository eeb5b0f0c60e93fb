//! What cannot be beaten: a thread that makes nothing, and only writes the same packets to as many sockets at the same pace.

use std::{
    io::{IoSlice, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use arcly_bench_report::thread_cpu_ns;
use bytes::Bytes;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use crate::{
    readers::{Readers, Socket},
    stream::{PICTURES_PER_S, frame},
};

/// Segments of one call, and their bytes (Linux: `UDP_MAX_SEGMENTS`, and the length of a datagram).
const MAX_SEGMENTS: usize = 64;
const MAX_BYTES: usize = 65_000;

/// CPU seconds of a gigabit over TCP: a `send` for each packet and viewer.
pub fn tcp(packets: &[Vec<Bytes>], viewers: usize, window: Duration) -> Result<f64, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let (mut senders, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..viewers {
        sockets.push(Socket::Tcp(TcpStream::connect(address).map_err(text)?));
        let sender = listener.accept().map_err(text)?.0;
        sender.set_nodelay(true).map_err(text)?;
        senders.push(sender);
    }
    let framed: Vec<Vec<Vec<u8>>> = packets.iter().map(|picture| picture.iter().map(frame).collect()).collect();
    paced(Readers::start(sockets).map_err(text)?, window, |picture| {
        for packet in framed.get(picture % framed.len()).into_iter().flatten() {
            senders.iter_mut().try_for_each(|sender| sender.write_all(packet)).map_err(text)?;
        }
        Ok(())
    })
}

/// The same by UDP, in as large pieces as the kernel cuts by itself.
pub fn udp(packets: &[Vec<Bytes>], viewers: usize, window: Duration) -> Result<f64, String> {
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text);
    let sockets: Vec<UdpSocket> = (0..viewers).map(bind).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> =
        sockets.iter().map(|socket| socket.local_addr().map_err(text)).collect::<Result<_, _>>()?;
    let readers = Readers::start(sockets.into_iter().map(Socket::Udp).collect()).map_err(text)?;
    paced(readers, window, |picture| {
        let Some(picture) = packets.get(picture % packets.len()) else { return Ok(()) };
        addresses.iter().try_for_each(|address| send_segments(&sender, picture, *address))
    })
}

/// All packets of a picture to one viewer; only the last of a call may be shorter than the others.
fn send_segments(sender: &UdpSocket, picture: &[Bytes], address: SocketAddr) -> Result<(), String> {
    let SocketAddr::V4(address) = address else { return Ok(()) };
    let address = SockaddrIn::from(address);
    let mut rest = picture;
    while let Some(first) = rest.first() {
        let full = rest.iter().take_while(|packet| packet.len() == first.len()).count();
        let with_last = full + usize::from(rest.get(full).is_some_and(|packet| packet.len() < first.len()));
        let count = with_last.min(MAX_SEGMENTS).min(MAX_BYTES / first.len());
        let (now, later) = rest.split_at(count.max(1));
        let slices: Vec<IoSlice<'_>> = now.iter().map(|packet| IoSlice::new(packet)).collect();
        let size = first.len() as u16;
        let segments = [ControlMessage::UdpGsoSegments(&size)];
        // A full socket loses, as it does on the way.
        let _ = sendmsg(sender.as_raw_fd(), &slices, &segments, MsgFlags::empty(), Some(&address));
        rest = later;
    }
    Ok(())
}

/// Sends a picture each 40 ms; the CPU time of this thread for what came.
fn paced(readers: Readers, window: Duration, mut send: impl FnMut(usize) -> Result<(), String>) -> Result<f64, String> {
    let (start, cpu_ns, bytes) = (Instant::now(), thread_cpu_ns(), readers.bytes());
    for picture in 0.. {
        let due = start + Duration::from_secs(1) / PICTURES_PER_S * picture;
        if due > start + window {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        send(picture as usize)?;
    }
    let used_s = (thread_cpu_ns() - cpu_ns) / 1e9;
    std::thread::sleep(Duration::from_millis(100));
    Ok(used_s / (8.0 * (readers.bytes() - bytes) as f64 / 1e9))
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
