//! What a person sees of a way: `bench_glass.py`, which has a browser show a clock.

use std::{path::Path, process::Command, time::Duration};

use arcly_bench_report::{Goal, Row};
use serde_json::Value;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench_glass.py");

/// A way from one glass to the other.
pub struct Way {
    /// As the script calls it.
    pub name: &'static str,
    /// As the row calls it.
    pub told: &'static str,
    /// How old a picture may be.
    pub goal_ms: f64,
}

/// The age of a picture in Chromium, for half of them; `python` has Playwright and PyAV. A machine without Chromium still has its other rows.
pub fn row(python: Option<&Path>, way: &Way, window: Duration) -> Row {
    let age_ms =
        python.ok_or("no Python with a browser".to_owned()).and_then(|python| age_ms(python, way.name, window));
    let age_ms = age_ms.inspect_err(|reason| eprintln!("{reason}")).unwrap_or(f64::NAN);
    Row::new(format!("{}, glass to glass, p50", way.told), "ms", age_ms, Goal::AtMost(way.goal_ms))
}

fn age_ms(python: &Path, way: &str, window: Duration) -> Result<f64, String> {
    eprintln!("measuring {way} from glass to glass ...");
    let seconds = window.as_secs().to_string();
    let output = Command::new(python).args([SCRIPT, "--json", "--ways", way, "--seconds", &seconds]).output();
    let output = output.map_err(|error| format!("{}: {error}", python.display()))?;
    let failed = || format!("{SCRIPT}: {}", String::from_utf8_lossy(&output.stderr).trim());
    let printed: Value = serde_json::from_slice(&output.stdout).map_err(|_| failed())?;
    printed.pointer("/rows/0/arcly").and_then(Value::as_f64).ok_or_else(failed)
}
