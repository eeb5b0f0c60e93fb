//! What the host holds, on ports of its own.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Limits, WebRtcTransport,
        tcp::{Tcp, TcpEvent},
    },
    *,
};
use crate::tls::Connection;

fn transport(options: WebRtcOptions) -> WebRtcTransport {
    let (local, inbox) = ("127.0.0.1:0".parse().unwrap(), Inbox::new(Waker::noop().clone()));
    WebRtcTransport::bind(&Handle::current(), local, options, inbox).unwrap()
}

/// Found by reading: an empty frame each half a minute kept a connection for ever, and a thousand of them the port from everybody.
#[tokio::test]
async fn a_connection_on_which_no_session_shows_up_is_closed_though_it_is_not_silent() {
    let limits = Limits { connect_time: Duration::from_millis(300), ..Limits::default() };
    let transport = transport(WebRtcOptions { limits, ..WebRtcOptions::default() });
    let (mut reading, mut writing) = TcpStream::connect(transport.addr()).await.unwrap().into_split();
    let talking = tokio::spawn(async move {
        while writing.write_all(&[0, 0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let ended = timeout(Duration::from_secs(10), reading.read(&mut [0])).await;
    assert!(!matches!(ended.expect("it is closed"), Ok(1..)));
    talking.abort();
    transport.stop().await;
}

/// Found by reading: connections of one address had no limit but that of all.
#[tokio::test]
async fn of_one_address_so_many_connections_may_be_those_of_strangers() {
    let options = WebRtcOptions { unconnected_per_address_max: 2, ..WebRtcOptions::default() };
    let transport = transport(options);
    let mut reading = JoinSet::new();
    for _ in 0..3 {
        let mut connection = TcpStream::connect(transport.addr()).await.unwrap();
        reading.spawn(async move { connection.read(&mut [0]).await });
    }
    let turned_away = timeout(Duration::from_secs(10), reading.join_next()).await;
    assert!(!matches!(turned_away.expect("one is closed"), Some(Ok(Ok(1..)))));
    assert_eq!(reading.len(), 2);
    transport.stop().await;
}

#[tokio::test]
async fn a_connection_on_which_a_session_was_answered_stays_and_makes_room_for_strangers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = WebRtcOptions { unconnected_per_address_max: 1, ..WebRtcOptions::default() };
    let (events, mut told) = mpsc::channel(16);
    let (connect_time, strangers) = (Duration::from_millis(200), Door::of_tcp(&options));
    let tcp = Tcp { events, datagram_bytes: 2000, connect_time, strangers };
    let mut begin = async || {
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        tokio::spawn(tcp.clone().serve(Connection::Plain(stream), from, CancellationToken::new()));
        let Some(TcpEvent::Opened(_, sender)) = told.recv().await else { panic!("it is not taken in") };
        (peer, sender, from)
    };
    let (mut known, sender, known_at) = begin().await;
    sender.send(vec![1, 2, 3]).await.unwrap();
    let mut frame = [0; 5];
    known.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [0, 3, 1, 2, 3]);
    // Who comes later is closed.
    let (mut stranger, _sender, stranger_at) = begin().await;
    assert!(!matches!(stranger.read(&mut [0]).await, Ok(1..)));
    known.write_all(&[0, 1, 9]).await.unwrap();
    assert!(matches!(told.recv().await, Some(TcpEvent::Closed(at)) if at == stranger_at));
    assert!(matches!(told.recv().await, Some(TcpEvent::Datagram(at, bytes)) if at == known_at && bytes[..] == [9]));
}
