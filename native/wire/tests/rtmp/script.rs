//! Whole sessions of the clients that people use, written by our own encoder in the order and with
//! the header types that those clients choose, or recorded.

use arcly_wire::rtmp::{Event, Limits, ServerConn};

use crate::client::{Client, T0, Wire, null, number, object, pattern, text};

/// What a client sends, cut where it waits for the answer to `publish`.
pub struct Script {
    pub name: &'static str,
    pub until_publish: Vec<u8>,
    pub after_publish: Vec<u8>,
}

pub fn all() -> [Script; 4] {
    [ffmpeg(), obs(), recorded_ffmpeg(), recorded_obs()]
}

/// `vectors/ffmpeg_publish.bin`.
pub fn recorded_ffmpeg() -> Script {
    recorded("ffmpeg, recorded", include_bytes!("../vectors/ffmpeg_publish.bin"))
}

/// `vectors/obs_publish.bin`.
pub fn recorded_obs() -> Script {
    recorded("OBS, recorded", include_bytes!("../vectors/obs_publish.bin"))
}

/// Cut behind the last value of `publish`.
fn recorded(name: &'static str, bytes: &[u8]) -> Script {
    let publish = bytes.windows(7).position(|window| window == b"publish").unwrap();
    let end = publish + bytes[publish..].windows(7).position(|window| window == b"\x02\x00\x04live").unwrap() + 7;
    let (until_publish, after_publish) = bytes.split_at(end);
    Script { name, until_publish: until_publish.to_vec(), after_publish: after_publish.to_vec() }
}

/// ffmpeg: audio on chunk stream 4, video on 6, chunk size as the server's, an extra sequence header at the end.
pub fn ffmpeg() -> Script {
    let mut client = Client::new();
    client.out = Client::handshake();
    let url = "rtmp://example.net:1935/live";
    client.command(
        0,
        "connect",
        1.0,
        &[object(&[
            ("app", text("live")),
            ("type", text("nonprivate")),
            ("flashVer", text("FMLE/3.0 (compatible; Lavf59.27.100)")),
            ("tcUrl", text(url)),
        ])],
    );
    client.set_chunk_size(4096);
    client.command(0, "releaseStream", 2.0, &[null(), text("cam?token=s3cret")]);
    client.command(0, "FCPublish", 3.0, &[null(), text("cam?token=s3cret")]);
    client.command(0, "createStream", 4.0, &[null()]);
    client.full(8, 20, 1, 0, &[text("publish"), number(5.0), null(), text("cam?token=s3cret"), text("live")].concat());
    let until_publish = client.take();

    client.full(4, 18, 1, 0, &[text("@setDataFrame"), metadata()].concat());
    client.full(6, 9, 1, 0, &pattern(49, 1)).full(4, 8, 1, 0, &pattern(7, 2));
    client.short(6, 1, 0, 9, &pattern(4500, 3));
    client.short(4, 1, 0, 8, &pattern(210, 4)).short(4, 1, 23, 8, &pattern(230, 5));
    client.short(6, 1, 40, 9, &pattern(700, 6)).short(4, 1, 23, 8, &pattern(231, 7));
    client.command(0, "FCUnpublish", 6.0, &[null(), text("cam?token=s3cret")]);
    client.command(0, "deleteStream", 7.0, &[null(), number(1.0)]);
    Script { name: "ffmpeg", until_publish, after_publish: client.out }
}

/// OBS (librtmp): commands on chunk stream 3 with type 1 headers behind the first, all media on
/// chunk stream 4, same lengths and deltas squeezed to types 2 and 3, an answer to a ping on a fresh chunk stream by type 1.
pub fn obs() -> Script {
    let mut client = Client::new();
    client.out = Client::handshake();
    client.set_chunk_size(4096);
    client.command(
        0,
        "connect",
        1.0,
        &[object(&[
            ("app", text("live/inst?token=obs")),
            ("type", text("nonprivate")),
            ("flashVer", text("FMLE/3.0 (compatible; FMSc/1.0)")),
            ("swfUrl", text("rtmp://example.net/live/inst?token=obs")),
            ("tcUrl", text("rtmp://example.net/live/inst?token=obs")),
        ])],
    );
    let mut brief = |name: &str, transaction, argument: Option<&str>| {
        let argument = argument.map(text).unwrap_or_default();
        let body = [text(name), number(transaction), null(), argument].concat();
        client.write(&Wire { chunk_stream: 3, format: 1, time: 0, type_id: 20, stream_id: 0, body: &body });
    };
    brief("releaseStream", 2.0, Some("cam"));
    brief("FCPublish", 3.0, Some("cam"));
    brief("createStream", 4.0, None);
    client.full(4, 20, 1, 0, &[text("publish"), number(5.0), null(), text("cam"), text("live")].concat());
    let until_publish = client.take();

    // librtmp's RTMP_SendCtrl: type 1 on what may be a fresh chunk stream.
    client.write(&Wire { chunk_stream: 40, format: 1, time: 5, type_id: 4, stream_id: 0, body: &[0, 7, 0, 0, 0, 1] });
    client.full(4, 18, 1, 0, &[text("@setDataFrame"), metadata()].concat());
    client.full(4, 8, 1, 0, &pattern(7, 1)).full(4, 9, 1, 0, &pattern(44, 2));
    client.short(4, 0, 0, 9, &pattern(4500, 3));
    client.short(4, 1, 0, 8, &pattern(371, 4));
    client.short(4, 2, 21, 8, &pattern(371, 5));
    client.short(4, 3, 21, 8, &pattern(371, 6));
    client.short(4, 1, 8, 9, &pattern(900, 7));
    client.write(&Wire {
        chunk_stream: 3,
        format: 1,
        time: 0,
        type_id: 20,
        stream_id: 0,
        body: &[text("FCUnpublish"), number(6.0), null(), text("cam")].concat(),
    });
    client.command(0, "deleteStream", 7.0, &[null(), number(1.0)]);
    Script { name: "OBS", until_publish, after_publish: client.out }
}

/// The values of a script tag.
pub fn metadata() -> Vec<u8> {
    let array = object(&[("width", number(64.0)), ("encoder", text("test"))]);
    [text("onMetaData"), vec![8, 0, 0, 0, 2], array[1..].to_vec()].concat()
}

/// Feeds a script in the pieces that `cut` makes of each half, accepts the publish in between, and
/// gives back all events and all output.
pub fn play(script: &Script, cut: impl Fn(usize, &[u8]) -> Vec<Vec<u8>>) -> (Vec<Event>, Vec<u8>) {
    let mut conn = ServerConn::new(Limits::default(), 1, T0);
    let (mut events, mut output) = (Vec::new(), Vec::new());
    for (half, bytes) in [&script.until_publish, &script.after_publish].into_iter().enumerate() {
        for piece in cut(half, bytes) {
            conn.handle_input(T0, &piece).unwrap_or_else(|error| panic!("{}: {error}", script.name));
            events.extend(std::iter::from_fn(|| conn.poll_event()));
            while let Some(bytes) = conn.poll_output() {
                output.extend_from_slice(&bytes);
            }
        }
        if half == 0 {
            assert!(matches!(events.last(), Some(Event::PublishRequested(_))), "{}", script.name);
            conn.accept_publish(1);
        }
    }
    (events, output)
}
