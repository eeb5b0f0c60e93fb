//! One request of a host that has a server of its own, and its answer, piece by piece.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    task::Waker,
};

use bytes::Bytes;
use hyper::{
    Request,
    body::{Body as _, Frame},
    header::HeaderMap,
};
use tokio::{runtime::Handle, sync::mpsc};

use super::{response::Body, site::Site};
use crate::lock;

/// Pieces of a body that wait to be taken: a picture or two of an endless stream, or a segment in a few pieces.
const PIECES_MAX: usize = 8;

/// The beginning of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// Whether the path names media; else the answer is somebody else's to give.
    pub is_media: bool,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
}

/// What there is of a body now.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes.
    Data(Bytes),
    /// Nothing yet: the waker will be called.
    Nothing,
    /// All was taken.
    End,
    /// The rest will never come.
    Broken,
}

/// An answer in the making. Dropping it ends it.
pub struct Exchange {
    head: Arc<OnceLock<Head>>,
    pieces: Mutex<mpsc::Receiver<io::Result<Bytes>>>,
    task: tokio::task::AbortHandle,
}

impl Exchange {
    /// Asks `site` in a task of its own; `on_change` is called when there is something to look at.
    pub fn start(
        runtime: &Handle,
        site: Arc<Site>,
        mut request: Request<()>,
        peer: std::net::SocketAddr,
        on_change: Waker,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let head = Arc::<OnceLock<Head>>::default();
        let ours = head.clone();
        let task = runtime.spawn(async move {
            // Whatever happens: who waits is told, and finds that there is no more.
            let _told = Told(on_change.clone());
            let answer = site.media(&mut request, peer, None).await;
            let is_media = answer.is_some();
            let answer = match answer {
                Some(answer) => answer,
                None => site.absent(&request, peer).await,
            };
            let (parts, body) = answer.into_parts();
            let _ = ours.set(Head { is_media, status: parts.status.as_u16(), headers: parts.headers });
            on_change.wake_by_ref();
            if *request.method() != hyper::Method::HEAD {
                pass_on(body, &sender, &on_change).await;
            }
            drop(sender);
        });
        Self { head, pieces: Mutex::new(receiver), task: task.abort_handle() }
    }

    /// The beginning; none while it is not known.
    pub fn head(&self) -> Option<&Head> {
        self.head.get()
    }

    /// Takes what is there of the body.
    pub fn take(&self) -> Piece {
        match lock(&self.pieces).try_recv() {
            Ok(Ok(bytes)) => Piece::Data(bytes),
            Ok(Err(_)) => Piece::Broken,
            Err(mpsc::error::TryRecvError::Empty) => Piece::Nothing,
            Err(mpsc::error::TryRecvError::Disconnected) => Piece::End,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Calls a waker at the end, however it comes.
struct Told(Waker);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

async fn pass_on(mut body: Body, sender: &mpsc::Sender<io::Result<Bytes>>, on_change: &Waker) {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let piece = match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_trailers)) => continue,
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if sender.send(piece).await.is_err() || is_last {
            return;
        }
        on_change.wake_by_ref();
    }
}
