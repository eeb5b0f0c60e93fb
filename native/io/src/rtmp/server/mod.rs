//! The RTMP listener: one task per connection, which drives the state machine of `wire` and hands frames to the bus.
//!
//! - `connection`: the task: what comes, what is due, what is answered;
//! - `publishing`: its streams on their way in, from the question to the host to their end; `patience`: how many bytes are worth a wake-up;
//! - `playing`: its stream on the way out.

mod connection;
mod patience;
mod playing;
mod publishing;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arcly_wire::rtmp::Limits;
use tokio::{runtime::Handle, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{connection::Connection, patience::Crowd};
use crate::{
    Inbox, ListenError,
    accept::{Acceptor, Listening},
    egress::{Egress, EgressOptions},
    ended::{End, linger},
    tls::{Connection as Stream, TlsIdentity},
};

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct RtmpOptions {
    /// Connections at a time. Default 4096; each costs some 5 KiB, and its stream when it publishes.
    pub connections_max: usize,
    /// How long the host may take to decide on a publish. Default 10 s; then it is refused.
    pub decision_deadline: Duration,
    /// What one connection may make us hold.
    pub limits: Limits,
    /// How streams leave to players.
    pub egress: EgressOptions,
    /// RTMPS: who we are. Default none: RTMP.
    pub tls: Option<Arc<TlsIdentity>>,
}

impl Default for RtmpOptions {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            decision_deadline: Duration::from_secs(10),
            limits: Limits::default(),
            egress: EgressOptions::default(),
            tls: None,
        }
    }
}

/// A listening RTMP server. Dropping it ends its connections.
pub struct RtmpListener {
    acceptor: Acceptor,
    addr: SocketAddr,
    shared: Arc<Shared>,
}

impl RtmpListener {
    /// Listens on `addr` (port 0: any free one). Requests and warnings go to `inbox`.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        options: RtmpOptions,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ListenError> {
        let listening = Listening::on(addr, options.tls.as_ref(), &[])?;
        let (addr, connections_max) = (listening.addr(), options.connections_max);
        let egress = Egress::new(runtime.clone(), options.egress, inbox.clone());
        let shared = Shared {
            options,
            inbox: inbox.clone(),
            egress,
            crowd: Arc::default(),
            opened: Instant::now(),
            elsewhere: watch::Sender::default(),
        };
        let shared = Arc::new(shared);
        let for_all = shared.clone();
        let serve = move |stream, peer, stop| serve(stream, peer, stop, for_all.clone());
        let acceptor = listening.serve(runtime, connections_max, inbox, serve)?;
        Ok(Self { acceptor, addr, shared })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who plays here.
    pub fn egress(&self) -> &Arc<Egress> {
        &self.shared.egress
    }

    /// Asks all who are connected, and who say that they can (Enhanced RTMP v2), to come again: at `server`, `rtmp://HOST[:PORT]`, or, when
    /// that is empty, where they are. Publishers and players go on here until they leave.
    pub fn request_reconnect(&self, server: &str) {
        self.shared.elsewhere.send_replace(server.to_owned());
    }

    /// Stops listening and ends all connections.
    pub async fn stop(&self) {
        // Who is just being written to hears of nothing else.
        tokio::join!(self.acceptor.stop(), async { self.shared.egress.kick_all() });
    }
}

/// What all connections of a listener have in common.
struct Shared {
    options: RtmpOptions,
    inbox: Arc<Inbox>,
    egress: Arc<Egress>,
    crowd: Arc<Crowd>,
    /// Where the seconds of its players are counted from.
    opened: Instant,
    /// Where all were last asked to come again.
    elsewhere: watch::Sender<String>,
}

async fn serve(mut stream: Stream, peer: SocketAddr, stop: CancellationToken, shared: Arc<Shared>) {
    let is_plain = matches!(stream, Stream::Plain(_));
    let mut connection = Connection::new(peer, is_plain, shared);
    let end = connection.run(&mut stream, &stop).await;
    connection.end(&end);
    if connection.is_pumped() {
        // The pump has the same socket: this tells it.
        stream.reset();
    } else if connection.flush(&mut stream).await.is_ok() && !matches!(end, End::Closed) {
        linger(&mut stream).await;
    }
}
