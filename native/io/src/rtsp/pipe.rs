//! The two directions of a connection, whatever is around it: RTSP itself, HTTP, WebSocket.

use std::{io, net::IpAddr, time::Duration};

use arcly_wire::websocket::{Listener, put_binary};
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::tunnel::{self, Tunnel};
use crate::{
    egress::Patience,
    ended::{End, linger},
    tls::Connection as Stream,
};

/// How long a peer may refuse to take the few bytes that we answer with.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// A connection of a peer.
pub(super) struct Pipe {
    pub(super) stream: Stream,
    around: Around,
    /// To a viewer to whom we write. None of whoever is answered alone, and where a pump writes.
    patience: Option<Patience>,
}

enum Around {
    Nothing,
    /// What is heard comes by another connection.
    Http(Tunnel),
    WebSocket(Box<WebSocket>),
}

#[derive(Default)]
struct WebSocket {
    listener: Listener,
    input: BytesMut,
}

impl Pipe {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, around: Around::Nothing, patience: None }
    }

    /// One half of a tunnel.
    pub(super) fn through_http(stream: Stream, tunnel: Tunnel) -> Self {
        Self { stream, around: Around::Http(tunnel), patience: None }
    }

    /// Behind the handshake of a WebSocket, with what came behind that. Returns what it says.
    pub(super) fn through_websocket(stream: Stream, input: BytesMut) -> io::Result<(Self, BytesMut)> {
        let (mut websocket, mut first) = (WebSocket { input, ..WebSocket::default() }, BytesMut::new());
        websocket.hear(&mut first)?;
        Ok((Self { stream, around: Around::WebSocket(websocket.into()), patience: None }, first))
    }

    /// Appends to `buffer` what comes, which may be nothing; false at the end. Nothing is lost when the future is dropped.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<bool> {
        match &mut self.around {
            Around::Nothing => Ok(self.stream.read_buf(buffer).await? > 0),
            Around::Http(tunnel) => tunnel::read(&mut self.stream, tunnel, buffer).await,
            Around::WebSocket(websocket) if websocket.listener.is_closed() => Ok(false),
            Around::WebSocket(websocket) => {
                // As much at a time as without one.
                websocket.input.reserve((buffer.capacity() - buffer.len()).max(1));
                let is_open = self.stream.read_buf(&mut websocket.input).await? > 0;
                websocket.hear(buffer)?;
                Ok(is_open)
            }
        }
    }

    /// Says something to the peer.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        match &mut self.around {
            Around::Nothing | Around::Http(_) => self.put(bytes).await,
            Around::WebSocket(_) if bytes.is_empty() => Ok(()),
            Around::WebSocket(_) => {
                let mut message = Vec::new();
                put_binary(bytes, &mut message);
                self.put(&message).await
            }
        }
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), End> {
        match &self.patience {
            Some(patience) => patience.write(&mut self.stream, bytes).await,
            None => write(&mut self.stream, bytes).await,
        }
    }

    /// What is said from now on is for a viewer, who is waited for so long, and for whom the kernel keeps so many bytes.
    pub(super) fn play(&mut self, patience: Patience, unsent_max: u32) {
        self.stream.bound_unsent(unsent_max);
        self.patience = Some(patience);
    }

    /// Says what the way itself wants to be said: pongs, and the goodbye.
    pub(super) async fn answer(&mut self) -> Result<(), End> {
        if let Around::WebSocket(websocket) = &mut self.around
            && websocket.listener.has_answer()
        {
            let answers: Vec<Bytes> = std::iter::from_fn(|| websocket.listener.take_answer()).collect();
            self.put(&answers.concat()).await?;
        }
        Ok(())
    }

    /// The socket, where what is written to it goes to the peer as it is.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match (&self.stream, &self.around) {
            (Stream::Plain(socket), Around::Nothing | Around::Http(_)) => Some(socket),
            _ => None,
        }
    }

    /// The address of ours that the peer knows.
    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        self.stream.local_ip()
    }

    /// Waits until the peer has read what was written last, or has gone.
    pub(super) async fn linger(&mut self) {
        linger(&mut self.stream).await;
    }
}

impl WebSocket {
    fn hear(&mut self, data: &mut BytesMut) -> io::Result<()> {
        let input = self.input.split();
        self.listener.hear_into(&input, data).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Writes all, within a deadline.
pub(super) async fn write(stream: &mut Stream, bytes: &[u8]) -> Result<(), End> {
    let written = timeout(WRITE_DEADLINE, async {
        stream.write_all(bytes).await?;
        // TLS may hold back what was written.
        stream.flush().await
    });
    Ok(written.await.map_err(|_| End::Failed("the peer does not read our answers".into()))??)
}
