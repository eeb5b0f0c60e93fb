//! RTSP over HTTP: the two halves of a tunnel are two connections, and find each other by a cookie.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use arcly_wire::rtsp::{Base64Reader, Opening, RtspError, opening};
use bytes::{Bytes, BytesMut};
use tokio::{io::AsyncReadExt, sync::mpsc};

use crate::{lock, tls::Connection as Stream};

/// Pieces of what a client says that wait for the half on which it is answered.
const WAITING_MAX: usize = 16;

/// Tunnels whose first half is there.
#[derive(Default)]
pub(super) struct Tunnels(Mutex<HashMap<String, mpsc::Sender<Bytes>>>);

/// What comes through a tunnel, until this is dropped.
pub(super) struct Tunnel {
    tunnels: Arc<Tunnels>,
    cookie: String,
    heard: mpsc::Receiver<Bytes>,
}

impl Tunnels {
    /// The first half has come; none when there is one of that name.
    pub(super) fn open(self: &Arc<Self>, cookie: String) -> Option<Tunnel> {
        let (to, heard) = mpsc::channel(WAITING_MAX);
        let mut tunnels = self.lock();
        if tunnels.contains_key(&cookie) {
            return None;
        }
        tunnels.insert(cookie.clone(), to);
        drop(tunnels);
        Some(Tunnel { tunnels: self.clone(), cookie, heard })
    }

    /// Carries what the second half says to the first, until one of them ends.
    pub(super) async fn carry(&self, cookie: &str, stream: &mut Stream, mut text: BytesMut) -> Result<(), RtspError> {
        // Who knows the cookie may speak: it is made by the client, over the same way as the session would be.
        let Some(to) = self.lock().get(cookie).cloned() else { return Ok(()) };
        let mut reader = Base64Reader::default();
        loop {
            let bytes = reader.read(&text)?;
            text.clear();
            if !bytes.is_empty() && to.send(bytes.into()).await.is_err() {
                return Ok(());
            }
            let read = tokio::select! {
                read = stream.read_buf(&mut text) => read,
                () = to.closed() => return Ok(()),
            };
            if !read.is_ok_and(|read| read > 0) {
                return Ok(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Bytes>>> {
        lock(&self.0)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tunnels.lock().remove(&self.cookie);
    }
}

/// How a connection begins, and what of it was read behind that.
pub(super) async fn begin(stream: &mut Stream) -> io::Result<Result<(Opening, BytesMut), RtspError>> {
    let mut buffer = BytesMut::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(Ok((Opening::Rtsp, buffer)));
        }
        match opening(&buffer) {
            Ok(None) => {}
            Ok(Some((opening, head))) => return Ok(Ok((opening, buffer.split_off(head)))),
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Appends to `buffer` what comes through the tunnel that ends at `stream`; false at the end. Nothing is lost when the future is dropped.
pub(super) async fn read(stream: &mut Stream, tunnel: &mut Tunnel, buffer: &mut BytesMut) -> io::Result<bool> {
    let mut scratch = [0; 256];
    loop {
        tokio::select! {
            heard = tunnel.heard.recv() => {
                let heard = heard.unwrap_or_default();
                buffer.extend_from_slice(&heard);
                return Ok(!heard.is_empty());
            }
            // On this half nothing is said but the end.
            read = stream.read(&mut scratch) => if read? == 0 {
                return Ok(false);
            },
        }
    }
}
