//! The memory of a viewer, of a server that is old enough: what it keeps of the stream itself grows for most of a minute, and is no viewer's.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{cameras::Cameras, server::Arcly, viewers::Viewers};

/// In which what the server keeps fills up: 1024 frames are 41 seconds.
const FILLING: Duration = Duration::from_secs(60);
/// Until buffers are full and everybody plays.
const SETTLING: Duration = Duration::from_secs(3);
/// As little of HLS as there can be.
const OPTIONS: [&str; 6] = ["--hls-window", "2", "--hls-part", "0", "--hls-ts", "off"];

/// A server that grows old beside those that are measured meanwhile.
pub struct Memory {
    server: Arcly,
    _camera: Cameras,
    viewers: Viewers,
    since: Instant,
}

impl Memory {
    /// Over whom it is divided.
    pub const VIEWERS: usize = 300;

    pub fn start(command: &Path, packets: &[Vec<Bytes>]) -> Result<Self, String> {
        let server = Arcly::start(command, &OPTIONS)?;
        let camera = Cameras::start(server.rtsp, packets, 1)?;
        let mut viewers = Viewers::of(server.http);
        viewers.grow_to(1)?;
        Ok(Self { server, _camera: camera, viewers, since: Instant::now() })
    }

    /// KiB of resident memory for each of so many viewers.
    pub fn of_each(mut self) -> Result<f64, String> {
        std::thread::sleep(FILLING.saturating_sub(self.since.elapsed()));
        eprintln!("measuring the memory of {} viewers ...", Self::VIEWERS);
        let before = self.server.rss_kib();
        self.viewers.grow_to(Self::VIEWERS)?;
        std::thread::sleep(SETTLING);
        Ok((self.server.rss_kib() - before) / (Self::VIEWERS - 1) as f64)
    }
}
