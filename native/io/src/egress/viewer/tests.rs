use std::{io::Write, net::TcpListener, task::Waker};

use arcly_bus::{LogBounds, LogWriter, StreamKey};

use super::{
    super::{Container, Head, List, Watcher, packets::PacketWriter},
    *,
};
use crate::Inbox;

/// What the longest ping carries.
const PING_MAX: usize = 125;

/// Found by reading: while a viewer reads nothing, each of its pings was answered behind the answers that waited already, and all of these
/// were copied for it.
#[test]
fn who_pings_and_does_not_read_is_owed_one_answer() {
    let source = LogWriter::new(LogBounds::default(), Arc::new(()));
    let writer = PacketWriter::new(source.log(), Container::Flv, Framing::WebSocket);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, addr) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let watcher =
        Watcher { key: StreamKey::new("live", "cam").unwrap(), protocol: "ws-flv", peer: addr, agent: String::new() };
    let entry = List::new(Inbox::new(Waker::noop().clone())).enter(watcher, 1).unwrap();
    // More than the kernel takes for a peer that does not read.
    let head = vec![0; 16 << 20];
    let owed = head.len() + 2 + PING_MAX;
    let head = Head::Bytes(head.into());
    let joiner = Joiner { socket, head, entry, counted: source.log().viewer("ws-flv"), line: None };
    let mut viewer = Viewer::new(joiner, writer.packets(), Instant::now());
    viewer.serve(writer.packets(), None, Instant::now());
    assert!(viewer.is_blocked());
    // Masked by zeros (RFC 6455 §5.5.2).
    let ping = [&[0x89, 0x80 | PING_MAX as u8, 0, 0, 0, 0][..], &[0; PING_MAX]].concat();
    for _ in 0..100 {
        peer.write_all(&ping).unwrap();
        while !viewer.hear() {}
        viewer.unblock();
        viewer.serve(writer.packets(), None, Instant::now());
    }
    let sent = viewer.entry.0.bytes.load(Relaxed) as usize;
    assert!(sent + viewer.front.len() <= owed, "{} bytes are owed, not {owed}", sent + viewer.front.len());
}
