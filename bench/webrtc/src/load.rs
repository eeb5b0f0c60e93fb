//! Viewers against `arcly serve`.

use std::{path::Path, time::Duration};

use arcly_bench_report::{Goal, Row, median};

use crate::{
    cameras::Cameras, floor, memory::Memory, server::Arcly, srtp, stream, viewer::offer_only, viewers::Viewers,
};

const VIEWERS: [usize; 2] = [100, 300];
const BIT_RATE: u32 = 2_500_000;
/// Fewer than one address may have open and not connected.
const OFFERS: usize = 50;
/// Until buffers are full and everybody plays.
const WARM_UP: Duration = Duration::from_secs(3);
const CPU_GOAL_S: f64 = 0.40;
const RSS_GOAL_KIB: f64 = 40.0;
const ANSWER_GOAL_MS: f64 = 3.0;
const FIRST_FRAME_GOAL_MS: f64 = 50.0;

/// What is measured. None where it could not be.
#[derive(Default)]
struct Figures {
    /// CPU seconds of a gigabit and their floor, for each of [`VIEWERS`].
    cpu_s: [Option<(f64, f64)>; VIEWERS.len()],
    rss_kib: Option<f64>,
    answer_ms: Option<f64>,
    first_frame_ms: Option<f64>,
}

/// A row for each goal, whether or not it could be measured.
pub fn rows(command: &Path, window: Duration) -> Vec<Row> {
    let mut figures = Figures::default();
    if let Err(reason) = measure(command, window, &mut figures) {
        eprintln!("{reason}");
    }
    let row = |name: String, unit, figure: Option<f64>, goal| {
        let goal = Goal::AtMost(goal);
        figure.map_or_else(|| Row::missing(&name, unit, goal), |figure| Row::new(&name, unit, figure, goal))
    };
    let cpu = VIEWERS.into_iter().zip(figures.cpu_s).map(|(count, cpu_s)| {
        let name = format!("WHEP, {count} viewers; floor: segmentation offload and the cipher");
        let row = row(name, "CPU s/Gbit", cpu_s.map(|(cpu_s, _)| cpu_s), CPU_GOAL_S);
        match cpu_s {
            Some((_, floor_s)) => row.floor(floor_s),
            None => row,
        }
    });
    let rss = format!("WHEP, RSS for each of {}", Memory::VIEWERS);
    let mut rows: Vec<_> = cpu.collect();
    rows.extend([
        row(rss, "KiB", figures.rss_kib, RSS_GOAL_KIB),
        row("WHEP, CPU of an answer".into(), "ms", figures.answer_ms, ANSWER_GOAL_MS),
        row("WHEP, first picture after DTLS, p95".into(), "ms", figures.first_frame_ms, FIRST_FRAME_GOAL_MS),
    ]);
    rows
}

fn measure(command: &Path, window: Duration, figures: &mut Figures) -> Result<(), String> {
    let packets = stream::packets(BIT_RATE);
    let memory = Memory::start(command, &packets)?;
    let server = Arcly::start(command, &[])?;
    let _camera = Cameras::start(server.rtsp, &packets, 1)?;
    eprintln!("measuring {OFFERS} answers ...");
    std::thread::sleep(WARM_UP);
    figures.answer_ms = Some(answers(&server, window)?);
    let mut viewers = Viewers::of(server.http);
    for (count, cpu_s) in VIEWERS.into_iter().zip(&mut figures.cpu_s) {
        eprintln!("measuring {count} viewers ...");
        let joining_s = server.cpu_s();
        viewers.grow_to(count)?;
        let joined_ms = (server.cpu_s() - joining_s) * 1e3 / count as f64;
        eprintln!("{joined_ms:.1} ms of CPU while each came and others played");
        std::thread::sleep(WARM_UP);
        let used_s = cpu_s_per_gbit(&server, &viewers, window);
        *cpu_s = Some((used_s, floor::udp(&packets, count, window / 2)? + srtp::floor(window)));
    }
    figures.first_frame_ms = Some(first_frame_ms(&viewers));
    drop(viewers);
    figures.rss_kib = Some(memory.of_each()?);
    Ok(())
}

/// Milliseconds of CPU from the offer to its answer, those apart that the stream itself costs.
fn answers(server: &Arcly, window: Duration) -> Result<f64, String> {
    let (idle_s, idle) = (server.cpu_s(), std::time::Instant::now());
    std::thread::sleep(window / 2);
    let idle_rate = (server.cpu_s() - idle_s) / idle.elapsed().as_secs_f64();
    let (cpu_s, start) = (server.cpu_s(), std::time::Instant::now());
    for _ in 0..OFFERS {
        offer_only(server.http)?;
    }
    let spent_s = server.cpu_s() - cpu_s - idle_rate * start.elapsed().as_secs_f64();
    Ok(spent_s * 1e3 / OFFERS as f64)
}

/// CPU seconds of the server for a gigabit of payloads that its viewers get and decrypt.
fn cpu_s_per_gbit(server: &Arcly, viewers: &Viewers, window: Duration) -> f64 {
    let (cpu_s, before) = (server.cpu_s(), viewers.seen());
    std::thread::sleep(window);
    let (used_s, after) = (server.cpu_s() - cpu_s, viewers.seen());
    let (came, due) = (after.packets - before.packets, after.due_packets - before.due_packets);
    eprintln!("{:.1} % of what was sent came", 100.0 * came as f64 / due.max(1) as f64);
    used_s / (8.0 * (after.bytes - before.bytes) as f64 / 1e9)
}

fn first_frame_ms(viewers: &Viewers) -> f64 {
    let mut times: Vec<f64> = viewers.seen().first_frames.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    eprintln!("first picture: {:.1} ms in the middle", median(&times));
    times.get(times.len() * 95 / 100).copied().unwrap_or(f64::INFINITY)
}
