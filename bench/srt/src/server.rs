//! What is measured: programs of their own.

use std::{
    fs, iter,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

const ARCLY: &str = "
import asyncio, sys, arcly
async def main(port, passphrase):
    async with arcly.Engine(arcly.SrtHandler(f'127.0.0.1:{port}', passphrase=passphrase or None)) as engine:
        await engine.until_signal()
asyncio.run(main(sys.argv[1], sys.argv[2]))
";

/// Programs that end when this is dropped.
pub struct Servers(Vec<Child>);

impl Servers {
    /// One arcly: the one that is installed, not that of the folder this runs in.
    pub fn arcly(python: &Path, address: SocketAddr, secret: Option<&str>) -> Result<Self, String> {
        let port = address.port().to_string();
        start(Command::new(python).args(["-I", "-c", ARCLY, &port, secret.unwrap_or_default()]))
            .map(|child| Self(vec![child]))
    }

    /// A program of libsrt for each pair of places: from where, to where.
    pub fn libsrt(pairs: impl Iterator<Item = (String, String)>) -> Result<Self, String> {
        let run = |(from, to): (String, String)| {
            start(Command::new("srt-live-transmit").args(["-q", "-a", "no", &from, &to]))
        };
        let mut servers = Self(Vec::new());
        for pair in pairs {
            servers.0.push(run(pair)?);
        }
        Ok(servers)
    }

    /// Seconds that their threads have had a core, by the scheduler's own account: clock ticks are too coarse.
    pub fn cpu_s(&self) -> f64 {
        self.0.iter().map(of_process).sum()
    }
}

fn of_process(child: &Child) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", child.id())) else { return 0.0 };
    let of_task = |path: PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    tasks.filter_map(|task| of_task(task.ok()?.path())).sum::<u64>() as f64 / 1e9
}

fn start(command: &mut Command) -> Result<Child, String> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Below the ports that the system gives to those who ask for none: nobody takes one before its program does.
const PORTS: RangeInclusive<u16> = 20_000..=32_000;

/// Ports that nobody has now, and that were not given out before.
pub fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, String> {
    static NEXT: AtomicU16 = AtomicU16::new(*PORTS.start());
    let is_free = |address: &SocketAddr| UdpSocket::bind(address).is_ok();
    let candidates = iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take_while(|port| PORTS.contains(port));
    let found: Vec<_> = candidates.map(|port| (Ipv4Addr::LOCALHOST, port).into()).filter(is_free).take(count).collect();
    if found.len() == count { Ok(found) } else { Err("no free ports".to_owned()) }
}
