//! Programs that benches measure, and the addresses that they are given.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const START_DEADLINE: Duration = Duration::from_secs(30);
const END_DEADLINE: Duration = Duration::from_secs(5);

/// A program that ends when this is dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it, and waits until it listens at all of these.
    pub fn start(command: &mut Command, listens: &[SocketAddr]) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut process = Self::of(child.map_err(|error| format!("{program}: {error}"))?);
        process.wait_until_listening(listens).map_err(|what| format!("{program} {what}"))?;
        Ok(process)
    }

    /// One that was started in another way.
    pub fn of(child: Child) -> Self {
        Self { child }
    }

    /// Waits until it listens at all of these; else what it does instead.
    pub fn wait_until_listening(&mut self, listens: &[SocketAddr]) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        while !listens.iter().all(|address| TcpStream::connect(address).is_ok()) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err("does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Seconds that its threads and those of its children have had a core, by the scheduler's own account: clock ticks are too coarse. What
    /// the kernel does for them while sending is in it.
    pub fn cpu_s(&self) -> f64 {
        self.processes().into_iter().map(cpu_ns).sum::<u64>() as f64 / 1e9
    }

    /// Resident memory of it and its children.
    pub fn rss_bytes(&self) -> u64 {
        self.processes().into_iter().filter_map(rss_bytes).sum()
    }

    /// Its number, and those of its children.
    pub fn processes(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END_DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of_task = |path: PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    tasks.filter_map(|task| of_task(task.ok()?.path())).sum()
}

/// Resident memory of a process; none when there is no such process.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Runs `arcly serve` with these listeners and no others, and with `options`.
pub fn serve(arcly: &Path, listeners: &[(&str, SocketAddr)], options: &[&str]) -> Result<Process, String> {
    let mut command = Command::new(arcly);
    command.args(["serve", "--log-level", "error"]);
    for name in ["--rtmp", "--http", "--rtsp", "--srt", "--webrtc"] {
        match listeners.iter().find(|(own, _)| *own == name) {
            Some((_, address)) => command.args([name, &address.to_string()]),
            None => command.args([name, "off"]),
        };
    }
    let by_tcp = listeners.iter().filter(|(name, _)| ["--rtmp", "--http", "--rtsp"].contains(name));
    let listens: Vec<SocketAddr> = by_tcp.map(|(_, address)| *address).collect();
    Process::start(command.args(options), &listens)
}

/// An address of this machine that nobody listens at by TCP.
pub fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

/// An address of this machine that nobody listens at by UDP.
pub fn free_datagram_address() -> Result<SocketAddr, String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    socket.local_addr().map_err(|error| error.to_string())
}
