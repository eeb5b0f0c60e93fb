//! What comes over the connection: messages, and packets between them (RFC 2326 §10.12), cut anywhere.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Limits, Request, Response, RtspError,
    message::{Head, Method},
};

/// In front of an interleaved packet.
pub const MAGIC: u8 = b'$';
/// Bytes in front of an interleaved packet: the magic, the channel, the length.
pub const FRAME_HEADER_BYTES: usize = 4;

/// What stands in front of a packet of so many bytes (RFC 2326 §10.12); none where it is too long for that.
pub fn frame_header(channel: u8, bytes: usize) -> Option<[u8; FRAME_HEADER_BYTES]> {
    let [high, low] = u16::try_from(bytes).ok()?.to_be_bytes();
    Some([MAGIC, channel, high, low])
}

/// Something that has come whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// An answer.
    Response(Response),
    /// An interleaved packet.
    Packet {
        /// As agreed upon by SETUP.
        channel: u8,
        /// RTP or RTCP.
        payload: Bytes,
    },
}

/// Takes input as it comes. What comes whole is not copied: payloads are slices of the input.
#[derive(Debug)]
pub struct MessageReader {
    limits: Limits,
    /// The beginning of something that is not whole.
    begun: BytesMut,
    /// Bytes of `begun` in which no end of a head was found.
    scanned: usize,
    /// A head whose body is not whole, its length and that of both.
    head: Option<(Head, usize, usize)>,
    /// Behind that.
    input: Bytes,
    /// Bytes of the connection in front of `begun`.
    offset: u64,
    /// Sixteenths of bytes passed over since the last that was understood: an empty line counts less than nonsense.
    garbage: usize,
    /// Channels of the session, a bit each.
    channels: [u64; 4],
}

impl MessageReader {
    /// A reader of a connection that was just made.
    pub fn new(limits: Limits) -> Self {
        let (begun, input) = (BytesMut::new(), Bytes::new());
        Self { limits, begun, scanned: 0, head: None, input, offset: 0, garbage: 0, channels: [0; 4] }
    }

    /// Names a channel that packets may come on: it is believed behind garbage too.
    pub fn expect_channel(&mut self, channel: u8) {
        if let Some(word) = self.channels.get_mut(usize::from(channel >> 6)) {
            *word |= 1 << (channel & 63);
        }
    }

    /// Takes input. Drain [`read`](Self::read) before the next: what waits is copied otherwise.
    pub fn push(&mut self, input: Bytes) {
        if self.input.is_empty() {
            self.input = input;
        } else {
            self.input = [&self.input[..], &input].concat().into();
        }
    }

    /// Bytes that wait.
    pub fn buffered_bytes(&self) -> usize {
        self.begun.len() + self.input.len()
    }

    /// Whether something has begun and not ended.
    pub fn is_mid_message(&self) -> bool {
        self.buffered_bytes() > 0
    }

    /// The next thing that is whole.
    ///
    /// # Errors
    /// [`RtspError`] when this is no RTSP, or more than the limits allow. The reader is of no use then.
    pub fn read(&mut self) -> Result<Option<Incoming>, RtspError> {
        loop {
            let first = self.begun.first().or(self.input.first());
            let found = match first {
                None => return Ok(None),
                Some(&MAGIC) => self.read_packet(),
                Some(byte) if byte.is_ascii_alphabetic() => self.read_message()?,
                Some(_) => {
                    self.skip()?;
                    continue;
                }
            };
            match found {
                Found::Whole(incoming) => {
                    self.garbage = 0;
                    return Ok(Some(incoming));
                }
                Found::Part => return Ok(None),
                Found::Garbage => self.skip()?,
            }
        }
    }

    /// Passes over a byte that nothing begins with. Empty lines between messages are allowed (RFC 2326 §4 by way of RFC 2068 §4.1);
    /// cameras send the rest of a packet whose length they got wrong.
    fn skip(&mut self) -> Result<(), RtspError> {
        self.unite();
        let rest = self.input.get(1..).unwrap_or_default();
        let next = rest.iter().position(|byte| *byte == MAGIC || byte.is_ascii_uppercase());
        let skipped = next.map_or(self.input.len(), |at| at + 1);
        let blank = self.input.iter().take(skipped).filter(|byte| byte.is_ascii_whitespace()).count();
        self.garbage = self.garbage.saturating_add(16 * (skipped - blank) + blank);
        self.input.advance(skipped);
        self.offset += skipped as u64;
        let seen = self.garbage / 16;
        if seen > self.limits.garbage_bytes {
            return Err(RtspError::limit("garbage_bytes", self.limits.garbage_bytes, seen as u64));
        }
        Ok(())
    }

