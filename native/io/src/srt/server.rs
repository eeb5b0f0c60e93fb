//! The listener: what a host holds of a port.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arcly_bus::StreamKey;
use arcly_wire::srt::{SrtListener as Machine, Stats};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{SrtOptions, port::Port};
use crate::{
    Inbox, ListenError,
    bug::BugReport,
    egress::{List, ViewerId, ViewerInfo},
    lock,
    udp::{UdpOptions, UdpSocket},
};

/// How long the port may take to say goodbye.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// What a peer is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It publishes.
    Publisher,
    /// It plays.
    Viewer,
}

/// A connection, as of less than a second ago.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Its socket here; not used twice.
    pub id: u32,
    /// What it publishes or plays.
    pub key: StreamKey,
    /// Which of the two.
    pub role: Role,
    /// Where it is.
    pub peer: SocketAddr,
    /// When it was let in, in milliseconds of Unix time.
    pub since_unix_ms: u64,
    /// Its peer's library: `major << 16 | minor << 8 | patch`.
    pub peer_version: u32,
    /// Everything that is counted.
    pub stats: Stats,
}

/// What the port tells to those who ask.
pub(super) struct Shared {
    pub(super) list: Arc<List>,
    pub(super) connections: Mutex<Vec<ConnectionInfo>>,
}

/// A listening SRT server. Dropping it ends its connections.
pub struct SrtListener {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl SrtListener {
    /// Listens on `addr` (port 0: any free one). Requests and warnings go to `inbox`.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        options: SrtOptions,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let udp = UdpOptions { coalesced: true, ..UdpOptions::default() };
        let socket = UdpSocket::bind(runtime, addr, &udp).map_err(failed)?;
        socket.warnings().iter().for_each(|warning| inbox.warn(warning.clone()));
        let machine = Machine::new(options.key_size).map_err(|error| failed(io::Error::other(error)))?;
        let list = List::new(inbox.clone());
        let shared = Arc::new(Shared { list, connections: Mutex::default() });
        let (stop, tasks, local) = (CancellationToken::new(), TaskTracker::new(), socket.addr());
        let context = runtime.enter();
        let report = BugReport::of(format!("the SRT listener at {local}"), inbox.clone());
        let port = Port::new(socket, machine, options, inbox, shared.clone()).map_err(failed)?;
        drop(context);
        let running = port.run(stop.clone());
        tasks.spawn_on(report.over(running), runtime);
        tasks.close();
        Ok(Self { addr: local, shared, stop, tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who plays here, by age.
    pub fn viewers(&self) -> Vec<ViewerInfo> {
        self.shared.list.all()
    }

    /// Ends a viewer within a second; false when it is not there.
    pub fn kick(&self, viewer: ViewerId) -> bool {
        self.shared.list.kick(viewer)
    }

    /// All connections with what is counted of them.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        lock(&self.shared.connections).clone()
    }

    /// Stops listening, and tells all peers.
    pub async fn stop(&self) {
        self.stop.cancel();
        let _ = timeout(DRAIN_DEADLINE, self.tasks.wait()).await;
    }
}

impl Drop for SrtListener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
