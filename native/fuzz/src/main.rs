//! Seeded mutation sweeps over everything that reads a peer's bytes.
//!
//! ```text
//! cargo run --release -p arcly-fuzz -- [TARGET] [--inputs N] [--seed S] [--input K]
//! ```
//!
//! Each target takes valid vectors, breaks them and runs its parser or state machine on the result.
//! A panic, more than a second for one input, or more memory than the target's bound fails the run,
//! with the line that replays the input. Input `K` of seed `S` is the same bytes on every machine.

mod avc;
mod bit_edits;
mod checks;
mod flv;
mod flv_edits;
mod mutate;
mod options;
mod random;
mod shrink;
mod sweep;
mod targets;

use std::process::ExitCode;

use crate::{
    options::{Options, USAGE},
    sweep::{Report, replay, sweep},
    targets::{ALL, Target},
};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => return usage(&message),
    };
    let chosen: Vec<_> = ALL.iter().filter(|target| options.wants(target.name)).collect();
    if chosen.is_empty() {
        return usage("no such target");
    }
    let green = chosen.into_iter().map(|target| run(target, &options)).filter(|green| !green).count() == 0;
    if green { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(message: &str) -> ExitCode {
    let names: Vec<_> = ALL.iter().map(|target| target.name).collect();
    eprintln!("{message}\n{USAGE}\ntargets: {}", names.join(" "));
    ExitCode::from(2)
}

/// Runs one target and prints its line; false when it failed.
fn run(target: &Target, options: &Options) -> bool {
    let result = match options.input {
        Some(number) => replay(target, options.seed, number),
        None => sweep(target, options.seed, options.inputs),
    };
    match result {
        Ok(Report { inputs, mean, max, buffered_bytes }) => {
            let (mean_ns, max_ns) = (mean.as_nanos(), max.as_nanos());
            let name = target.name;
            println!("{name:<12} {inputs} inputs, {mean_ns} ns mean, {max_ns} ns max, {buffered_bytes} B buffered max");
            true
        }
        Err(failure) => {
            let (name, seed, number) = (target.name, options.seed, failure.number);
            println!("{name:<12} FAILED: {}", failure.what);
            println!("replay: cargo run --release -p arcly-fuzz -- {name} --seed {seed} --input {number}");
            false
        }
    }
}
