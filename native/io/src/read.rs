//! Reading without a buffer of one's own: most connections are silent most of the time, and there are thousands of them.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Most pictures of a stream of some Mbit/s in one read.
pub(crate) const READ_BYTES_MAX: usize = 32 << 10;

thread_local! {
    /// What is read is taken before the next task has its turn, so one buffer for each worker is enough; and it stays in its cache.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
}

/// Waits until something comes, has `take` take at most `bytes` of it (up to [`READ_BYTES_MAX`]), and returns what that returns; nothing when
/// nothing more will come. Nothing is lost when the future is dropped.
///
/// # Errors
/// Those of the connection.
pub(crate) async fn read<T>(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: usize,
    mut take: impl FnMut(&[u8]) -> T,
) -> io::Result<T> {
    poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let bytes = bytes.clamp(1, scratch.len());
            let mut buffer = ReadBuf::new(scratch.get_mut(..bytes).unwrap_or_default());
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            Poll::Ready(Ok(take(buffer.filled())))
        })
    })
    .await
}
