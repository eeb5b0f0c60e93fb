//! Connections of peers whose networks let no UDP through (ICE-TCP, RFC 6544): the same datagrams, each behind its length.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arcly_wire::webrtc::framing::{Frames, frame};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::door::{Door, Place};
use crate::tls::Connection;

/// How long a connection may bring nothing: stops those that are opened and forgotten.
const SILENCE: Duration = Duration::from_secs(30);

/// Bytes read at a time.
const READ_BYTES: usize = 8 << 10;

/// Datagrams that wait for a connection to take them. Past it they are dropped, as a network would.
const WAITING_MAX: usize = 512;

/// What a connection tells the port.
pub(super) enum TcpEvent {
    /// It is there; datagrams for it go here.
    Opened(SocketAddr, mpsc::Sender<Vec<u8>>),
    /// It brought a datagram.
    Datagram(SocketAddr, BytesMut),
    /// It is gone.
    Closed(SocketAddr),
}

/// What all connections of a port have in common.
#[derive(Clone)]
pub(super) struct Tcp {
    pub(super) events: mpsc::Sender<TcpEvent>,
    pub(super) datagram_bytes: usize,
    /// How long somebody may stay a stranger.
    pub(super) connect_time: Duration,
    pub(super) strangers: Arc<Door>,
}

impl Tcp {
    /// The whole life of a connection.
    pub(super) async fn serve(self, mut stream: Connection, peer: SocketAddr, stop: CancellationToken) {
        let Ok(place) = self.strangers.enter(peer.ip()) else { return };
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        if self.events.send(TcpEvent::Opened(peer, sender)).await.is_err() {
            return;
        }
        tokio::select! {
            _ = self.carry(&mut stream, peer, place, waiting) => {}
            () = stop.cancelled() => {}
        }
        // Nobody is left who could be told when the port is gone.
        let _ = self.events.send(TcpEvent::Closed(peer)).await;
    }

    /// Until either side is done with it. What comes is read only as fast as it is taken.
    async fn carry(
        &self,
        stream: &mut Connection,
        peer: SocketAddr,
        place: Place,
        mut waiting: mpsc::Receiver<Vec<u8>>,
    ) -> io::Result<()> {
        let (mut frames, mut buffer, mut written) = (Frames::new(self.datagram_bytes), vec![0; READ_BYTES], Vec::new());
        let mut stranger = Some(place);
        let deadline = sleep(self.connect_time);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                read = timeout(SILENCE, stream.read(&mut buffer)) => {
                    let read = read??;
                    if read == 0 {
                        return Ok(());
                    }
                    frames.push(buffer.get(..read).unwrap_or_default());
                    while let Some(datagram) = frames.poll().map_err(io::Error::other)? {
                        if self.events.send(TcpEvent::Datagram(peer, datagram)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                datagram = waiting.recv() => {
                    // The port has let go of it.
                    let Some(datagram) = datagram else { return Ok(()) };
                    // A stranger is not answered: a check of some session was.
                    stranger = None;
                    written.clear();
                    frame(&datagram, &mut written);
                    while let Ok(more) = waiting.try_recv() {
                        frame(&more, &mut written);
                    }
                    timeout(SILENCE, stream.write_all(&written)).await??;
                }
                () = &mut deadline, if stranger.is_some() => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}
