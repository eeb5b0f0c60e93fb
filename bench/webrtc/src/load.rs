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

pub fn rows(command: &Path, window: Duration) -> Result<Vec<Row>, String> {
    let packets = stream::packets(BIT_RATE);
    let memory = Memory::start(command, &packets)?;
    let server = Arcly::start(command, &[])?;
    let _camera = Cameras::start(server.rtsp, &packets, 1)?;
    eprintln!("measuring {OFFERS} answers ...");
    std::thread::sleep(WARM_UP);
    let answer_ms = answers(&server, window)?;
    let mut rows = Vec::new();
    let mut viewers = Viewers::of(server.http);
    for count in VIEWERS {
        eprintln!("measuring {count} viewers ...");
        let joining_s = server.cpu_s();
        viewers.grow_to(count)?;
        eprintln!(
            "{:.1} ms of CPU while each came and others played",
            (server.cpu_s() - joining_s) * 1e3 / count as f64
        );
        std::thread::sleep(WARM_UP);
        let cpu = cpu_s_per_gbit(&server, &viewers, window);
        let floor = floor::udp(&packets, count, window / 2)? + srtp::floor(window);
        let name = format!("WHEP, {count} viewers; floor: segmentation offload and the cipher");
        rows.push(Row::new(name, "CPU s/Gbit", cpu, Goal::AtMost(CPU_GOAL_S)).floor(floor));
    }
    let first_frame_ms = first_frame_ms(&viewers);
    drop(viewers);
    let (count, rss_kib) = memory.of_each()?;
    rows.extend([
        Row::new(format!("WHEP, RSS for each of {count}"), "KiB", rss_kib, Goal::AtMost(RSS_GOAL_KIB)),
        Row::new("WHEP, CPU of an answer", "ms", answer_ms, Goal::AtMost(ANSWER_GOAL_MS)),
        Row::new("WHEP, first picture after DTLS, p95", "ms", first_frame_ms, Goal::AtMost(FIRST_FRAME_GOAL_MS)),
    ]);
    Ok(rows)
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
