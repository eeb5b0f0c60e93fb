//! Requests per CPU second: files that are fetched as fast as it goes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{client::Client, server::Process};

/// What connections ask for, in turn.
pub struct Load {
    pub address: SocketAddr,
    pub tls: bool,
    pub paths: Arc<Vec<String>>,
    pub connections: usize,
    pub lasts: Duration,
}

impl Load {
    /// Microseconds of a core that `process` took for a request.
    pub async fn cpu_us_per_request(&self, process: &Process) -> Result<f64, String> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Client::connect(self.address, self.tls).await.map_err(|error| error.to_string())?);
        }
        let (before_s, until) = (process.cpu_s(), Instant::now() + self.lasts);
        let fetching: Vec<_> = connections
            .into_iter()
            .map(|client| tokio::spawn(fetch_until(client, self.paths.clone(), until)))
            .collect();
        let mut requests = 0;
        for fetched in fetching {
            requests += fetched.await.map_err(|error| error.to_string())??;
        }
        Ok((process.cpu_s() - before_s) * 1e6 / f64::max(requests as f64, 1.0))
    }
}

async fn fetch_until(mut client: Client, paths: Arc<Vec<String>>, until: Instant) -> Result<u64, String> {
    let mut requests = 0;
    for path in paths.iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        let answer = client.fetch(path).await.map_err(|error| format!("{path}: {error}"))?;
        if answer.status != 200 || answer.bytes == 0 {
            return Err(format!("{path}: status {}", answer.status));
        }
        requests += 1;
    }
    Ok(requests)
}
