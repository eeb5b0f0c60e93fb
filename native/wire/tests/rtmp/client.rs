//! What a client writes and how it reads the answers, from the specification alone.

use std::time::Duration;

use arcly_wire::rtmp::{Event, Limits, Media, MediaKind, PublishRequest, RtmpError, ServerConn, egress};

pub const T0: Duration = Duration::from_secs(1000);

/// AMF0 by hand.
pub fn text(text: &str) -> Vec<u8> {
    [&[2][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

pub fn number(number: f64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

pub fn null() -> Vec<u8> {
    vec![5]
}

pub fn object(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![3];
    for (name, value) in properties {
        out.extend_from_slice(&text(name)[1..]);
        out.extend_from_slice(value);
    }
    out.extend_from_slice(&[0, 0, 9]);
    out
}

pub fn command(name: &str, transaction: f64, arguments: &[Vec<u8>]) -> Vec<u8> {
    [text(name), number(transaction), arguments.concat()].concat()
}

/// The basic header in its shortest form.
pub fn basic_header(format: u8, chunk_stream: u32) -> Vec<u8> {
    let format = format << 6;
    match chunk_stream {
        2..=63 => vec![format | chunk_stream as u8],
        64..=319 => vec![format, (chunk_stream - 64) as u8],
        _ => vec![format | 1, ((chunk_stream - 64) % 256) as u8, ((chunk_stream - 64) / 256) as u8],
    }
}

/// One message as it is to be written.
#[derive(Clone)]
pub struct Wire<'a> {
    pub chunk_stream: u32,
    /// 0 to 3: which header it begins with.
    pub format: u8,
    /// Timestamp or delta; for type 3 what the header before had, to be repeated when it is extended.
    pub time: u32,
    pub type_id: u8,
    pub stream_id: u32,
    pub body: &'a [u8],
}

impl Wire<'_> {
    /// The chunks of the message.
    pub fn chunks(&self, chunk_bytes: usize) -> Vec<Vec<u8>> {
        let mut parts: Vec<&[u8]> = self.body.chunks(chunk_bytes).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let head = |index| if index == 0 { self.header(self.format) } else { self.header(3) };
        parts.iter().enumerate().map(|(index, part)| [head(index), part.to_vec()].concat()).collect()
    }

    fn header(&self, format: u8) -> Vec<u8> {
        let mut out = basic_header(format, self.chunk_stream);
        if format < 3 {
            out.extend_from_slice(&self.time.min(0xff_ffff).to_be_bytes()[1..]);
        }
        if format < 2 {
            out.extend_from_slice(&(self.body.len() as u32).to_be_bytes()[1..]);
            out.push(self.type_id);
        }
        if format < 1 {
            out.extend_from_slice(&self.stream_id.to_le_bytes());
        }
        if self.time >= 0xff_ffff {
            out.extend_from_slice(&self.time.to_be_bytes());
        }
        out
    }
}

/// Writes messages one after the other, with the chunk size that it announced.
pub struct Client {
    pub out: Vec<u8>,
    pub chunk_bytes: usize,
}

impl Client {
    pub fn new() -> Self {
        Self { out: Vec::new(), chunk_bytes: 128 }
    }

    /// C0, C1 and C2.
    pub fn handshake() -> Vec<u8> {
        [&[3, 0, 0, 0, 9, 0, 0, 0, 0][..], &[0x5a; 1528], &[0xc2; 1536]].concat()
    }

    pub fn write(&mut self, message: &Wire<'_>) -> &mut Self {
        self.out.extend(message.chunks(self.chunk_bytes).concat());
        self
    }

    pub fn full(
        &mut self,
        chunk_stream: u32,
        type_id: u8,
        stream_id: u32,
        timestamp_ms: u32,
        body: &[u8],
    ) -> &mut Self {
        self.write(&Wire { chunk_stream, format: 0, time: timestamp_ms, type_id, stream_id, body })
    }

    /// A message of stream 1 behind a header of type 1, 2 or 3.
    pub fn short(&mut self, chunk_stream: u32, format: u8, delta_ms: u32, type_id: u8, body: &[u8]) -> &mut Self {
        self.write(&Wire { chunk_stream, format, time: delta_ms, type_id, stream_id: 1, body })
    }

    pub fn command(&mut self, stream_id: u32, name: &str, transaction: f64, arguments: &[Vec<u8>]) -> &mut Self {
        self.full(3, 20, stream_id, 0, &command(name, transaction, arguments))
    }

    pub fn set_chunk_size(&mut self, size: u32) -> &mut Self {
        self.full(2, 1, 0, 0, &size.to_be_bytes());
        self.chunk_bytes = size as usize;
        self
    }

    pub fn connect(&mut self, app: &str) -> &mut Self {
        self.command(0, "connect", 1.0, &[object(&[("app", text(app))])])
    }

    pub fn create_stream(&mut self) -> &mut Self {
        self.command(0, "createStream", 2.0, &[null()])
    }

    pub fn publish(&mut self, stream_id: u32, name: &str) -> &mut Self {
        self.command(stream_id, "publish", 0.0, &[null(), text(name), text("live")])
    }

    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

/// A message of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub type_id: u8,
    pub stream_id: u32,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn has(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Reads what the server writes: type 0 headers, then type 3, its chunk size as announced.
pub fn read_replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut chunk_bytes = 128;
    while !bytes.is_empty() {
        assert_eq!(bytes[0] >> 6, 0, "a message begins with a type 0 header");
        let length = u32::from_be_bytes([0, bytes[4], bytes[5], bytes[6]]) as usize;
        let (type_id, stream_id) = (bytes[7], u32::from_le_bytes(bytes[8..12].try_into().unwrap()));
        let chunk_stream = bytes[0];
        bytes = &bytes[12..];
        let mut body = Vec::new();
        while body.len() < length {
            if !body.is_empty() {
                assert_eq!(bytes[0], 0xc0 | chunk_stream);
                bytes = &bytes[1..];
            }
            let (part, rest) = bytes.split_at(chunk_bytes.min(length - body.len()));
            body.extend_from_slice(part);
            bytes = rest;
        }
        if type_id == 1 {
            chunk_bytes = u32::from_be_bytes(body[..4].try_into().unwrap()) as usize;
        }
        replies.push(Reply { type_id, stream_id, body });
    }
    replies
}

/// A server with its handshake done, and what came out of it so far.
pub struct Server {
    pub conn: ServerConn,
    pub output: Vec<u8>,
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        let mut server = Self { conn: ServerConn::new(limits, 7, T0), output: Vec::new() };
        server.feed(&Client::handshake()).unwrap();
        assert_eq!(server.drain_output().len(), 1 + 2 * 1536);
        server.output.clear();
        server
    }

    /// Connected to `app`, with message stream 1.
    pub fn connected(app: &str) -> Self {
        let mut server = Self::new(Limits::default());
        server.feed(Client::new().connect(app).create_stream().out.as_slice()).unwrap();
        assert!(matches!(server.events()[..], [Event::Connected(_)]));
        server.replies();
        server
    }

    /// Playing `live`/`cam` on message stream 1.
    pub fn playing() -> Self {
        let mut server = Self::connected("live");
        server.feed(&Client::new().command(1, "play", 0.0, &[null(), text("cam")]).out).unwrap();
        assert!(matches!(server.events()[..], [Event::PlayRequested(_)]));
        server.conn.accept_play(1);
        assert!(server.replies()[2].has("NetStream.Play.Start"));
        server
    }

    /// Publishing `live`/`cam` on message stream 1.
    pub fn publishing() -> Self {
        let mut server = Self::connected("live");
        server.feed(&Client::new().publish(1, "cam").out).unwrap();
        assert!(matches!(server.events()[..], [Event::PublishRequested(_)]));
        server.conn.accept_publish(1);
        assert!(server.replies()[1].has("NetStream.Publish.Start"));
        server
    }

    pub fn feed(&mut self, input: &[u8]) -> Result<(), RtmpError> {
        let result = self.conn.handle_input(T0, input);
        self.drain_output();
        result
    }

    fn drain_output(&mut self) -> &[u8] {
        while let Some(bytes) = self.conn.poll_output() {
            self.output.extend_from_slice(&bytes);
        }
        &self.output
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.conn.poll_event()).collect()
    }

    /// The answers since the last call. Chunk sizes are of no matter behind the first: ours are one chunk each.
    pub fn replies(&mut self) -> Vec<Reply> {
        self.drain_output();
        let announced = [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &egress::CHUNK_BYTES.to_be_bytes()].concat();
        let first = self.output.get(7) == Some(&5);
        let prefix = if first { Vec::new() } else { announced };
        let skip = usize::from(!first);
        let output = [prefix, std::mem::take(&mut self.output)].concat();
        read_replies(&output).split_off(skip)
    }
}

pub fn media(kind: MediaKind, timestamp_ms: u32, body: &[u8]) -> Event {
    Event::Media(Media { stream_id: 1, kind, timestamp_ms, body: body.to_vec().into() })
}

pub fn publish_request(app: &str, stream: &str, query: &str) -> Event {
    Event::PublishRequested(PublishRequest {
        stream_id: 1,
        app: app.to_owned(),
        stream: stream.to_owned(),
        query: query.to_owned(),
        publish_type: "live".to_owned(),
    })
}

/// Bytes that are not all equal.
pub fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + seed * 31 + index / 251) as u8).collect()
}
