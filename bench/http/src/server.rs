//! The servers that are measured, each a process of its own: `arcly serve`, and nginx with the same bytes in tmpfs.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use arcly_bench_server::serve;
pub use arcly_bench_server::{Process, free_address};

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
    /// With an origin.
    pub fn start(command: &Path, options: &[&str]) -> Result<Self, String> {
        let (rtmp, http) = (free_address()?, free_address()?);
        Ok(Self { process: serve(command, &[("--rtmp", rtmp), ("--http", http)], options)?, rtmp, http })
    }

    /// Without one.
    pub fn start_without_origin(command: &Path) -> Result<Self, String> {
        let (rtmp, http) = (free_address()?, free_address()?);
        Ok(Self { process: serve(command, &[("--rtmp", rtmp)], &[])?, rtmp, http })
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
