//! What a connection costs, and what is said of its end.

use std::{sync::Arc, task::Waker};

use arcly_bus::{LogBounds, LogWriter, Publisher, Read, TrackSet};
use arcly_pack::flv::FlvMuxer;
use arcly_wire::rtmp::{ClientConfig, ClientConn, ClientEvent, ClientUse, MediaKind, egress::chunked};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    Notice,
    rtmp::tests::{picture, track},
};

/// The task of a connection. It has this as long as it lives: 1 000 viewers are 1 000 times as much.
const TASK_BYTES_MAX: usize = 2560;

fn shared() -> Arc<Shared> {
    let inbox = Inbox::new(Waker::noop().clone());
    let egress = Egress::new(Handle::current(), EgressOptions::default(), inbox.clone());
    let (options, crowd, opened) = (RtmpOptions::default(), Arc::default(), Instant::now());
    Arc::new(Shared { options, inbox, egress, crowd, opened, elsewhere: watch::Sender::default() })
}

/// A viewer has a task only to read what it says now and then: it holds no buffer, and no future of what happens rarely.
#[tokio::test]
async fn the_task_of_a_connection_is_small() {
    let shared = shared();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let peer = socket.local_addr().unwrap();
    let task = serve(Stream::Plain(socket), peer, CancellationToken::new(), shared);
    let bytes = size_of_val(&task);
    assert!(bytes <= TASK_BYTES_MAX, "{bytes} bytes");
}

/// What the host is warned of when a peer publishes, or has asked to play, and its system resets the connection.
async fn warnings_of_a_reset(purpose: ClientUse) -> Vec<String> {
    let shared = shared();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    let serving = tokio::spawn(serve(Stream::Plain(accepted), peer, CancellationToken::new(), shared.clone()));
    let config =
        ClientConfig { app: "live".into(), tc_url: "rtmp://127.0.0.1/live".into(), stream: "cam".into(), purpose };
    let mut machine = ClientConn::new(config, Limits::default(), 7, Duration::ZERO);
    let (mut buffer, mut asked, mut has_started) = ([0; 4096], None, false);
    while asked.is_none() && !has_started {
        while let Some(bytes) = machine.poll_output() {
            socket.write_all(&bytes).await.unwrap();
        }
        if let Ok(read) = timeout(Duration::from_millis(1), socket.read(&mut buffer)).await {
            machine.handle_input(Duration::ZERO, &buffer[..read.unwrap()]).unwrap();
        }
        match shared.inbox.pop() {
            Some(Notice::Publish(request)) => {
                let log = LogWriter::new(LogBounds::default(), Arc::new(()));
                assert!(request.accept(Publisher::new(log, Box::new(()))));
            }
            Some(Notice::Play(request)) => asked = Some(request),
            Some(_) | None => {}
        }
        has_started = std::iter::from_fn(|| machine.poll_event()).any(|event| matches!(event, ClientEvent::Started));
    }
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
    serving.await.unwrap();
    let warning = |notice| if let Notice::Warning(text) = notice { Some(text) } else { None };
    std::iter::from_fn(|| shared.inbox.pop()).filter_map(warning).collect()
}

/// Found by reading: players close with packets on their way to them, and each was a warning.
#[tokio::test]
async fn a_player_that_leaves_by_a_reset_is_no_warning_and_a_publisher_is() {
    assert_eq!(warnings_of_a_reset(ClientUse::Play).await, Vec::<String>::new());
    let [warning] = &warnings_of_a_reset(ClientUse::Publish).await[..] else { panic!("one warning") };
    assert!(warning.contains("the connection broke"), "{warning}");
}

/// Found by reading: nginx-rtmp and SRS send on behind `publish`; where the host took its time, their headers were dropped, and a picture over
/// 64 KiB ended the connection.
#[tokio::test]
async fn a_sender_that_does_not_wait_for_a_slow_host_loses_nothing() {
    const BYTES: usize = 2 << 20;
    let shared = shared();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    // What the kernel takes is no more than a part of the picture.
    SockRef::from(&socket).set_send_buffer_size(64 << 10).unwrap();
    SockRef::from(&accepted).set_recv_buffer_size(64 << 10).unwrap();
    tokio::spawn(serve(Stream::Plain(accepted), peer, CancellationToken::new(), shared.clone()));
    let config = ClientConfig {
        app: "live".into(),
        tc_url: "rtmp://127.0.0.1/live".into(),
        stream: "cam".into(),
        purpose: ClientUse::Publish,
    };
    let mut machine = ClientConn::new(config, Limits::default(), 7, Duration::ZERO);
    let mut buffer = [0; 4096];
    let request = loop {
        while let Some(bytes) = machine.poll_output() {
            socket.write_all(&bytes).await.unwrap();
        }
        if let Ok(read) = timeout(Duration::from_millis(1), socket.read(&mut buffer)).await {
            machine.handle_input(Duration::ZERO, &buffer[..read.unwrap()]).unwrap();
        }
        if let Some(Notice::Publish(request)) = shared.inbox.pop() {
            break request;
        }
    };
    let (mut muxer, mut tags) = (FlvMuxer::default(), Vec::new());
    muxer.reconfigure(&TrackSet { revision: 1, tracks: vec![track()] });
    muxer.write(&picture(0, BYTES), &mut tags).unwrap();
    let tags = tags.iter().skip(1).map(|tag| chunked(MediaKind::Video, 0, tag.header(), &tag.payload));
    let bytes = tags.collect::<Vec<_>>().concat();
    let mut sent = 0;
    while sent < bytes.len() && timeout(Duration::from_millis(20), socket.writable()).await.is_ok() {
        match socket.try_write(&bytes[sent..]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            written => sent += written.unwrap(),
        }
    }
    assert!((100 << 10..600 << 10).contains(&sent), "the kernel keeps the rest: {sent}");
    let source = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    let mut reader = source.log().subscribe();
    assert!(request.accept(source));
    socket.write_all(&bytes[sent..]).await.unwrap();
    let length = loop {
        match reader.read(1) {
            Read::Frames(batch) => break batch.frames[0].payload.len(),
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!(length, picture(0, BYTES).payload.len());
}
