//! What a connection costs.

use std::{sync::Arc, task::Waker};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use tokio_util::sync::CancellationToken;

use super::*;

/// The task of a connection. It has this as long as it lives: 1 000 viewers are 1 000 times as much.
const TASK_BYTES_MAX: usize = 2560;

/// A viewer has a task only to read what it says now and then: it holds no buffer, and no future of what happens rarely.
#[tokio::test]
async fn the_task_of_a_connection_is_small() {
    let inbox = Inbox::new(Waker::noop().clone());
    let egress = Egress::new(Handle::current(), EgressOptions::default(), inbox.clone());
    let shared = Arc::new(Shared {
        options: RtmpOptions::default(),
        inbox,
        egress,
        crowd: Arc::default(),
        opened: Instant::now(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let peer = socket.local_addr().unwrap();
    let task = serve(Stream::Plain(socket), peer, CancellationToken::new(), shared);
    let bytes = size_of_val(&task);
    assert!(bytes <= TASK_BYTES_MAX, "{bytes} bytes");
}
