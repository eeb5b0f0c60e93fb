//! What a client says: pings and its goodbye are answered, messages are passed over, or handed out as one stream.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{CONTROL_BYTES_MAX, CloseCode, FIN, close, control, opcode};

/// Bytes of the longest header of a client's frame: two, a length of eight, a mask of four (RFC 6455 §5.2).
const HEADER_BYTES_MAX: usize = 14;

/// Reads the frames of one client, however they are cut. Holds a hundred bytes and never more.
#[derive(Debug, Default)]
pub struct Listener {
    header: Short<HEADER_BYTES_MAX>,
    /// The frame whose payload comes.
    frame: Option<FrameHeader>,
    /// Payload of a control frame, unmasked.
    payload: Short<CONTROL_BYTES_MAX>,
    /// A message has begun whose last fragment has not come (§5.4).
    is_in_message: bool,
    /// To be said, in this order.
    pong: Option<Bytes>,
    goodbye: Option<Bytes>,
    /// Bytes read, for errors.
    offset: u64,
    is_closed: bool,
}

/// Why a client is not listened to any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSocketError {
    /// The rule that was broken.
    pub what: &'static str,
    /// Bytes from the first frame to the one that breaks it.
    pub offset: u64,
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for WebSocketError {}

#[derive(Debug, Clone, Copy)]
struct FrameHeader {
    opcode: u8,
    mask: [u8; 4],
    left: u64,
    /// Bytes of the payload that were read, of use modulo 4 only.
    read: usize,
}

impl Listener {
    /// Takes what the client has sent, and passes its messages over. Once it has said goodbye, the rest is ignored (§5.5.1).
    ///
    /// # Errors
    /// [`WebSocketError`] for a client that breaks the rules. The answer tells it so, and nothing more is heard (§7.1.7).
    pub fn hear(&mut self, input: &[u8]) -> Result<(), WebSocketError> {
        self.read(input, None)
    }

    /// As [`hear`](Self::hear), and appends what its messages say to `data`, for protocols to which the bounds of messages mean nothing. It is
    /// never more than `input`.
    ///
    /// # Errors
    /// As [`hear`](Self::hear); what came before is in `data`.
    pub fn hear_into(&mut self, input: &[u8], data: &mut BytesMut) -> Result<(), WebSocketError> {
        self.read(input, Some(data))
    }

    fn read(&mut self, mut input: &[u8], mut data: Option<&mut BytesMut>) -> Result<(), WebSocketError> {
        while !input.is_empty() && !self.is_closed {
            match self.frame {
                None => self.read_header(&mut input).inspect_err(|_| self.refuse(CloseCode::ProtocolError))?,
                Some(frame) => self.read_payload(frame, &mut input, data.as_deref_mut()),
            }
        }
        Ok(())
    }

    /// Stops listening to a client that says too much, and tells it so.
    pub fn refuse(&mut self, code: CloseCode) {
        self.goodbye = Some(close(code));
        self.is_closed = true;
    }

    /// What is to be said in answer, in whole frames.
    pub fn take_answer(&mut self) -> Option<Bytes> {
        self.pong.take().or_else(|| self.goodbye.take())
    }

    /// Whether there is an answer to be taken.
    pub fn has_answer(&self) -> bool {
        self.pong.is_some() || self.goodbye.is_some()
    }

    /// The client has said goodbye, or has been told it: once the answers have gone, so may the connection (§7.1.1).
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Result<(), WebSocketError> {
        let Some((&byte, rest)) = input.split_first() else { return Ok(()) };
        *input = rest;
        self.header.push(byte);
        let begun = self.offset;
        let refused = |what| WebSocketError { what, offset: begun };
        let Some(frame) = FrameHeader::parse(self.header.bytes()).map_err(refused)? else { return Ok(()) };
        let [first, ..] = *self.header.bytes() else { return Ok(()) };
        self.offset = self.offset.saturating_add(self.header.bytes().len() as u64).saturating_add(frame.left);
        self.header.clear();
        self.follow(frame.opcode, first & FIN != 0).map_err(refused)?;
        self.payload.clear();
        self.frame = Some(frame);
        self.end_frame_if_over();
        Ok(())
    }

