//! HLS over HTTP: arcly beside nginx with the same bytes, waiting players, and what packaging costs. `../README.md` says how and why.

mod client;
mod files;
mod playlist;
mod relay;
mod server;
mod waiting;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use arcly_bench_glass::Way;
use arcly_bench_report::{Goal, Output, Row, median};
use client::Client;
use files::Load;
use playlist::{Position, pictures};
use relay::Relay;
use server::{Arcly, Certificate, Nginx, Process, Publisher, free_address, make_clip};

/// Connections that fetch files.
const CONNECTIONS: usize = 50;
/// Players that wait.
const PLAYERS: usize = 1_000;
const BIT_RATE: f64 = 5e6;
const GLASS: Way =
    Way { name: "rtmp-hls", told: "RTMP to LL-HLS, parts of 200 ms, a key picture a second", goal_ms: 1200.0 };

struct Options {
    /// A virtual environment with arcly.
    venv: PathBuf,
    output: Output,
    quick: bool,
    /// One kind of measurement, `files`, `waiting`, `packaging` or `glass`; all where none is named.
    only: Option<String>,
}

fn main() -> ExitCode {
    let done = options().and_then(|options| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(bench(&options))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { venv: PathBuf::new(), output: Output::Table, quick: false, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--venv" => options.venv = words.next().ok_or("--venv DIRECTORY")?.into(),
            "--json" => options.output = Output::Json,
            "--quick" => options.quick = true,
            "--only" => options.only = Some(words.next().ok_or("--only files|waiting|packaging|glass")?),
            _ => return Err("--venv DIRECTORY [--json] [--quick] [--only files|waiting|packaging|glass]".to_owned()),
        }
    }
    Ok(options)
}

async fn bench(options: &Options) -> Result<(), String> {
    let scratch = Scratch::new()?;
    let clip = scratch.0.join("clip.mp4");
    eprintln!("making a clip ...");
    make_clip(&clip)?;
    let mut rows = Vec::new();
    if options.wants("files") {
        rows.extend(fetching(options, &scratch.0, &clip).await?);
    }
    if options.wants("waiting") {
        rows.extend(live(options, &clip).await?);
    }
    if options.wants("packaging") {
        rows.extend(packaging(options, &clip).await?);
    }
    if options.wants("glass") {
        let python = options.venv.join("bin/python");
        rows.push(arcly_bench_glass::row(Some(&python), &GLASS, options.seconds(20, 8)));
    }
    options.output.print(&rows);
    Ok(())
}

impl Options {
    fn seconds(&self, full: u64, quick: u64) -> Duration {
        Duration::from_secs(if self.quick { quick } else { full })
    }

    fn wants(&self, kind: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == kind)
    }

    fn arcly(&self) -> PathBuf {
        self.venv.join("bin/arcly")
    }
}

/// A directory in tmpfs, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = Path::new("/dev/shm").join(format!("arcly-bench-http-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// arcly as a library, in a process.
struct Origin {
    process: Process,
    http: std::net::SocketAddr,
    tls: bool,
}

impl Origin {
    fn start(options: &Options, clip: &Path, certificate: Option<&Certificate>) -> Result<(Self, Publisher), String> {
        let (rtmp, http) = (free_address()?, free_address()?);
        let mut command = Command::new(options.venv.join("bin/python"));
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/origin.py")).args([rtmp.to_string(), http.to_string()]);
        if let Some(certificate) = certificate {
            command.arg(&certificate.chain).arg(&certificate.key);
        }
        let process = Process::start(command.stderr(Stdio::inherit()), &[rtmp, http])?;
        let publisher = Publisher::start(clip, rtmp)?;
        Ok((Self { process, http, tls: certificate.is_some() }, publisher))
    }
}

/// The playlist of a live stream, and a segment of it.
struct Found {
    playlist: String,
    playlist_body: Vec<u8>,
    segment: String,
    segment_body: Vec<u8>,
}

