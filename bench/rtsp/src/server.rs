//! `arcly serve`, a process of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// Ends when it is dropped.
pub struct Arcly {
    child: Child,
    pub rtsp: SocketAddr,
    pub rtmp: SocketAddr,
}

impl Arcly {
    pub fn start(command: &Path) -> Result<Self, String> {
        let (rtsp, rtmp) = (free_address()?, free_address()?);
        let udp = free_address()?.port() & !1;
        let mut serve = serve(command, &rtsp.to_string(), &udp.to_string(), &rtmp.to_string());
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut arcly = Self { child: child.map_err(|error| format!("{}: {error}", command.display()))?, rtsp, rtmp };
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(rtsp).is_err() {
            if let Ok(Some(status)) = arcly.child.try_wait() {
                return Err(format!("{} ended with {status}", command.display()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen", command.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(arcly)
    }

    /// Seconds that its threads have had a core, by the scheduler's own account: clock ticks are too coarse.
    pub fn cpu_s(&self) -> f64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return 0.0 };
        let of_task = |path: PathBuf| -> Option<u64> {
            fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
        };
        tasks.filter_map(|task| of_task(task.ok()?.path())).sum::<u64>() as f64 / 1e9
    }
}

fn serve(command: &Path, rtsp: &str, udp: &str, rtmp: &str) -> Command {
    let mut serve = Command::new(command);
    serve.args(["serve", "--log-level", "error", "--rtsp", rtsp, "--rtsp-udp", udp, "--rtmp", rtmp]);
    for listener in ["--http", "--webrtc", "--srt"] {
        serve.args([listener, "off"]);
    }
    serve
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