    /// Checks that messages are made of a first frame and its continuations; control frames may stand between (§5.4).
    fn follow(&mut self, opcode: u8, is_last: bool) -> Result<(), &'static str> {
        match opcode {
            opcode::CONTINUATION if !self.is_in_message => return Err("a continuation of no message"),
            opcode::TEXT | opcode::BINARY if self.is_in_message => return Err("a message within a message"),
            opcode::CONTINUATION | opcode::TEXT | opcode::BINARY => self.is_in_message = !is_last,
            _ => {}
        }
        Ok(())
    }

    fn read_payload(&mut self, mut frame: FrameHeader, input: &mut &[u8], data: Option<&mut BytesMut>) {
        let here = usize::try_from(frame.left).unwrap_or(usize::MAX).min(input.len());
        let (now, later) = input.split_at_checked(here).unwrap_or((input, &[]));
        *input = later;
        let unmasked = now.iter().zip(frame.mask.iter().cycle().skip(frame.read % 4)).map(|(byte, mask)| byte ^ mask);
        match data {
            _ if frame.is_control() => unmasked.for_each(|byte| self.payload.push(byte)),
            Some(data) => data.extend(unmasked),
            None => {}
        }
        frame.left -= now.len() as u64;
        frame.read = frame.read.wrapping_add(now.len());
        self.frame = Some(frame);
        self.end_frame_if_over();
    }

    fn end_frame_if_over(&mut self) {
        let Some(frame) = self.frame.take_if(|frame| frame.left == 0) else { return };
        match frame.opcode {
            opcode::PING => self.pong = Some(control(opcode::PONG, self.payload.bytes())),
            opcode::CLOSE => {
                // The same code comes back (§5.5.1); none when none was said.
                let code = self.payload.bytes().get(..2).unwrap_or_default();
                self.goodbye = Some(control(opcode::CLOSE, code));
                self.is_closed = true;
            }
            _ => {}
        }
    }
}

impl FrameHeader {
    /// None while more of it has to come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let opcode = first & 0x0f;
        if first & 0x70 != 0 {
            return Err("a reserved bit that no extension defines");
        }
        if !matches!(opcode, opcode::CONTINUATION..=opcode::BINARY | opcode::CLOSE..=opcode::PONG) {
            return Err("a reserved opcode");
        }
        if second & 0x80 == 0 {
            return Err("a frame of a client without a mask");
        }
        let is_control = opcode >= opcode::CLOSE;
        if is_control && (first & FIN == 0 || usize::from(second & 0x7f) > CONTROL_BYTES_MAX) {
            return Err("a control frame that is long or cut");
        }
        let (length, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        if length > i64::MAX as u64 {
            return Err("a length of 64 bits");
        }
        Ok(rest.first_chunk().map(|&mask| Self { opcode, mask, left: length, read: 0 }))
    }

    fn is_control(&self) -> bool {
        self.opcode >= opcode::CLOSE
    }
}

/// A few bytes in place.
#[derive(Debug)]
struct Short<const MAX: usize> {
    bytes: [u8; MAX],
    length: usize,
}

impl<const MAX: usize> Default for Short<MAX> {
    fn default() -> Self {
        Self { bytes: [0; MAX], length: 0 }
    }
}

