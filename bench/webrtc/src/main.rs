//! WHEP viewers by the hundred against `arcly serve`. `../README.md` says how and why.

mod http;
mod load;
mod memory;
mod server;
mod srtp;
mod viewer;
mod viewers;

// The camera of `bench/rtsp` and its floor: the same stream, so that figures can be laid side by side.
#[path = "../../rtsp/src/cameras.rs"]
mod cameras;
#[path = "../../rtsp/src/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../../rtsp/src/floor.rs"]
#[allow(dead_code)]
mod floor;
#[path = "../../rtsp/src/readers.rs"]
#[allow(dead_code)]
mod readers;
#[path = "../../rtsp/src/stream.rs"]
mod stream;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use arcly_bench_glass::Way;
use arcly_bench_report::{Output, Row};

/// The ways that end in WebRTC.
const WAYS: [Way; 2] = [
    Way { name: "rtmp-whep", told: "RTMP to WHEP", goal_ms: 105.0 },
    Way { name: "whip-whep", told: "WHIP to WHEP", goal_ms: 30.0 },
];

/// What is asked for.
struct Options {
    /// The command.
    arcly: PathBuf,
    /// A Python that has a browser; without one nothing is seen from glass to glass.
    python: Option<PathBuf>,
    output: Output,
    /// How long each measurement takes.
    window: Duration,
}

fn main() -> ExitCode {
    match options() {
        Ok(options) => {
            options.output.print(&measure(&options));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Vec<Row> {
    let mut rows = load::rows(&options.arcly, options.window);
    rows.extend(WAYS.iter().map(|way| arcly_bench_glass::row(options.python.as_deref(), way, options.window)));
    rows
}

fn options() -> Result<Options, String> {
    let (mut arcly, mut python, mut output, mut window) = (None, None, Output::Table, Duration::from_secs(20));
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--arcly" => arcly = words.next().map(PathBuf::from),
            "--python" => python = words.next().map(PathBuf::from),
            "--json" => output = Output::Json,
            "--quick" => window = Duration::from_secs(6),
            _ => return Err("--arcly COMMAND [--python COMMAND] [--json] [--quick]".to_owned()),
        }
    }
    Ok(Options { arcly: arcly.ok_or("--arcly COMMAND")?, python, output, window })
}
