//! What a person sees of it: `bench/glass`, which has a browser show a clock.

use std::{path::Path, process::Command, time::Duration};

use arcly_bench_report::{Goal, Row};
use serde_json::Value;

const SCRIPT: &str = "bench/glass/bench_glass.py";
/// The ways that end in WebRTC, and how old a picture may be there, in milliseconds.
const WAYS: [(&str, f64); 2] = [("rtmp-whep", 105.0), ("whip-whep", 30.0)];

/// The age of a picture in Chromium, for half of them; `python` has Playwright and PyAV.
pub fn rows(python: &Path, window: Duration) -> Result<Vec<Row>, String> {
    WAYS.into_iter().map(|(way, goal_ms)| row(python, way, goal_ms, window)).collect()
}

fn row(python: &Path, way: &str, goal_ms: f64, window: Duration) -> Result<Row, String> {
    eprintln!("measuring {way} from glass to glass ...");
    let seconds = window.as_secs().to_string();
    let output = Command::new(python).args([SCRIPT, "--json", "--ways", way, "--seconds", &seconds]).output();
    let output = output.map_err(|error| format!("{}: {error}", python.display()))?;
    let failed = || format!("{SCRIPT}: {}", String::from_utf8_lossy(&output.stderr).trim());
    let printed: Value = serde_json::from_slice(&output.stdout).map_err(|_| failed())?;
    let half = printed.pointer("/rows/0").ok_or_else(failed)?;
    let (name, age_ms) = half["name"].as_str().zip(half["arcly"].as_f64()).ok_or_else(failed)?;
    Ok(Row::new(name, "ms", age_ms, Goal::AtMost(goal_ms)))
}
