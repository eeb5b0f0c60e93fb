//! What cannot be beaten: a thread that makes nothing, and writes the same packets to as many sockets at the same pace, in as large pieces
//! as the kernel cuts by itself. It is late too: its sleep ends when the system has a core for it, and the last socket has its turn last.

use std::{
    io::IoSlice,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arcly_bench_report::thread_cpu_ns;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use crate::{
    arrival::Receiver,
    stream::{PAYLOAD_BYTES, PICTURE_TIME, Stream},
};

/// Of SRT.
const HEADER_BYTES: usize = 16;
/// Between two looks at all sockets, as in the load.
const PAUSE: Duration = Duration::from_millis(1);

/// What it costs and how late it is.
pub struct Floor {
    /// CPU seconds for each gigabit of payload.
    pub cost: f64,
    /// Of each picture at each socket: from when it was to be sent until it was there.
    pub late: Vec<Duration>,
}

/// What came.
#[derive(Default)]
struct Seen {
    bytes: u64,
    late: Vec<Duration>,
}

pub fn segmented(bits_per_s: u64, viewers: usize, window: Duration) -> Result<Floor, String> {
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string()).and_then(Receiver::new);
    let receivers: Vec<Receiver> = (0..viewers).map(bind).collect::<Result<_, _>>()?;
    let port = |socket: &UdpSocket| socket.local_addr().map_or(0, |address| address.port());
    let address = |it: &Receiver| SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port(&it.socket)));
    let addresses: Vec<_> = receivers.iter().map(address).collect();
    let (start, is_ended) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let reader = {
        let is_ended = is_ended.clone();
        std::thread::spawn(move || read(start, receivers, &is_ended))
    };
    let used_s = send(start, bits_per_s, &addresses, window)?;
    std::thread::sleep(Duration::from_millis(100));
    is_ended.store(true, Ordering::Relaxed);
    let Seen { bytes, late } = reader.join().map_err(|_| "the floor's reader has failed")?;
    Ok(Floor { cost: used_s / (8.0 * bytes as f64 / 1e9), late })
}

fn read(start: Instant, mut receivers: Vec<Receiver>, is_ended: &AtomicBool) -> Seen {
    let (mut seen, mut buffer) = (Seen::default(), [0; 2_048]);
    while !is_ended.load(Ordering::Relaxed) {
        for receiver in &mut receivers {
            while let Some((length, age)) = receiver.receive(&mut buffer) {
                seen.bytes += (length - HEADER_BYTES) as u64;
                if let Some((due, _)) = buffer.split_first_chunk().filter(|(due, _)| **due != [0; 8]) {
                    let arrived = start.elapsed().saturating_sub(age);
                    seen.late.push(arrived.saturating_sub(Duration::from_micros(u64::from_be_bytes(*due))));
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
    seen
}

/// CPU seconds of this thread.
fn send(start: Instant, bits_per_s: u64, addresses: &[SockaddrIn], window: Duration) -> Result<f64, String> {
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let picture = Stream::new(bits_per_s).next(Duration::ZERO);
    let mut packets: Vec<Vec<u8>> =
        picture.chunks(PAYLOAD_BYTES).map(|chunk| [&[0; HEADER_BYTES], chunk].concat()).collect();
    let cpu_ns = thread_cpu_ns();
    for number in 1.. {
        let due = PICTURE_TIME * number;
        if due > window {
            break;
        }
        // The first datagram of a picture says when it was due.
        if let Some((place, _)) = packets.first_mut().and_then(|packet| packet.split_first_chunk_mut()) {
            *place = (due.as_micros() as u64).to_be_bytes();
        }
        let slices: Vec<IoSlice<'_>> = packets.iter().map(|packet| IoSlice::new(packet)).collect();
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
