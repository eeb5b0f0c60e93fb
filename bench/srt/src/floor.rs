//! What cannot be beaten: a thread that makes nothing, and writes the same packets to as many sockets at the same pace, in as large pieces
//! as the kernel cuts by itself.

use std::{
    io::IoSlice,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arcly_bench_report::thread_cpu_ns;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use crate::stream::{PAYLOAD_BYTES, PICTURE_TIME, Stream};

/// Of SRT.
const HEADER_BYTES: usize = 16;
/// Between two looks at all sockets, as in the load.
const PAUSE: Duration = Duration::from_millis(1);

/// CPU seconds for each gigabit of payload.
pub fn segmented(bits_per_s: u64, viewers: usize, window: Duration) -> Result<f64, String> {
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string());
    let sockets: Vec<UdpSocket> = (0..viewers).map(bind).collect::<Result<_, _>>()?;
    let port = |socket: &UdpSocket| socket.local_addr().map_or(0, |address| address.port());
    let addresses: Vec<_> =
        sockets.iter().map(|socket| SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port(socket)))).collect();
    let (bytes, is_ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let reader = {
        let (bytes, is_ended) = (bytes.clone(), is_ended.clone());
        std::thread::spawn(move || read(&sockets, &bytes, &is_ended))
    };
    let used_s = send(bits_per_s, &addresses, window)?;
    std::thread::sleep(Duration::from_millis(100));
    is_ended.store(true, Ordering::Relaxed);
    let _ = reader.join();
    Ok(used_s / (8.0 * bytes.load(Ordering::Relaxed) as f64 / 1e9))
}

fn read(sockets: &[UdpSocket], bytes: &AtomicU64, is_ended: &AtomicBool) {
    sockets.iter().for_each(|socket| drop(socket.set_nonblocking(true)));
    let mut buffer = [0; 2_048];
    while !is_ended.load(Ordering::Relaxed) {
        for socket in sockets {
            while let Ok(length) = socket.recv(&mut buffer) {
                bytes.fetch_add((length - HEADER_BYTES) as u64, Ordering::Relaxed);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// CPU seconds of this thread.
fn send(bits_per_s: u64, addresses: &[SockaddrIn], window: Duration) -> Result<f64, String> {
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let picture = Stream::new(bits_per_s).next(Duration::ZERO);
    let packets: Vec<Vec<u8>> =
        picture.chunks(PAYLOAD_BYTES).map(|chunk| [&[0; HEADER_BYTES], chunk].concat()).collect();
    let slices: Vec<IoSlice<'_>> = packets.iter().map(|packet| IoSlice::new(packet)).collect();
    let (start, cpu_ns) = (Instant::now(), thread_cpu_ns());
    for number in 0.. {
        let due = PICTURE_TIME * number;
        if due > window {
            break;
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let segment_bytes = (PAYLOAD_BYTES + HEADER_BYTES) as u16;
        let segments = [ControlMessage::UdpGsoSegments(&segment_bytes)];
        for address in addresses {
            // A full socket loses, as it does on the way.
            let _ = sendmsg(sender.as_raw_fd(), &slices, &segments, MsgFlags::empty(), Some(address));
        }
    }
    Ok((thread_cpu_ns() - cpu_ns) / 1e9)
}