    fn read_packet(&mut self) -> Found {
        if !self.fill(FRAME_HEADER_BYTES) {
            return Found::Part;
        }
        let head = if self.begun.is_empty() { &self.input[..] } else { &self.begun[..] };
        let [_, channel, high, low] = *head.first_chunk().unwrap_or(&[0; FRAME_HEADER_BYTES]);
        // In step, a packet is believed whatever its channel: of tracks that nobody set up, there are such.
        if self.garbage > 0 && !self.is_expected(channel) {
            return Found::Garbage;
        }
        let length = FRAME_HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        if !self.fill(length) {
            return Found::Part;
        }
        let mut payload = self.take(length);
        payload.advance(FRAME_HEADER_BYTES);
        Found::Whole(Incoming::Packet { channel, payload })
    }

    fn is_expected(&self, channel: u8) -> bool {
        self.channels.get(usize::from(channel >> 6)).is_some_and(|word| word & (1 << (channel & 63)) != 0)
    }

    /// Sees to it that `length` bytes lie together; false when there are not so many.
    fn fill(&mut self, length: usize) -> bool {
        if self.begun.is_empty() && self.input.len() >= length {
            return true;
        }
        let missing = length.saturating_sub(self.begun.len()).min(self.input.len());
        self.begun.extend_from_slice(&self.input.split_to(missing));
        self.begun.len() >= length
    }

    /// Takes bytes that lie together.
    fn take(&mut self, length: usize) -> Bytes {
        self.offset += length as u64;
        self.scanned = 0;
        if self.begun.is_empty() {
            return self.input.split_to(length.min(self.input.len()));
        }
        let taken = self.begun.split_to(length.min(self.begun.len())).freeze();
        self.unite();
        taken
    }

    /// Puts what has begun back in front of the input.
    fn unite(&mut self) {
        if !self.begun.is_empty() {
            let mut both = self.begun.split();
            both.extend_from_slice(&self.input);
            self.input = both.freeze();
        }
        self.scanned = 0;
    }

    fn read_message(&mut self) -> Result<Found, RtspError> {
        if self.head.is_none() && !self.seems_message() {
            return Ok(Found::Garbage);
        }
        let Some((head, head_bytes, whole)) = self.read_head()? else { return Ok(Found::Part) };
        if !self.fill(whole) {
            self.head = Some((head, head_bytes, whole));
            return Ok(Found::Part);
        }
        let mut body = self.take(whole);
        body.advance(head_bytes);
        Ok(Found::Whole(match head {
            Head::Request(method, uri, headers) => Incoming::Request(Request { method, uri, headers, body }),
            Head::Response(status, reason, headers) => Incoming::Response(Response { status, reason, headers, body }),
        }))
    }

    /// The head, its length and that of the message.
    fn read_head(&mut self) -> Result<Option<(Head, usize, usize)>, RtspError> {
        if let Some(known) = self.head.take() {
            return Ok(Some(known));
        }
        let (found, max) = (self.find_head(), self.limits.header_bytes);
        let seen = found.unwrap_or(self.begun.len());
        if seen > max {
            return Err(RtspError::limit("header_bytes", max, seen as u64));
        }
        let Some(head_bytes) = found else { return Ok(None) };
        let text = if self.begun.is_empty() { &self.input[..] } else { &self.begun[..] };
        let head = Head::parse(text.get(..head_bytes).unwrap_or_default(), &self.limits, self.offset)?;
        let body_bytes = head.body_bytes(&self.limits, self.offset)?;
        Ok(Some((head, head_bytes, head_bytes + body_bytes)))
    }

    /// Whether this may be the beginning of a message: of one that we know, or, in step, of any.
    fn seems_message(&self) -> bool {
        let mut start = [0; METHOD_BYTES_MAX];
        let bytes = self.begun.iter().chain(self.input.iter());
        let length = start.iter_mut().zip(bytes).map(|(slot, byte)| *slot = *byte).count();
        let start = start.get(..length).unwrap_or_default();
        let mut names = Method::ALL.into_iter().map(Method::as_str).chain(["RTSP/"]);
        let is_token = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
        let is_name = match start.iter().position(|byte| *byte == b' ') {
            Some(end) => start.iter().take(end).all(is_token),
            None => length < METHOD_BYTES_MAX && start.iter().all(is_token),
        };
        names.any(|name| start.iter().zip(name.as_bytes()).all(|(a, b)| a == b)) || (self.garbage == 0 && is_name)
    }

    /// Where the head ends: behind an empty line. All input is in `begun` when it has none.
    fn find_head(&mut self) -> Option<usize> {
        if self.begun.is_empty()
            && let Some(end) = head_end(&self.input, 0)
        {
            return Some(end);
        }
        // No more than what a head may have and one read more.
        let room = self.limits.header_bytes.saturating_add(1).saturating_sub(self.begun.len());
        let more = self.input.split_to(room.min(self.input.len()));
        self.begun.extend_from_slice(&more);
        let found = head_end(&self.begun, self.scanned);
        self.scanned = self.begun.len().saturating_sub(END_BYTES);
        if found.is_some() && !self.input.is_empty() {
            self.unite();
        }
        found
    }
}

