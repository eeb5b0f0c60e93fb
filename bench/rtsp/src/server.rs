//! `arcly serve`, a process of its own.

use std::{net::SocketAddr, path::Path};

use arcly_bench_server::{Process, free_address, serve};

/// Ends when it is dropped.
pub struct Arcly {
    process: Process,
    pub rtsp: SocketAddr,
    pub rtmp: SocketAddr,
}

impl Arcly {
    pub fn start(command: &Path) -> Result<Self, String> {
        let (rtsp, rtmp) = (free_address()?, free_address()?);
        // RTP has the even port of a pair.
        let udp = (free_address()?.port() & !1).to_string();
        let process = serve(command, &[("--rtsp", rtsp), ("--rtmp", rtmp)], &["--rtsp-udp", &udp])?;
        Ok(Self { process, rtsp, rtmp })
    }

    /// Seconds that its threads have had a core.
    pub fn cpu_s(&self) -> f64 {
        self.process.cpu_s()
    }
}