impl<const MAX: usize> Short<MAX> {
    /// A byte that finds no room is left out: whoever fills it has checked the length.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A frame as a client sends it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            length @ 0..=125 => out.push(0x80 | length as u8),
            length @ 126..=0xffff => out.extend([&[0xfe][..], &(length as u16).to_be_bytes()].concat()),
            length => out.extend([&[0xff][..], &(length as u64).to_be_bytes()].concat()),
        }
        out.extend(MASK);
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn answers(listener: &mut Listener) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| listener.take_answer()).map(|bytes| bytes.to_vec()).collect()
    }

    /// RFC 6455 §5.7: a masked "Hello" is a message of text; its ping and pong.
    #[test]
    fn the_examples_of_the_specification() {
        let mut listener = Listener::default();
        listener.hear(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").unwrap();
        assert_eq!(answers(&mut listener), Vec::<Vec<u8>>::new());
        listener.hear(b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").unwrap();
        assert_eq!(answers(&mut listener), [b"\x8a\x05Hello"]);
        assert!(!listener.is_closed());
    }

    #[test]
    fn every_split_of_a_session_is_heard_the_same() {
        let session = [
            frame(0x01, b"a message "),
            frame(0x89, b"between"),
            frame(0x80, &[7; 300]),
            frame(0x82, &[8; 70_000]),
            frame(0x8a, b"unasked"),
            frame(0x89, b""),
            frame(0x88, b"\x03\xe9going"),
            b"whatever".to_vec(),
        ]
        .concat();
        let ends = [&b"\x8a\x00"[..], b"\x88\x02\x03\xe9"];
        for cut in (0..2000).chain(session.len() - 60..session.len()) {
            let mut listener = Listener::default();
            let (first, second) = session.split_at(cut);
            listener.hear(first).unwrap();
            let mut said = answers(&mut listener);
            listener.hear(second).unwrap();
            said.extend(answers(&mut listener));
            assert_eq!(said.iter().rev().take(2).rev().collect::<Vec<_>>(), ends, "{cut}");
            assert!(listener.is_closed());
        }
        let mut listener = Listener::default();
        session.iter().for_each(|&byte| listener.hear(&[byte]).unwrap());
        assert_eq!(answers(&mut listener), ends, "only the newest ping is answered, and nothing twice");
    }

    #[test]
    fn messages_are_handed_out_as_one_stream_however_they_are_cut() {
        let session =
            [frame(0x02, b"one "), frame(0x89, b"ping"), frame(0x80, b"two "), frame(0x82, &[b'3'; 130])].concat();
        let whole = [&b"one two "[..], &[b'3'; 130]].concat();
        for cut in 0..session.len() {
            let (mut listener, mut data) = (Listener::default(), BytesMut::new());
            listener.hear_into(&session[..cut], &mut data).unwrap();
            listener.hear_into(&session[cut..], &mut data).unwrap();
            assert_eq!(data, whole, "{cut}");
            assert_eq!(answers(&mut listener), [b"\x8a\x04ping"]);
        }
    }

    #[test]
    fn a_goodbye_without_a_code_is_answered_without_one() {
        for (payload, answer) in
            [(&b""[..], &b"\x88\x00"[..]), (b"\x03", b"\x88\x00"), (b"\x0f\xa0x", b"\x88\x02\x0f\xa0")]
        {
            let mut listener = Listener::default();
            listener.hear(&frame(0x88, payload)).unwrap();
            assert_eq!(answers(&mut listener), [answer]);
        }
    }

    #[test]
    fn who_breaks_the_rules_is_told_which_and_where() {
        let ping = frame(0x89, b"four");
        for (input, what) in [
            (b"\x81\x05Hello".to_vec(), "a frame of a client without a mask"),
            (frame(0xc1, b"x"), "a reserved bit that no extension defines"),
            (frame(0x83, b"x"), "a reserved opcode"),
            (frame(0x8b, b"x"), "a reserved opcode"),
            (frame(0x09, b"x"), "a control frame that is long or cut"),
            (frame(0x89, &[0; 126]), "a control frame that is long or cut"),
            (frame(0x80, b"x"), "a continuation of no message"),
            ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), "a message within a message"),
            (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "a length of 64 bits"),
        ] {
            let mut listener = Listener::default();
            let error = listener.hear(&[&ping[..], &input].concat()).unwrap_err();
            let begun = if what == "a message within a message" { 17 } else { 10 };
            assert_eq!(error, WebSocketError { what, offset: begun });
            assert_eq!(answers(&mut listener).pop().unwrap(), b"\x88\x02\x03\xea");
            assert!(listener.is_closed());
        }
    }
}
