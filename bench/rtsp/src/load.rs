//! Players and cameras against `arcly serve`.

use std::{
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    time::Duration,
};

use arcly_bench_report::{Goal, Row};
use bytes::Bytes;

use crate::{
    cameras::Cameras,
    client::{Client, Transport},
    floor,
    readers::{Readers, Socket},
    rtmp,
    server::Arcly,
    stream,
};

const VIEWERS: usize = 200;
const CAMERAS: usize = 100;
const BIT_RATE: u32 = 2_500_000;
/// Until buffers are full and everybody plays.
const WARM_UP: Duration = Duration::from_secs(2);

pub fn rows(command: &Path, window: Duration) -> Result<Vec<Row>, String> {
    let packets = stream::packets(BIT_RATE);
    eprintln!("measuring {VIEWERS} viewers over TCP ...");
    let (tcp, tcp_floor) = (viewers(command, &packets, window, By::Tcp)?, floor::tcp(&packets, VIEWERS, window)?);
    eprintln!("measuring {VIEWERS} viewers by RTMP ...");
    let rtmp = viewers(command, &packets, window, By::Rtmp)?;
    eprintln!("measuring {VIEWERS} viewers by UDP ...");
    let (udp, udp_floor) = (viewers(command, &packets, window, By::Udp)?, floor::udp(&packets, VIEWERS, window)?);
    eprintln!("measuring {CAMERAS} cameras ...");
    let camera_ms = cameras(command, &packets, window)?;
    let name = |by: &str, floor: &str| format!("RTSP, {VIEWERS} viewers by {by}; floor: {floor}");
    Ok(vec![
        Row::new(name("TCP", "a send a packet"), "CPU s/Gbit", tcp, Goal::OfFloor(1.33)).floor(tcp_floor),
        Row::new(format!("RTSP over TCP beside RTMP, {VIEWERS} viewers"), "CPU s/Gbit", tcp, Goal::Ratio(0.91))
            .peer(rtmp),
        Row::new(name("UDP", "segmentation offload"), "CPU s/Gbit", udp, Goal::OfFloor(0.83)).floor(udp_floor),
        Row::new(format!("RTSP, {CAMERAS} cameras, no viewer"), "ms/stream-s", camera_ms, Goal::AtMost(1.0)),
    ])
}

/// How viewers are sent the stream.
#[derive(Clone, Copy)]
enum By {
    Tcp,
    Udp,
    Rtmp,
}

/// CPU seconds of the server for a gigabit that its viewers get.
fn viewers(command: &Path, packets: &[Vec<Bytes>], window: Duration, by: By) -> Result<f64, String> {
    let server = Arcly::start(command)?;
    let _camera = Cameras::start(server.rtsp, packets, 1)?;
    let (mut sockets, mut connections) = (Vec::new(), Vec::new());
    for _ in 0..VIEWERS {
        let client = || Client::connect(server.rtsp, "cam0");
        match by {
            By::Rtmp => sockets.push(Socket::Tcp(rtmp::play(server.rtmp, "cam0")?)),
            By::Tcp => sockets.push(Socket::Tcp(client()?.play(Transport::Tcp)?)),
            By::Udp => {
                let (rtp, rtcp) = pair()?;
                let port = rtp.local_addr().map_err(|error| error.to_string())?.port();
                connections.push((client()?.play(Transport::Udp(port))?, rtcp));
                sockets.push(Socket::Udp(rtp));
            }
        }
    }
    let readers = Readers::start(sockets).map_err(|error| error.to_string())?;
    std::thread::sleep(WARM_UP);
    let (cpu_s, bytes) = (server.cpu_s(), readers.bytes());
    std::thread::sleep(window);
    let gbit = 8.0 * (readers.bytes() - bytes) as f64 / 1e9;
    let due_gbit = f64::from(BIT_RATE) * VIEWERS as f64 * window.as_secs_f64() / 1e9;
    eprintln!("{:.0} % of what was sent came", 100.0 * gbit / due_gbit);
    Ok((server.cpu_s() - cpu_s) / gbit)
}

/// Milliseconds of CPU for each second of each camera.
fn cameras(command: &Path, packets: &[Vec<Bytes>], window: Duration) -> Result<f64, String> {
    let server = Arcly::start(command)?;
    let _cameras = Cameras::start(server.rtsp, packets, CAMERAS)?;
    std::thread::sleep(WARM_UP);
    let cpu_s = server.cpu_s();
    std::thread::sleep(window);
    Ok((server.cpu_s() - cpu_s) * 1e3 / window.as_secs_f64() / CAMERAS as f64)
}

/// Two ports that follow each other, the first one even.
fn pair() -> Result<(UdpSocket, UdpSocket), String> {
    for _ in 0..1_000 {
        let bind = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        let Ok(rtp) = bind(0) else { continue };
        let Ok(port) = rtp.local_addr().map(|address| address.port()) else { continue };
        if port.is_multiple_of(2)
            && let Ok(rtcp) = bind(port + 1)
        {
            return Ok((rtp, rtcp));
        }
    }
    Err("no two ports in a row".to_owned())
}
