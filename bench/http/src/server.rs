//! The servers that are measured, each a process of its own: `arcly serve`, and nginx with the same bytes in tmpfs.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// Ends when it is dropped.
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(command: &mut Command, listens: &[SocketAddr]) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut process = Self { child: child.map_err(|error| format!("{program}: {error}"))? };
        let deadline = Instant::now() + START_DEADLINE;
        while !listens.iter().all(|address| TcpStream::connect(address).is_ok()) {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(format!("{program} ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("{program} does not listen"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// Seconds that it and its children have had a core.
    pub fn cpu_s(&self) -> f64 {
        self.processes().into_iter().map(cpu_ns).sum::<u64>() as f64 / 1e9
    }

    /// Memory of it and its children.
    pub fn rss_bytes(&self) -> u64 {
        self.processes().into_iter().filter_map(rss_bytes).sum()
    }

    fn processes(&self) -> Vec<u32> {
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
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// By the scheduler's own account, all threads together: clock ticks are too coarse.
fn cpu_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of_task = |path: PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    tasks.filter_map(|task| of_task(task.ok()?.path())).sum()
}

fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

pub fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

/// A certificate, as files.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub fn make(directory: &Path) -> Result<Self, String> {
        let text = |error: rcgen::Error| error.to_string();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(text)?;
        let (chain, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        let write = |path: &Path, text: String| fs::write(path, text).map_err(|error| error.to_string());
        write(&chain, made.cert.pem())?;
        write(&key, made.signing_key.serialize_pem())?;
        Ok(Self { chain, key })
    }
}

/// `arcly serve`, and the addresses of it.
pub struct Arcly {
    pub process: Process,
    pub rtmp: SocketAddr,
    pub http: SocketAddr,
}

impl Arcly {
    pub fn start(command: &Path, options: &[&str], tls: Option<&Certificate>) -> Result<Self, String> {
        let (rtmp, http) = (free_address()?, free_address()?);
        let mut serve = Command::new(command);
        serve.args([
            "serve",
            "--log-level",
            "error",
            "--webrtc",
            "off",
            "--rtsp",
            "off",
            "--srt",
            "off",
            "--rtmp",
            &rtmp.to_string(),
        ]);
        let has_http = !options.contains(&"--http");
        if has_http {
            serve.args([if tls.is_some() { "--https" } else { "--http" }, &http.to_string()]);
        }
        if let Some(tls) = tls {
            serve.args(["--http", "off"]).arg("--tls-cert").arg(&tls.chain).arg("--tls-key").arg(&tls.key);
        }
        serve.args(options);
        let listens = if has_http { vec![rtmp, http] } else { vec![rtmp] };
        Ok(Self { process: Process::start(&mut serve, &listens)?, rtmp, http })
    }
}

/// nginx as Debian packages it.
pub struct Nginx {
    pub process: Process,
    pub http: SocketAddr,
    pub https: SocketAddr,
}

impl Nginx {
    /// Serves the files of `root`. One worker a core, as it is usually run; tuned for files: without `open_file_cache` and `tcp_nopush` it
    /// serves segments at half the rate, and TLS in records of 16 KiB goes better with larger buffers.
    pub fn start(root: &Path, directory: &Path, certificate: &Certificate) -> Result<Self, String> {
        let (http, https) = (free_address()?, free_address()?);
        // As root, nginx would change to a user who may not read the directory.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let (path, root) = (directory.display(), root.display());
        let (chain, key) = (certificate.chain.display(), certificate.key.display());
        let configuration = format!(
            "{user} daemon off; worker_processes auto; pid {path}/pid; error_log {path}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000; keepalive_timeout 600;
  open_file_cache max=1000 inactive=600s; open_file_cache_valid 600s; output_buffers 4 256k;
  server {{ listen {http}; root {root}; }}
  server {{
    listen {https} ssl; root {root}; ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
    ssl_buffer_size 16k;
  }}
}}
"
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration).map_err(|error: io::Error| error.to_string())?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file).arg("-e").arg(directory.join("error.log")).stderr(Stdio::null());
        Ok(Self { process: Process::start(&mut command, &[http, https])?, http, https })
    }
}

/// ffmpeg, which publishes a clip again and again.
pub struct Publisher {
    _process: Process,
}

impl Publisher {
    pub fn start(clip: &Path, rtmp: SocketAddr) -> Result<Self, String> {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-re", "-stream_loop", "-1", "-i"]).arg(clip).args(["-c", "copy", "-f", "flv"]);
        command.arg(format!("rtmp://{rtmp}/live/cam")).stderr(Stdio::null());
        Ok(Self { _process: Process::start(&mut command, &[])? })
    }
}

/// 5 Mbit/s of 1280x720 at 30 pictures a second, a key picture a second, with sound.
pub fn make_clip(path: &Path) -> Result<(), String> {
    let video = "testsrc2=size=1280x720:rate=30,noise=alls=20:allf=t";
    let rate = ["-b:v", "4900k", "-minrate", "4900k", "-maxrate", "4900k", "-bufsize", "4900k"];
    let status = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            video,
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000",
        ])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-x264-params",
            "nal-hrd=cbr",
            "-g",
            "30",
            "-keyint_min",
            "30",
        ])
        .args(["-sc_threshold", "0", "-pix_fmt", "yuv420p"])
        .args(rate)
        .args(["-c:a", "aac", "-b:a", "96k", "-t", "10"])
        .arg(path)
        .status()
        .map_err(|error| format!("ffmpeg: {error}"))?;
    if status.success() { Ok(()) } else { Err("ffmpeg made no clip".to_owned()) }
}
