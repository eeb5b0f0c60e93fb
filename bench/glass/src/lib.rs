//! What a person sees of it: `bench/glass`, which has a browser show a clock.

use std::{path::Path, process::Command, time::Duration};

use arcly_bench_report::{Goal, Row};
use serde_json::Value;

const SCRIPT: &str = "bench/glass/bench_glass.py";
/// The ways that end in WebRTC, what is said of them, and how old a picture may be there, in milliseconds.
const WAYS: [(&str, &str, f64); 2] = [("rtmp-whep", "RTMP to WHEP", 105.0), ("whip-whep", "WHIP to WHEP", 30.0)];

/// The age of a picture in Chromium, for half of them; `python` has Playwright and PyAV. A machine without Chromium still has the other rows.
pub fn rows(python: Option<&Path>, window: Duration) -> Vec<Row> {
    let row = |(way, told, goal_ms)| {
        let age_ms = python.ok_or("no --python".to_owned()).and_then(|python| age_ms(python, way, window));
        let age_ms = age_ms.inspect_err(|reason| eprintln!("{reason}")).unwrap_or(f64::NAN);
        Row::new(format!("{told}, glass to glass, p50"), "ms", age_ms, Goal::AtMost(goal_ms))
    };
    WAYS.into_iter().map(row).collect()
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
