//! The command line of the sweeps.
//!
//! ```text
//! cargo run --release -p arcly-fuzz -- [TARGET] [--inputs N] [--first K] [--seed S] [--input K]
//! cargo run --release -p arcly-fuzz -- [TARGET] --seeds FOLDER
//! ```

use std::{fs, io, path::Path, process::ExitCode};

use arcly_fuzz::{
    options::{Options, USAGE},
    sweep::{replay, sweep},
    targets::{ALL, Target},
};
use peak_alloc::PeakAlloc;

/// What an input makes a parser allocate is part of the verdict.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => return usage(&message),
    };
    let chosen: Vec<_> = ALL.iter().filter(|target| options.wants(target.name)).collect();
    if chosen.is_empty() {
        return usage("no such target");
    }
    if let Some(folder) = &options.seeds {
        return write_seeds(&chosen, Path::new(folder));
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
    let (name, seed) = (target.name, options.seed);
    let result = match options.input {
        Some(number) => replay(target, seed, number),
        None => sweep(target, seed, options.first, options.inputs),
    };
    match result {
        Ok(report) => {
            println!("{name:<12} seed {seed} inputs {}+{}: {report}", options.first, report.inputs);
            true
        }
        Err(failure) => {
            let number = failure.number;
            println!("{name:<12} FAILED: {}", failure.what);
            println!("replay: cargo run --release -p arcly-fuzz -- {name} --seed {seed} --input {number}");
            false
        }
    }
}

/// Puts the vectors of each target into a folder of its name: where a coverage-guided fuzzer begins.
fn write_seeds(targets: &[&Target], folder: &Path) -> ExitCode {
    let write = |target: &&Target| -> io::Result<()> {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        let vectors = (target.vectors)().into_iter().enumerate();
        vectors.into_iter().try_for_each(|(number, vector)| fs::write(folder.join(format!("seed-{number}")), vector))
    };
    match targets.iter().try_for_each(write) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => usage(&format!("{}: {error}", folder.display())),
    }
}
