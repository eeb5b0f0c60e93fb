//! Reading without a buffer of one's own: most connections are silent most of the time, and there are thousands of them.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// A picture of a stream of some Mbit/s in one read.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    /// What is read is taken before the next task has its turn, so one buffer for each worker is enough; and it stays in its cache.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// Waits until something comes, has `take` take it, and returns what that returns; nothing when nothing more will come. Nothing is lost when
/// the future is dropped.
///
/// # Errors
/// Those of the connection.
pub(crate) async fn read<T>(stream: &mut (impl AsyncRead + Unpin), mut take: impl FnMut(&[u8]) -> T) -> io::Result<T> {
    poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            Poll::Ready(Ok(take(buffer.filled())))
        })
    })
    .await
}
