//! Players and publishers by the hundred, against `arcly serve`, nginx-rtmp and a program that only writes: `../README.md` says how and why.

mod clock;
mod fault;
mod floor;
mod flv;
mod inspect;
mod options;
mod players;
mod publishers;
mod report;
mod results;
mod rows;
mod rtmp;
mod run;
mod scenario;
mod server;
mod stream;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use floor::WriteEvery;
use options::Options;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [word, writes, bits_per_s] if word == "floor" => be_the_floor(writes, bits_per_s),
        arguments => Options::parse(arguments).and_then(|options| bench(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<(), String> {
    raise_descriptor_limit();
    let results = run::run(options)?;
    report::print(&rows::rows(&results, options), options.json);
    Ok(())
}

fn be_the_floor(writes: &str, bits_per_s: &str) -> Result<(), String> {
    let bad = |_| "floor message|picture|MS BITS_PER_S".to_owned();
    let writes = match writes {
        "message" => WriteEvery::Message,
        "picture" => WriteEvery::Picture,
        window_ms => WriteEvery::Window(Duration::from_millis(window_ms.parse().map_err(bad)?)),
    };
    floor::run(writes, stream::Shape::of(bits_per_s.parse().map_err(bad)?)).map_err(|error| error.to_string())
}

/// Every viewer is a descriptor here and one in the server, which inherits the limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit of descriptors stays as it is: {error}");
    }
}
