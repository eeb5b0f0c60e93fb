//! Writing to a viewer whom no pump serves. It is let go as a pump would: when it takes nothing for too long, or somebody ends it.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep},
};

use super::list::Record;
use crate::{ended::End, tls::Connection};

/// How long a viewer is waited for.
pub(crate) struct Patience {
    record: Arc<Record>,
    /// How long it may take nothing.
    stall_max: Duration,
}

impl Patience {
    pub(super) fn new(record: Arc<Record>, stall_max: Duration) -> Self {
        Self { record, stall_max }
    }

    /// Writes all of `bytes`, however long the viewer takes for that while it takes some now and then.
    pub(crate) async fn write(&self, stream: &mut Connection, bytes: &[u8]) -> Result<(), End> {
        let (mut left, mut stall) = (bytes, None);
        poll_fn(|context| {
            while !left.is_empty() {
                match Pin::new(&mut *stream).poll_write(context, left) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                    Poll::Ready(Ok(taken)) => (left, stall) = (left.get(taken..).unwrap_or_default(), None),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return self.wait(&mut stall, context),
                }
            }
            // TLS may hold back what was written.
            match Pin::new(&mut *stream).poll_flush(context) {
                Poll::Ready(flushed) => Poll::Ready(flushed.map_err(End::from)),
                Poll::Pending => self.wait(&mut stall, context),
            }
        })
        .await
    }

    /// Ready when it is waited for no longer.
    fn wait(&self, stall: &mut Option<Pin<Box<Sleep>>>, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.record.wake_on_kick(context.waker());
        if self.record.is_kicked() {
            return Poll::Ready(Err(End::Closed));
        }
        let stall = stall.get_or_insert_with(|| Box::pin(sleep(self.stall_max)));
        stall.as_mut().poll(context).map(|()| Err(End::Failed("the viewer was too slow".into())))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use arcly_bus::StreamKey;
    use tokio::{
        net::{TcpListener, TcpStream},
        time::{Instant, timeout},
    };

    use super::{
        super::{Entry, List, Watcher},
        *,
    };
    use crate::Inbox;

    const STALL_MAX: Duration = Duration::from_secs(30);
    /// More than the kernel keeps on both sides.
    const PICTURE_BYTES: usize = 16 << 20;

    /// A connection, the other end of it, and the viewer there.
    async fn stage() -> (Connection, TcpStream, Arc<List>, Entry) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        let list = List::new(Inbox::new(Waker::noop().clone()));
        let key = StreamKey::new("live", "cam").unwrap();
        let entry = list.enter(Watcher { key, protocol: "rtmp", peer: from, agent: String::new() }, 1).unwrap();
        (Connection::Plain(stream), peer, list, entry)
    }

    /// Found by reading: over TLS a viewer had ten seconds for a whole packet, whatever `stall_max` said, and with less than a large key picture
    /// needs it was cut off however steadily it read.
    #[tokio::test]
    async fn who_reads_a_little_now_and_then_is_waited_for_and_who_reads_nothing_is_not() {
        let (mut stream, peer, _list, entry) = stage().await;
        let patience = Patience::new(entry.0.clone(), STALL_MAX);
        let picture = vec![0; PICTURE_BYTES];
        tokio::time::pause();
        // The clock runs while nothing else happens.
        let (start, mut scratch, mut read) = (Instant::now(), vec![0; 2 << 20], 0);
        let mut writing = Box::pin(patience.write(&mut stream, &picture));
        loop {
            match timeout(STALL_MAX / 5, &mut writing).await {
                Ok(written) => {
                    assert!(written.is_ok());
                    break;
                }
                Err(_) => read += peer.try_read(&mut scratch).unwrap_or_default(),
            }
        }
        drop(writing);
        assert!(read > 4 << 20 && start.elapsed() > STALL_MAX, "{read} bytes in {:?}", start.elapsed());
        let start = Instant::now();
        let End::Failed(_) = patience.write(&mut stream, &picture).await.unwrap_err() else { panic!("too slow") };
        assert!(start.elapsed() >= STALL_MAX);
    }

    /// Found by reading: it was seen behind the packet only, of which the viewer took nothing.
    #[tokio::test]
    async fn who_is_ended_while_it_takes_nothing_goes_at_once() {
        let (mut stream, _peer, list, entry) = stage().await;
        let patience = Patience::new(entry.0.clone(), STALL_MAX);
        let writing = tokio::spawn(async move { patience.write(&mut stream, &vec![0; PICTURE_BYTES]).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!writing.is_finished() && list.kick(entry.0.id));
        let written = timeout(Duration::from_secs(5), writing).await.expect("it goes").unwrap();
        assert!(matches!(written, Err(End::Closed)));
    }
}
