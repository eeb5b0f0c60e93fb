//! Players with low latency: each waits for the playlist with the next part, all of them for the same.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{client::Client, playlist::Position, relay::Relay, server::Process};

/// Of a segment, and of a part: the clip has a key picture a second.
const PICTURES: [u64; 2] = [30, 6];

/// What came of it.
pub struct Waited {
    /// Cores that the server took.
    pub cores: f64,
    /// From the end of a part to the last byte of its playlist at each player: milliseconds, of 99 in 100.
    pub p99_ms: f64,
}

/// The playlist of one part, as one player got it.
struct Got {
    sequence: u64,
    parts: u64,
    ended: Instant,
}

/// `players` of the playlist at `path` for so long; `with_parts`: each fetches its part too.
pub async fn wait(
    address: SocketAddr,
    path: &str,
    players: usize,
    lasts: Duration,
    with_parts: bool,
    process: &Process,
    relay: &Relay,
) -> Result<Waited, String> {
    let mut clients = Vec::new();
    for _ in 0..players {
        clients.push(Client::connect(address, false).await.map_err(|error| error.to_string())?);
    }
    let settled = Instant::now() + Duration::from_secs(2);
    let until = settled + lasts;
    let playing: Vec<_> =
        clients.into_iter().map(|client| tokio::spawn(play(client, path.to_owned(), until, with_parts))).collect();
    tokio::time::sleep_until(settled.into()).await;
    let before_s = process.cpu_s();
    tokio::time::sleep_until(until.into()).await;
    let cores = (process.cpu_s() - before_s) / lasts.as_secs_f64();
    let mut got = Vec::new();
    for player in playing {
        got.extend(player.await.map_err(|error| error.to_string())??);
    }
    got.retain(|one| one.ended >= settled);
    Ok(Waited { cores, p99_ms: p99_ms(&got, &relay.pictures()) })
}

async fn play(mut client: Client, path: String, until: Instant, with_parts: bool) -> Result<Vec<Got>, String> {
    let (mut got, folder) = (Vec::new(), path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned());
    let text = |error: std::io::Error| error.to_string();
    let mut position = Position::of(&String::from_utf8_lossy(&client.read(&path).await.map_err(text)?.body));
    while Instant::now() < until {
        let asked = format!("{path}&_HLS_msn={}&_HLS_part={}", position.sequence, position.parts);
        let answer = client.read(&asked).await.map_err(text)?;
        if answer.status != 200 {
            return Err(format!("{asked}: status {}", answer.status));
        }
        position = Position::of(&String::from_utf8_lossy(&answer.body));
        let (sequence, parts) = (position.sequence, position.parts);
        got.push(Got { sequence, parts, ended: Instant::now() });
        if with_parts {
            client.fetch(&format!("{folder}/{}", position.newest_part)).await.map_err(text)?;
        }
    }
    Ok(got)
}

/// A part ends with the picture behind it: until that is there, nobody knows how long its last one is.
fn p99_ms(got: &[Got], pictures: &[Instant]) -> f64 {
    let [of_segment, of_part] = PICTURES;
    let end = |one: &Got| pictures.get((one.sequence * of_segment + one.parts * of_part) as usize).copied();
    let late = |one: &Got| Some(one.ended.saturating_duration_since(end(one)?).as_secs_f64() * 1e3);
    let mut late: Vec<f64> = got.iter().filter_map(late).collect();
    late.sort_by(f64::total_cmp);
    late.get(late.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}
