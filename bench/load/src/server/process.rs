//! A server process: its life, its CPU time, its memory, and what the kernel holds for its connections.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use arcly_bench_server::Process;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::clock;

/// Ends when it is dropped.
pub struct Server {
    process: Process,
    pub rtmp: SocketAddr,
    pub http: SocketAddr,
    /// Behind the process: it is removed when that has ended.
    directory: Directory,
}

/// Removed when it is dropped.
struct Directory(PathBuf);

const LOG: &str = "server.log";

/// The process ends with this one, however that ends.
pub fn spawn(command: &mut Command) -> Result<Child, String> {
    // SAFETY: between fork and exec there is one system call, which allocates nothing.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?)) };
    command.spawn().map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))
}

/// A directory for what a server writes.
pub fn new_directory() -> Result<PathBuf, String> {
    let path = std::env::temp_dir().join(format!("arcly-bench-load-{}-{}", std::process::id(), clock::now_ns()));
    fs::create_dir(&path).map_err(|error| error.to_string())?;
    Ok(path)
}

impl Server {
    /// Starts `command` and waits until its ports answer. What it says goes into `directory`, which is removed at the end.
    pub fn start(mut command: Command, rtmp: SocketAddr, http: SocketAddr, directory: PathBuf) -> Result<Self, String> {
        let log = fs::File::create(directory.join(LOG)).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = spawn(command.stdin(Stdio::null()).stdout(log).stderr(errors))?;
        let mut server = Self { process: Process::of(child), rtmp, http, directory: Directory(directory) };
        let listening = server.process.wait_until_listening(&[rtmp, http]);
        listening.map_err(|what| format!("{program} {what}: {}", server.log()))?;
        Ok(server)
    }

    /// A server that has said that it listens.
    pub fn started(child: Child, http: SocketAddr, directory: PathBuf) -> Self {
        Self { process: Process::of(child), rtmp: http, http, directory: Directory(directory) }
    }

    /// The last lines that it said.
    pub fn log(&self) -> String {
        let log = fs::read(self.directory.0.join(LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }

    /// Of the process and its children.
    pub fn cpu_ns(&self) -> u64 {
        self.process.processes().into_iter().map(clock::process_cpu_ns).sum()
    }

    /// Of the process and its children.
    pub fn rss_bytes(&self) -> u64 {
        self.process.rss_bytes()
    }

    /// Bytes in the kernel that the server has written and the peer with this port has not acknowledged, in the server's send queue
    /// (`tx_queue` of /proc/net/tcp).
    pub fn send_queue_bytes(&self, server: SocketAddr, peer_port: u16) -> u64 {
        send_queue_bytes(&fs::read_to_string("/proc/net/tcp").unwrap_or_default(), server.port(), peer_port)
            + send_queue_bytes(&fs::read_to_string("/proc/net/tcp6").unwrap_or_default(), server.port(), peer_port)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn send_queue_bytes(table: &str, server_port: u16, peer_port: u16) -> u64 {
    let port = |address: &str| address.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| match fields[..] {
        [_, local, remote, ..] => port(local) == Some(server_port) && port(remote) == Some(peer_port),
        _ => false,
    });
    let queues =
        row.and_then(|fields| fields.get(4).and_then(|queues| queues.split_once(':')).map(|(sent, _)| sent.to_owned()));
    queues.and_then(|sent| u64::from_str_radix(&sent, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use arcly_bench_server::rss_bytes;

    use super::*;

    #[test]
    fn send_queues_are_found_by_their_ports() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
            0: 0100007F:0050 0100007F:C001 01 0000ABCD:00000000 00:00000000 00000000\n\
            1: 0100007F:C001 0100007F:0050 01 00000001:00000000 00:00000000 00000000\n";
        assert_eq!(send_queue_bytes(table, 0x50, 0xc001), 0xabcd);
        assert_eq!(send_queue_bytes(table, 0xc001, 0x50), 1);
        assert_eq!(send_queue_bytes(table, 0x50, 0xc002), 0);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(rss_bytes(std::process::id()).unwrap() > 100_000);
    }
}
