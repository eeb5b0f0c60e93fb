//! `arcly serve`, a process of its own.

use std::{net::SocketAddr, path::Path};

use arcly_bench_server::{Process, free_address, free_datagram_address, serve};

/// Ends when it is dropped.
pub struct Arcly {
    process: Process,
    pub http: SocketAddr,
    pub rtsp: SocketAddr,
}

impl Arcly {
    /// With `options` besides.
    pub fn start(command: &Path, options: &[&str]) -> Result<Self, String> {
        let (http, rtsp, media) = (free_address()?, free_address()?, free_datagram_address()?);
        let listeners = [("--http", http), ("--rtsp", rtsp), ("--webrtc", media)];
        Ok(Self { process: serve(command, &listeners, &[&["--rtsp-udp", "off"], options].concat())?, http, rtsp })
    }

    /// Seconds that its threads have had a core.
    pub fn cpu_s(&self) -> f64 {
        self.process.cpu_s()
    }

    /// Its resident memory in KiB.
    pub fn rss_kib(&self) -> f64 {
        self.process.rss_bytes() as f64 / 1024.0
    }
}
