//! The RTSP listener: one task per connection, and what all of them have in common.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arcly_wire::{
    rtsp::{ACCEPTED, Limits, Opening, REFUSED, Users},
    srtp::Suite,
};
use bytes::BytesMut;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    conn::Connection,
    datagrams::Ports,
    groups::{GroupRange, Groups},
    outlet::Outlets,
    pipe::{Pipe, write},
    tunnel::{self, Tunnels},
};
use crate::{
    Inbox, ListenError,
    accept::{Acceptor, Listening},
    egress::{Egress, EgressOptions},
    ended::{End, linger},
    tls::{Connection as Stream, TlsIdentity},
};

/// How what is played is sealed: what is described is `RTP/SAVP`, for each viewer under a key of its own, over the connection and in datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Srtp {
    /// How packets are encrypted and signed. FFmpeg knows nothing but AES in counter mode of 128 bits.
    pub suite: Suite,
    /// Players that ask for `RTP/AVP` get packets as they are, over the connection alone, which is encrypted. Default false: players that
    /// know no SRTP cannot play.
    pub may_play_bare: bool,
}

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct RtspOptions {
    /// Connections at a time. Default 4096.
    pub connections_max: usize,
    /// How long the host may take to decide on a publish. Default 10 s; then it is refused.
    pub decision_deadline: Duration,
    /// What one connection may make us hold.
    pub limits: Limits,
    /// How streams leave to players.
    pub egress: EgressOptions,
    /// Names and passwords that are asked for before the host is. Default none: the host alone decides.
    pub users: Option<Users>,
    /// RTSPS: who we are. Default none: RTSP.
    pub tls: Option<Arc<TlsIdentity>>,
    /// The port of RTP in datagrams; RTCP has the next one, and 0 stands for any free pair. Default none: over the connection only. Of no
    /// use with `tls` alone, without `srtp`: what goes by itself would not be encrypted.
    pub udp_port: Option<u16>,
    /// SRTP, of use with `tls` only, which carries the keys. Default none.
    pub srtp: Option<Srtp>,
    /// Players may speak to `live/cam`: what they say is the stream `live/cam-talk`, which they need the right to publish. Default false.
    pub back_channel: bool,
    /// Groups of streams. Default none: nothing is sent to many at once. Of no use without `udp_port`.
    pub groups: Option<GroupRange>,
}

impl Default for RtspOptions {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            decision_deadline: Duration::from_secs(10),
            limits: Limits::default(),
            egress: EgressOptions::default(),
            users: None,
            tls: None,
            udp_port: None,
            srtp: None,
            back_channel: false,
            groups: None,
        }
    }
}

/// A listening RTSP server. Dropping it ends its connections.
pub struct RtspListener {
    acceptor: Acceptor,
    addr: SocketAddr,
    egress: Arc<Egress>,
    udp: Option<Arc<Ports>>,
    /// Ends the reception of datagrams with the listener.
    _hearing: DropGuard,
}

impl RtspListener {
    /// Listens on `addr` (port 0: any free one). Requests and warnings go to `inbox`.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        mut options: RtspOptions,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ListenError> {
        let listening = Listening::on(addr, options.tls.as_ref(), &[])?;
        let local = listening.addr();
        options.srtp = options.srtp.filter(|_| options.tls.is_some());
        let (connections_max, shared_inbox) = (options.connections_max, inbox.clone());
        let egress = Egress::new(runtime.clone(), options.egress, shared_inbox.clone());
        let stop = CancellationToken::new();
        let port = options.udp_port.filter(|_| options.tls.is_none() || options.srtp.is_some());
        let udp = port.map(|port| Ports::open(runtime, local.ip(), port)).transpose()?;
        if let Some(ports) = &udp {
            ports.serve(runtime, &stop, &inbox);
        }
        let outlets = udp.as_ref().map(|ports| Outlets::new(runtime.clone(), ports.clone(), inbox.clone()));
        let groups = options.groups.filter(|_| udp.is_some() && options.srtp.is_none()).map(Groups::new).map(Arc::new);
        let shared = Shared {
            groups,
            options,
            inbox: shared_inbox,
            egress: egress.clone(),
            udp: udp.clone(),
            outlets,
            tunnels: Arc::default(),
        };
        let serve = move |stream, peer, stop| serve(stream, peer, stop, shared.clone());
        let acceptor = listening.serve(runtime, connections_max, inbox, serve)?;
        Ok(Self { acceptor, addr: local, egress, udp, _hearing: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The ports of RTP and RTCP in datagrams, where there are such.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        self.udp.as_ref().map(|ports| ports.numbers())
    }

    /// Who plays here.
    pub fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Stops listening and ends all connections.
    pub async fn stop(&self) {
        // Who is just being written to hears of nothing else.
        tokio::join!(self.acceptor.stop(), async { self.egress.kick_all() });
    }
}

/// What all connections of a listener have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) options: RtspOptions,
    pub(super) inbox: Arc<Inbox>,
    pub(super) egress: Arc<Egress>,
    pub(super) udp: Option<Arc<Ports>>,
    pub(super) outlets: Option<Arc<Outlets>>,
    pub(super) groups: Option<Arc<Groups>>,
    tunnels: Arc<Tunnels>,
}

async fn serve(mut stream: Stream, peer: SocketAddr, stop: CancellationToken, shared: Shared) {
    let unused = shared.options.limits.unused_time;
    let begun = tokio::select! {
        begun = timeout(unused, tunnel::begin(&mut stream)) => begun,
        () = stop.cancelled() => return,
    };
    let Ok(Ok(begun)) = begun else { return };
    let Ok((opening, first)) = begun else { return refuse(&mut stream).await };
    let (mut pipe, first) = match opening {
        Opening::Rtsp => (Pipe::new(stream), first),
        Opening::Post(cookie) => return carry(&shared, &cookie, &mut stream, first, &stop).await,
        Opening::Get(cookie) => match shared.tunnels.open(cookie) {
            Some(tunnel) if write(&mut stream, ACCEPTED).await.is_ok() => (Pipe::through_http(stream, tunnel), first),
            _ => return refuse(&mut stream).await,
        },
        Opening::WebSocket(answer) => {
            if write(&mut stream, answer.as_bytes()).await.is_err() {
                return;
            }
            let Ok(through) = Pipe::through_websocket(stream, first) else { return };
            through
        }
    };
    let mut connection = Connection::new(peer, shared);
    let end = connection.run(&mut pipe, first, &stop).await;
    connection.end(&end);
    if connection.is_pumped() {
        // The pump has the same socket: this tells it.
        pipe.stream.reset();
    } else if connection.flush(&mut pipe).await.is_ok() && !matches!(end, End::Closed) {
        pipe.linger().await;
    }
}

/// Carries what the second half of a tunnel says.
async fn carry(shared: &Shared, cookie: &str, stream: &mut Stream, text: BytesMut, stop: &CancellationToken) {
    tokio::select! {
        carried = shared.tunnels.carry(cookie, stream, text) => if carried.is_err() {
            refuse(stream).await;
        },
        () = stop.cancelled() => {}
    }
}

/// Sends away who speaks HTTP and wants no tunnel.
async fn refuse(stream: &mut Stream) {
    if write(stream, REFUSED).await.is_ok() {
        linger(stream).await;
    }
}
