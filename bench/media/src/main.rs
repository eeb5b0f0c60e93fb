//! Containers: arcly against arcly-stream 0.8.3 in one process, and against libavformat in another, all interleaved on CPU time.
//! `README.md` one folder up says how and why.

mod libavformat;
mod mp4;
mod stream;
mod ts;

use arcly_bench_report::{Output, Row};
use libavformat::Libavformat;

/// A group of measurements; what it measures is said while it runs.
type Group = (&'static str, fn(Option<&Libavformat>) -> Vec<Row>);

/// One for each container.
const GROUPS: [Group; 2] = [("MPEG-TS", ts::rows), ("fragmented MP4", mp4::rows)];

fn main() {
    let mut output = Output::Table;
    let mut python = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => output = Output::Json,
            "--python" => python = arguments.next(),
            other => eprintln!("{other} says nothing to me"),
        }
    }
    let libavformat = python.map(Libavformat::new);
    let mut rows = Vec::new();
    for (what, measure) in GROUPS {
        eprintln!("measuring {what} ...");
        rows.append(&mut measure(libavformat.as_ref()));
    }
    output.print(&rows);
}
