//! Connections of peers whose networks let no UDP through (ICE-TCP, RFC 6544): the same datagrams, each behind its length.

use std::{io, net::SocketAddr, time::Duration};

use arcly_wire::webrtc::framing::{Frames, frame};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

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

/// The whole life of a connection.
pub(super) async fn serve(
    mut stream: Connection,
    peer: SocketAddr,
    stop: CancellationToken,
    events: mpsc::Sender<TcpEvent>,
    datagram_bytes: usize,
) {
    let (sender, waiting) = mpsc::channel(WAITING_MAX);
    if events.send(TcpEvent::Opened(peer, sender)).await.is_err() {
        return;
    }
    tokio::select! {
        _ = carry(&mut stream, peer, &events, waiting, datagram_bytes) => {}
        () = stop.cancelled() => {}
    }
    // Nobody is left who could be told when the port is gone.
    let _ = events.send(TcpEvent::Closed(peer)).await;
}

/// Until either side is done with it. What comes is read only as fast as it is taken.
async fn carry(
    stream: &mut Connection,
    peer: SocketAddr,
    events: &mpsc::Sender<TcpEvent>,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    datagram_bytes: usize,
) -> io::Result<()> {
    let (mut frames, mut buffer, mut written) = (Frames::new(datagram_bytes), vec![0; READ_BYTES], Vec::new());
    loop {
        tokio::select! {
            read = timeout(SILENCE, stream.read(&mut buffer)) => {
                let read = read??;
                if read == 0 {
                    return Ok(());
                }
                frames.push(buffer.get(..read).unwrap_or_default());
                while let Some(datagram) = frames.poll().map_err(io::Error::other)? {
                    if events.send(TcpEvent::Datagram(peer, datagram)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            datagram = waiting.recv() => {
                // The port has let go of it.
                let Some(datagram) = datagram else { return Ok(()) };
                written.clear();
                frame(&datagram, &mut written);
                while let Ok(more) = waiting.try_recv() {
                    frame(&more, &mut written);
                }
                timeout(SILENCE, stream.write_all(&written)).await??;
            }
        }
    }
}