/// The longest name of a method, real or made up.
const METHOD_BYTES_MAX: usize = 32;

enum Found {
    Whole(Incoming),
    /// More has to come.
    Part,
    /// Not what it seemed to be.
    Garbage,
}

/// The longest end of a head: CR LF CR LF.
const END_BYTES: usize = 4;

/// Where the first empty line ends, looked for from `from` on. Lines end with CR LF, or with LF alone as some cameras write them.
pub(super) fn head_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'\n', text.get(at..)?) {
        let behind = at + found + 1;
        match text.get(behind..)? {
            [b'\n', ..] => return Some(behind + 1),
            [b'\r', b'\n', ..] => return Some(behind + 2),
            _ => at = behind,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &[u8] = b"\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x00\x00\x03abc\
        ANNOUNCE rtsp://h/a RTSP/1.0\nCSeq: 2\nContent-Length: 5\n\nv=0\r\n$\x01\x00\x00RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n";

    fn read_all(reader: &mut MessageReader) -> Vec<Incoming> {
        std::iter::from_fn(|| reader.read().unwrap()).collect()
    }

    fn read_in_pieces(input: &[u8], cut: impl Iterator<Item = usize>) -> Vec<Incoming> {
        let mut reader = MessageReader::new(Limits::default());
        let (mut seen, mut from) = (Vec::new(), 0);
        for to in cut.chain([input.len()]) {
            reader.push(Bytes::copy_from_slice(&input[from..to]));
            seen.extend(read_all(&mut reader));
            from = to;
        }
        seen
    }

    #[test]
    fn messages_and_packets_come_out_however_they_are_cut() {
        let whole = read_in_pieces(SESSION, std::iter::empty());
        assert_eq!(whole.len(), 5);
        assert!(matches!(&whole[1], Incoming::Packet { channel: 0, payload } if &payload[..] == b"abc"));
        assert!(matches!(&whole[2], Incoming::Request(request) if &request.body[..] == b"v=0\r\n"));
        assert!(matches!(&whole[3], Incoming::Packet { channel: 1, payload } if payload.is_empty()));
        for cut in 0..SESSION.len() {
            assert_eq!(read_in_pieces(SESSION, std::iter::once(cut)), whole, "cut at {cut}");
        }
        assert_eq!(read_in_pieces(SESSION, 0..SESSION.len()), whole, "a byte at a time");
    }

    /// A camera that counts a packet too short sends its rest as if it were something.
    #[test]
    fn garbage_between_packets_is_passed_over() {
        let mut reader = MessageReader::new(Limits::default());
        reader.expect_channel(0);
        reader.push(Bytes::from_static(b"$\x00\x00\x01a\x00\x17$\x99\x00\x00\x7fPLAX $\x00\x00\x01b"));
        reader.push(Bytes::from_static(b"\x00PLAY rtsp://h/a RTSP/1.0\r\n\r\n"));
        let seen = read_all(&mut reader);
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(matches!(&seen[1], Incoming::Packet { channel: 0, payload } if &payload[..] == b"b"));
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let endless = |start: &'static [u8], bytes: &[u8]| {
            let mut reader = MessageReader::new(Limits::default());
            reader.push(Bytes::from_static(start));
            for _ in 0..10_000 {
                match reader.read() {
                    Ok(Some(_)) => panic!("nothing is whole"),
                    Ok(None) => assert!(reader.buffered_bytes() <= 128 << 10),
                    Err(error) => return error.to_string(),
                }
                reader.push(Bytes::copy_from_slice(bytes));
            }
            panic!("never refused")
        };
        assert!(endless(b"PLAY * RTSP/1.0\r\n", b"A: header without an end\r\n").contains("header_bytes"));
        assert!(endless(b"", &[0; 100]).contains("garbage_bytes"));
        assert!(endless(b"", &b"\r\n".repeat(100)).contains("garbage_bytes"));
    }

    #[test]
    fn a_body_of_4_gb_and_10_000_headers_are_refused_at_once() {
        let mut reader = MessageReader::new(Limits::default());
        reader.push(Bytes::from_static(b"ANNOUNCE rtsp://h/a RTSP/1.0\r\nContent-Length: 4294967296\r\n\r\n"));
        assert!(matches!(reader.read(), Err(RtspError::LimitExceeded { limit: "body_bytes", .. })));
        let mut reader = MessageReader::new(Limits { header_bytes: 1 << 20, ..Limits::default() });
        reader.push(format!("PLAY * RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(10_000)).into());
        assert!(matches!(reader.read(), Err(RtspError::LimitExceeded { limit: "headers", .. })));
    }
}