async fn find(http: std::net::SocketAddr, tls: bool) -> Result<Found, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut client = Client::connect(http, tls).await.map_err(text)?;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let index = client.read("/live/cam/index.m3u8").await.map_err(text)?;
        let index = String::from_utf8_lossy(&index.body).into_owned();
        if let Some(name) = pictures(&index) {
            let playlist = format!("/live/cam/{name}");
            let body = client.read(&playlist).await.map_err(text)?.body;
            let position = Position::of(&String::from_utf8_lossy(&body));
            if position.sequence >= 5 {
                let segment = format!("/live/cam/{}", position.newest_segment);
                let segment_body = client.read(&segment).await.map_err(text)?.body;
                return Ok(Found { playlist, playlist_body: body, segment, segment_body });
            }
        }
        if std::time::Instant::now() > deadline {
            return Err("the stream does not come".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn fetching(options: &Options, scratch: &Path, clip: &Path) -> Result<Vec<Row>, String> {
    eprintln!("files, beside nginx ...");
    let certificate = Certificate::make(scratch)?;
    let (plain, _publisher) = Origin::start(options, clip, None)?;
    let (secure, _secure_publisher) = Origin::start(options, clip, Some(&certificate))?;
    let root = scratch.join("root");
    fs::create_dir_all(root.join("live/cam")).map_err(|error| error.to_string())?;
    let nginx = Nginx::start(&root, scratch, &certificate)?;
    let mut rows = Vec::new();
    for origin in [&plain, &secure] {
        let found = find(origin.http, origin.tls).await?;
        for (path, body) in [(&found.playlist, &found.playlist_body), (&found.segment, &found.segment_body)] {
            let name = path.split('?').next().unwrap_or_default().trim_start_matches('/');
            fs::write(root.join(name), body).map_err(|error| error.to_string())?;
        }
        let (list, segment) = (found.playlist.clone(), found.segment.clone());
        let over = if origin.tls { "HTTPS (TLS 1.3)" } else { "HTTP" };
        let peer = if origin.tls { nginx.https } else { nginx.http };
        let goal = |plain, secure| if origin.tls { secure } else { plain };
        let sizes = [found.playlist_body.len(), found.segment_body.len()];
        let cases = [
            (
                format!("playlist, {} bytes, over {over}", sizes[0]),
                vec![list.clone()],
                goal(Goal::Ratio(1.2), Goal::None),
            ),
            (
                format!("segment, {} KB, over {over}", sizes[1] / 1000),
                vec![segment.clone()],
                goal(Goal::Ratio(0.8), Goal::Ratio(1.5)),
            ),
            (format!("playlist and segment in turn, over {over}"), vec![list, segment], Goal::None),
        ];
        for (name, paths, goal) in cases {
            let paths = Arc::new(paths);
            let load = |address| Load {
                address,
                tls: origin.tls,
                paths: paths.clone(),
                connections: CONNECTIONS,
                lasts: options.seconds(3, 1),
            };
            let (ours, theirs) = (load(origin.http), load(peer));
            let (mut arcly, mut other) = (Vec::new(), Vec::new());
            for _ in 0..if options.quick { 1 } else { 5 } {
                arcly.push(ours.cpu_us_per_request(&origin.process).await?);
                other.push(theirs.cpu_us_per_request(&nginx.process).await?);
            }
            rows.push(Row::new(format!("CPU of a {name}"), "us", median(&arcly), goal).peer(median(&other)));
        }
    }
    Ok(rows)
}

async fn live(options: &Options, clip: &Path) -> Result<Vec<Row>, String> {
    eprintln!("{PLAYERS} players that wait ...");
    let arcly = Arcly::start(&options.arcly(), &[])?;
    let relay = Relay::start(arcly.rtmp)?;
    let _publisher = Publisher::start(clip, relay.address)?;
    let found = find(arcly.http, false).await?;
    let lasts = options.seconds(20, 5);
    let idle_s = arcly.process.cpu_s();
    tokio::time::sleep(lasts).await;
    let idle = (arcly.process.cpu_s() - idle_s) / lasts.as_secs_f64();
    let alone = waiting::wait(arcly.http, &found.playlist, PLAYERS, lasts, false, &arcly.process, &relay).await?;
    let with_parts = waiting::wait(arcly.http, &found.playlist, PLAYERS, lasts, true, &arcly.process, &relay).await?;
    let (cpu, p99) = ("CPU", "end of part to last byte of playlist, p99");
    Ok(vec![
        Row::new(format!("1000 players wait: {cpu}"), "cores", alone.cores - idle, Goal::AtMost(0.12)),
        Row::new(format!("1000 players wait: {p99}"), "ms", alone.p99_ms, Goal::AtMost(40.0)),
        Row::new(format!("1000 players fetch each part: {cpu}"), "cores", with_parts.cores - idle, Goal::AtMost(0.25)),
        Row::new(format!("1000 players fetch each part: {p99}"), "ms", with_parts.p99_ms, Goal::None),
    ])
}

/// The same publisher with and without an origin; memory of a long window beside that of a short one.
async fn packaging(options: &Options, clip: &Path) -> Result<Vec<Row>, String> {
    eprintln!("packaging ...");
    let command = options.arcly();
    let with = Arcly::start(&command, &["--hls-window", "15"])?;
    let without = Arcly::start_without_origin(&command)?;
    let window_s = if options.quick { 30.0 } else { 120.0 };
    let long = Arcly::start(&command, &["--hls-window", &window_s.to_string(), "--hls-ts", "off"])?;
    let short = Arcly::start(&command, &["--hls-window", "0", "--hls-ts", "off"])?;
    let servers = [&with, &without, &long, &short];
    let _publishers = servers.map(|server| Publisher::start(clip, server.rtmp));
    tokio::time::sleep(Duration::from_secs_f64(if options.quick { 15.0 } else { 30.0 })).await;
    let before = servers.map(|server| server.process.cpu_s());
    let lasts = options.seconds(30, 10);
    tokio::time::sleep(lasts).await;
    let cores = |index: usize| (servers[index].process.cpu_s() - before[index]) / lasts.as_secs_f64();
    let percent = (cores(0) - cores(1)) * 100.0;
    // The window, and what leaves it slowly.
    tokio::time::sleep(Duration::from_secs_f64(window_s * 1.2)).await;
    let grown = long.process.rss_bytes() as f64 - short.process.rss_bytes() as f64;
    // The short one has six target durations.
    let media = BIT_RATE / 8.0 * (window_s - 6.0);
    Ok(vec![
        Row::new("packaging 5 Mbit/s as CMAF, MPEG-TS and playlists", "% core", percent, Goal::AtMost(0.5)),
        Row::new(
            format!("memory of a window of {window_s} s, of what is in it"),
            "times",
            grown / media,
            Goal::AtMost(1.15),
        ),
    ])
}
