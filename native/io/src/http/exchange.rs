//! One request of a host that has a server of its own, and its answer, piece by piece.

use std::{
    future::{pending, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
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
use crate::{egress::Watch, lock};

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
    answered: Arc<Answered>,
    pieces: Mutex<mpsc::Receiver<Bytes>>,
    task: tokio::task::AbortHandle,
}

/// What its task says of an answer, beside the pieces.
#[derive(Default)]
struct Answered {
    head: OnceLock<Head>,
    /// All pieces were given out, before the channel of them was closed.
    is_whole: AtomicBool,
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
        let answered = Arc::<Answered>::default();
        let ours = answered.clone();
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
            let _ = ours.head.set(Head { is_media, status: parts.status.as_u16(), headers: parts.headers });
            on_change.wake_by_ref();
            let is_whole = *request.method() == hyper::Method::HEAD || pass_on(body, &sender, &on_change).await;
            ours.is_whole.store(is_whole, Relaxed);
            drop(sender);
        });
        Self { answered, pieces: Mutex::new(receiver), task: task.abort_handle() }
    }

    /// The beginning; none while it is not known.
    pub fn head(&self) -> Option<&Head> {
        self.answered.head.get()
    }

    /// Takes what is there of the body.
    pub fn take(&self) -> Piece {
        match lock(&self.pieces).try_recv() {
            Ok(bytes) => Piece::Data(bytes),
            Err(mpsc::error::TryRecvError::Empty) => Piece::Nothing,
            Err(mpsc::error::TryRecvError::Disconnected) if self.answered.is_whole.load(Relaxed) => Piece::End,
            Err(mpsc::error::TryRecvError::Disconnected) => Piece::Broken,
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

/// Gives out a body; whether that was all of it. Nobody says how long the host may leave a piece where it is: a viewer of an endless stream
/// who is to be let go meanwhile is.
async fn pass_on(mut body: Body, sender: &mpsc::Sender<Bytes>, on_change: &Waker) -> bool {
    let watch = body.take_watch();
    tokio::select! {
        is_whole = give_out(body, sender, on_change) => is_whole,
        () = stuck(watch) => false,
    }
}

async fn give_out(mut body: Body, sender: &mpsc::Sender<Bytes>, on_change: &Waker) -> bool {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let piece = match frame.map(Frame::into_data) {
            Ok(Ok(piece)) => piece.into_bytes(),
            Ok(Err(_trailers)) => continue,
            Err(_) => return false,
        };
        if sender.send(piece).await.is_err() {
            return false;
        }
        on_change.wake_by_ref();
    }
    true
}

async fn stuck(watch: Option<Watch>) {
    if let Some(watch) = watch
        && watch.stuck().await
    {
        return;
    }
    pending().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arcly_bus::{LogBounds, StreamKey};

    use super::*;
    use crate::{
        Inbox,
        egress::{
            EgressOptions,
            tests::{log_of_pictures, publish_pictures},
        },
        http::{Origin, SiteOptions},
    };

    /// Found by reading: it stayed on the list, and kept the stream's packets coming, until the host's server let go of it.
    #[tokio::test(start_paused = true)]
    async fn a_viewer_whom_the_host_gives_nothing_is_let_go_in_time_and_when_it_is_kicked() {
        for (stall_max, is_kicked) in [(Duration::from_secs(3), false), (Duration::from_secs(3600), true)] {
            let mut source = log_of_pictures(LogBounds::default());
            publish_pictures(&mut source, 0..60);
            let (origin, inbox) = (Origin::new(), Inbox::new(Waker::noop().clone()));
            let key = StreamKey::new("live", "cam").unwrap();
            origin.put_live(key, source.log().clone());
            let egress = EgressOptions { stall_max, ..EgressOptions::default() };
            let runtime = Handle::current();
            let site = Site::new(&runtime, SiteOptions { egress, ..SiteOptions::default() }, origin, inbox);
            let request = Request::get("/live/cam.flv").body(()).unwrap();
            let peer = ([127, 0, 0, 1], 1).into();
            let asked = Exchange::start(&runtime, site.clone(), request, peer, Waker::noop().clone());
            // The clock runs while nothing else happens.
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(site.egress().viewers().len(), 1);
            if is_kicked {
                assert!(site.egress().kick(1));
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(site.egress().viewers().is_empty());
            assert!((0..PIECES_MAX).all(|_| matches!(asked.take(), Piece::Data(_))));
            assert_eq!(asked.take(), Piece::Broken, "nobody takes it for all");
        }
    }
}
