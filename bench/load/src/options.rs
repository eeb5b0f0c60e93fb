//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// How long, how often, and of what.
#[derive(Clone, Debug)]
pub struct Options {
    pub json: bool,
    pub quick: bool,
    /// Of one measurement.
    pub duration: Duration,
    pub rounds: usize,
    /// The command `arcly`.
    pub arcly: PathBuf,
    /// Only this group of measurements.
    pub only: Option<String>,
}

/// The groups.
pub const GROUPS: [&str; 6] = ["viewers", "many", "streams", "idle", "memory", "stalled"];

const USAGE: &str = "arcly-bench-load [--json] [--quick] [--seconds N] [--rounds N] [--only GROUP] [--arcly COMMAND]";

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            json: false,
            quick: false,
            duration: Duration::ZERO,
            rounds: 0,
            arcly: PathBuf::from("arcly"),
            only: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value; {USAGE}"));
            let bad = |_| format!("{word} needs a number");
            match word.as_str() {
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                "--seconds" => options.duration = Duration::from_secs(value()?.parse::<u64>().map_err(bad)?),
                "--rounds" => options.rounds = value()?.parse().map_err(bad)?,
                "--arcly" => options.arcly = value()?.into(),
                "--only" => options.only = Some(value()?.clone()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        if let Some(only) = options.only.as_ref().filter(|only| !GROUPS.contains(&only.as_str())) {
            return Err(format!("no group {only}: {}", GROUPS.join(", ")));
        }
        if options.duration.is_zero() {
            options.duration = Duration::from_secs(if options.quick { 2 } else { 4 });
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { 1 } else { 3 };
        }
        Ok(options)
    }

    pub fn wants(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == group)
    }
}
