//! SRT viewers and publishers by the hundred against arcly, against libsrt's own program, and against bare writes. `../README.md` says
//! how and why.

mod arrival;
mod floor;
mod link;
mod load;
mod rows;
mod server;
mod stream;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use arcly_bench_report::Output;

/// What is asked for.
struct Options {
    /// A Python that has arcly.
    python: PathBuf,
    output: Output,
    /// Viewers, and publishers, at a time.
    connections: usize,
    /// How long each measurement takes.
    window: Duration,
    /// Whether libsrt is measured too.
    with_peer: bool,
}

fn main() -> ExitCode {
    let outcome = options().and_then(|options| {
        let rows = rows::measure(&options.python, options.connections, options.window, options.with_peer)?;
        options.output.print(&rows);
        Ok(())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let usage = "[--python PATH] [--json] [--connections N] [--seconds N] [--no-peer]";
    let mut options = Options {
        python: "python3".into(),
        output: Output::Table,
        connections: 100,
        window: Duration::from_secs(5),
        with_peer: true,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(usage);
        match word.as_str() {
            "--no-peer" => options.with_peer = false,
            "--json" => options.output = Output::Json,
            "--python" => options.python = value()?.into(),
            "--connections" => options.connections = value()?.parse().map_err(|_| usage)?,
            "--seconds" => options.window = Duration::from_secs(value()?.parse().map_err(|_| usage)?),
            _ => return Err(usage.to_owned()),
        }
    }
    Ok(options)
}
