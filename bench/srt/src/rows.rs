//! Who is measured doing what.

use std::{path::Path, time::Duration};

use arcly_bench_report::{Goal, Row};

use crate::{
    floor,
    load::Load,
    server::{Servers, free_addresses},
};

const BITS_PER_S: u64 = 2_500_000;
const SECRET: &str = "a long passphrase";
/// Until buffers are full and everybody plays.
const SETTLE: Duration = Duration::from_secs(2);
/// What both sides of each connection agree on here.
const LATENCY: Duration = Duration::from_millis(120);
/// Programs of libsrt at a time: each costs the same, and more of them would leave no core to whoever plays.
const PEERS_MAX: usize = 20;

pub fn measure(python: &Path, connections: usize, window: Duration, with_peer: bool) -> Result<Vec<Row>, String> {
    let bench = Bench { python, connections, peers: connections.min(PEERS_MAX), window };
    let peer = format!("peer: {} of srt-live-transmit", bench.peers);
    let floor = floor::segmented(BITS_PER_S, connections, window)?;
    let mut rows = Vec::new();
    let mut added_ms = 0.0;
    for (name, secret, of_floor) in [("in the clear", None, 0.5), ("AES-128", Some(SECRET), 0.385)] {
        let name = format!("{connections} viewers, {name}");
        eprintln!("measuring {name} ...");
        let (ours, p99_ms) = bench.arcly_viewers(secret)?;
        added_ms = if secret.is_none() { p99_ms } else { added_ms };
        let row = |what: &str, goal| Row::new(format!("{name}; {what}"), "CPU s/Gbit", ours, goal);
        if with_peer {
            rows.push(row(&peer, Goal::Ratio(2.0)).peer(bench.libsrt_viewers(secret)?));
        }
        rows.push(row("floor: segmentation offload", Goal::OfFloor(of_floor)).floor(floor.cost));
    }
    let name = format!("{connections} publishers; {peer}");
    eprintln!("measuring {name} ...");
    let row = Row::new(name, "CPU s/Gbit", bench.arcly_publishers()?, Goal::Ratio(1.67));
    rows.push(if with_peer { row.peer(bench.libsrt_publishers()?) } else { row });
    let name = format!("added to the latency agreed on, {connections} viewers, p99");
    rows.push(Row::new(name, "ms", added_ms, Goal::AtMost(5.0)).floor(p99_ms(floor.late.iter().map(ms).collect())));
    Ok(rows)
}

struct Bench<'a> {
    python: &'a Path,
    connections: usize,
    peers: usize,
    window: Duration,
}

impl Bench<'_> {
    /// One publisher and all viewers; CPU seconds per gigabit that came, and the 99th percentile of what was added to the latency.
    fn arcly_viewers(&self, secret: Option<&str>) -> Result<(f64, f64), String> {
        let [address] = free_addresses(1)?[..] else { return Err("no port".into()) };
        let server = Servers::arcly(self.python, address, secret)?;
        let mut load = Load::new(BITS_PER_S);
        load.publish(address, "publish:live/cam", secret)?;
        (0..self.connections).try_for_each(|_| load.play(address, "read:live/cam", secret))?;
        load.connect(SETTLE)?;
        load.instants.clear();
        let cost = self.cost(&server, &mut load, self.connections, Load::bytes);
        // What is encrypted does not show its instants.
        let added = load.instants.iter().map(|(sent, came)| ms(came) - ms(sent) - ms(&LATENCY)).collect();
        Ok((cost, p99_ms(added)))
    }

    /// A program for each viewer.
    fn libsrt_viewers(&self, secret: Option<&str>) -> Result<f64, String> {
        let (fed, listening) = (free_addresses(self.peers)?, free_addresses(self.peers)?);
        let pairs = fed.iter().zip(&listening).map(|(fed, listening)| {
            (format!("udp://{fed}"), format!("srt://{listening}?mode=listener{}", query(secret)))
        });
        let servers = Servers::libsrt(pairs)?;
        let mut load = Load::new(BITS_PER_S);
        listening.iter().try_for_each(|address| load.play(*address, "", secret))?;
        load.feed(fed)?;
        load.connect(SETTLE)?;
        Ok(self.cost(&servers, &mut load, self.peers, Load::bytes))
    }

    fn arcly_publishers(&self) -> Result<f64, String> {
        let [address] = free_addresses(1)?[..] else { return Err("no port".into()) };
        let server = Servers::arcly(self.python, address, None)?;
        let mut load = Load::new(BITS_PER_S);
        (0..self.connections).try_for_each(|number| load.publish(address, &format!("publish:live/{number}"), None))?;
        load.connect(SETTLE)?;
        Ok(self.cost(&server, &mut load, self.connections, |load| load.sent_bytes))
    }

    /// A program for each publisher, which writes to nowhere.
    fn libsrt_publishers(&self) -> Result<f64, String> {
        let listening = free_addresses(self.peers)?;
        let pairs = listening.iter().map(|address| (format!("srt://{address}?mode=listener"), "file://con".to_owned()));
        let servers = Servers::libsrt(pairs)?;
        let mut load = Load::new(BITS_PER_S);
        listening.iter().try_for_each(|address| load.publish(*address, "", None))?;
        load.connect(SETTLE)?;
        Ok(self.cost(&servers, &mut load, self.peers, |load| load.sent_bytes))
    }

    /// CPU seconds per gigabit of what `bytes` counts.
    fn cost(&self, servers: &Servers, load: &mut Load, connections: usize, bytes: impl Fn(&Load) -> u64) -> f64 {
        let (cpu_s, before, faults) = (servers.cpu_s(), bytes(load), load.faults());
        load.run(self.window);
        let (used_s, gbit) = (servers.cpu_s() - cpu_s, 8.0 * (bytes(load) - before) as f64 / 1e9);
        let due = load.due_gbit(connections, self.window);
        let faults = load.faults() - faults;
        eprintln!("  {:.0} % of what is due, {faults} packets missing or sent again", 100.0 * gbit / due);
        used_s / gbit
    }
}

fn query(secret: Option<&str>) -> String {
    secret.map_or_else(String::new, |secret| format!("&passphrase={secret}&pbkeylen=16"))
}

fn ms(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The 99th percentile; it says two more.
fn p99_ms(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let percentile = |part: f64| {
        let at = (values.len() as f64 * part) as usize;
        values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    };
    let [first, half, most] = [0.01, 0.5, 0.99].map(percentile);
    if !values.is_empty() {
        eprintln!("  {first:.2}, {half:.2} and {most:.2} ms late at 1, 50 and 99 %");
    }
    most
}
