//! `arcly serve`, a process of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// Ends when it is dropped.
pub struct Arcly {
    child: Child,
    pub http: SocketAddr,
    pub rtsp: SocketAddr,
}

impl Arcly {
    pub fn start(command: &Path) -> Result<Self, String> {
        let (http, rtsp, media) = (free_address()?, free_address()?, free_media_address()?);
        let mut serve = Command::new(command);
        serve.args(["serve", "--log-level", "error", "--rtmp", "off", "--srt", "off", "--rtsp-udp", "off"]);
        for (listener, address) in [("--http", http), ("--rtsp", rtsp), ("--webrtc", media)] {
            serve.args([listener, &address.to_string()]);
        }
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{}: {error}", command.display()))?;
        let mut arcly = Self { child, http, rtsp };
        arcly.wait_until_it_listens()?;
        Ok(arcly)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        while [self.http, self.rtsp].into_iter().any(|address| TcpStream::connect(address).is_err()) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err("the server does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Seconds that its threads have had a core, by the scheduler's own account: clock ticks are too coarse. What the kernel does for it
    /// while sending is in it.
    pub fn cpu_s(&self) -> f64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return 0.0 };
        let of_task = |path: PathBuf| -> Option<u64> {
            fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
        };
        tasks.filter_map(|task| of_task(task.ok()?.path())).sum::<u64>() as f64 / 1e9
    }

    /// Its resident memory in KiB.
    pub fn rss_kib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
    }
}

impl Drop for Arcly {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

fn free_media_address() -> Result<SocketAddr, String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    socket.local_addr().map_err(|error| error.to_string())
}
