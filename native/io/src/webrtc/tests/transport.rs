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
        Caller, Limits, WebRtcTransport,
        tcp::{Tcp, TcpEvent},
    },
    *,
};
use crate::tls::Connection;

/// Of somebody who wants pictures and sound.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:Rliy\r\n\
    a=ice-pwd:ihvoRVSlnMjgGml7MnHI0gXD\r\na=fingerprint:sha-256 \
    C9:24:7F:27:25:76:95:6A:2E:D0:03:9E:14:C3:46:D7:B4:B5:A6:97:9D:2A:64:9D:1B:05:8D:33:E0:64:67:20\r\na=setup:actpass\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
    a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n";

fn transport(options: WebRtcOptions) -> WebRtcTransport {
    let (local, inbox) = ("127.0.0.1:0".parse().unwrap(), Inbox::new(Waker::noop().clone()));
    WebRtcTransport::bind(&Handle::current(), local, options, inbox).unwrap()
}

/// A publisher of some of the tracks.
fn of_tracks(kept: std::ops::Range<usize>) -> Publisher {
    let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    let tracks = super::publisher().log().tracks().tracks[kept].to_vec();
    if !tracks.is_empty() {
        publisher.set_tracks(tracks).unwrap();
    }
    publisher
}

/// Found by reading: of simulcast whose best encoding did not begin its viewers heard the sound, or were told that there is nothing.
#[tokio::test]
async fn pictures_are_answered_that_another_rendition_alone_has() {
    let transport = transport(WebRtcOptions::default());
    let caller = || Caller {
        key: StreamKey::new("live", "cam").unwrap(),
        address: "192.0.2.1".parse().unwrap(),
        agent: String::new(),
    };
    for (base, low) in [(1..2, 0..2), (0..0, 0..1), (0..0, 0..2)] {
        let publishers = [of_tracks(base.clone()), of_tracks(low.clone())];
        let named = |name: &str, publisher: &Publisher| (name.to_owned(), publisher.log().clone());
        let renditions = vec![named("cam", &publishers[0]), named("cam~low", &publishers[1])];
        let played = transport.play(OFFER, renditions, Apart::default(), BFrames::Drop, caller());
        let (_, answer) = played.unwrap();
        assert!(answer.sdp.contains("H264/90000"), "{base:?}, {low:?}: {}", answer.sdp);
        assert_eq!(answer.sdp.contains("opus/48000"), low.end == 2, "{base:?}, {low:?}: {}", answer.sdp);
        assert!(answer.notes.is_empty(), "{:?}", answer.notes);
    }
    transport.stop().await;
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
    let (connect_time, strangers) = (Duration::from_secs(2), Door::of_tcp(&options));
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
