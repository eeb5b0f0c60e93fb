//! RTP packets beside arcly-stream, and RTSP players and cameras by the hundred against `arcly serve`. `../README.md` says how and why.

mod cameras;
mod client;
mod floor;
mod load;
mod readers;
mod rtmp;
mod rtp;
mod server;
mod stream;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use arcly_bench_report::Output;

/// What is asked for.
struct Options {
    /// The command.
    arcly: Option<PathBuf>,
    output: Output,
    /// How long each measurement takes.
    window: Duration,
}

fn main() -> ExitCode {
    match options().and_then(|options| bench(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { arcly: None, output: Output::Table, window: Duration::from_secs(10) };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--arcly" => options.arcly = Some(words.next().ok_or("--arcly COMMAND")?.into()),
            "--json" => options.output = Output::Json,
            "--quick" => options.window = Duration::from_secs(3),
            _ => return Err("[--arcly COMMAND] [--json] [--quick]".to_owned()),
        }
    }
    Ok(options)
}

fn bench(options: &Options) -> Result<(), String> {
    eprintln!("measuring packets ...");
    let mut rows = rtp::rows();
    if let Some(arcly) = &options.arcly {
        rows.extend(load::rows(arcly, options.window)?);
    }
    options.output.print(&rows);
    Ok(())
}
