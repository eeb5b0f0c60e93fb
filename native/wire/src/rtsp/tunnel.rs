//! RTSP through HTTP, for clients whose firewall lets nothing else through, and for pages, which have no sockets.
//!
//! By HTTP (Apple, *Tunnelling RTSP and RTP over HTTP*) a client makes two connections and names both by one cookie: what it is sent comes as
//! the answer to a GET without an end, what it says is the Base64 body of a POST without an end. By WebSocket (ONVIF Streaming Specification,
//! *RTP/RTSP/HTTP/TCP over WebSocket*) it makes one: binary messages carry both directions, cut anywhere.

use super::{RtspError, reader::head_end};
use crate::{base64, websocket::accept_key};

/// Bytes of a head; real ones have three hundred.
const HEAD_BYTES_MAX: usize = 4 << 10;
/// Characters of a cookie; real ones have 22 to 40.
const COOKIE_MAX: usize = 128;
/// How a head begins.
const METHODS: [&[u8]; 2] = [b"GET ", b"POST "];

/// The answer to a GET.
pub const ACCEPTED: &[u8] =
    b"HTTP/1.0 200 OK\r\nServer: arcly\r\nConnection: close\r\nCache-Control: no-store\r\nPragma: no-cache\r\n\
    Content-Type: application/x-rtsp-tunnelled\r\n\r\n";
/// The answer to what is neither.
pub const REFUSED: &[u8] = b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n";

/// How a connection begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// With RTSP itself.
    Rtsp,
    /// With the half of a tunnel that we speak on.
    Get(String),
    /// With the half that we hear.
    Post(String),
    /// With a WebSocket; this answers it.
    WebSocket(String),
}

/// The subprotocol of RTSP in a WebSocket, as ONVIF has registered it.
const SUBPROTOCOL: &str = "rtsp.onvif.org";

/// What a connection that began with these bytes is, and how many of them that takes; none when more have to come.
///
/// # Errors
/// [`RtspError`] for HTTP that is no tunnel.
pub fn opening(bytes: &[u8]) -> Result<Option<(Opening, usize)>, RtspError> {
    let may_be = |method: &&[u8]| bytes.iter().zip(method.iter()).all(|(a, b)| a == b);
    let Some(method) = METHODS.into_iter().find(may_be) else { return Ok(Some((Opening::Rtsp, 0))) };
    if bytes.len() < method.len() {
        return Ok(None);
    }
    let Some(end) = head_end(bytes, 0) else {
        let seen = bytes.len();
        let is_too_long = seen > HEAD_BYTES_MAX;
        return if is_too_long { Err(RtspError::limit("header_bytes", HEAD_BYTES_MAX, seen as u64)) } else { Ok(None) };
    };
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let is_http = |start: &str| start.ends_with(" HTTP/1.0") || start.ends_with(" HTTP/1.1");
    let refused = RtspError::Malformed { what: "tunnel over HTTP", offset: 0 };
    if !text.lines().next().is_some_and(is_http) {
        return Err(refused);
    }
    let opening = match method {
        b"GET " if header(&text, "upgrade").is_some_and(|kind| kind.eq_ignore_ascii_case("websocket")) => {
            websocket(&text).map(Opening::WebSocket)
        }
        b"GET " => cookie(&text).map(Opening::Get),
        _ => cookie(&text).map(Opening::Post),
    };
    Ok(Some((opening.ok_or(refused)?, end)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let of_name = |line: &'a str| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    };
    head.lines().find_map(of_name)
}

fn cookie(head: &str) -> Option<String> {
    let cookie = header(head, "x-sessioncookie")?;
    (!cookie.is_empty() && cookie.len() <= COOKIE_MAX).then(|| cookie.to_owned())
}

/// The answer to a handshake (RFC 6455 §4.2.2); none to what is no whole one, or is for another protocol.
fn websocket(head: &str) -> Option<String> {
    let proof = accept_key(header(head, "sec-websocket-key")?)?;
    let is_ours = |offered: &str| offered.split(',').any(|name| name.trim() == SUBPROTOCOL);
    let protocol = match header(head, "sec-websocket-protocol") {
        None => String::new(),
        Some(offered) if is_ours(offered) => format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"),
        Some(_) => return None,
    };
    (header(head, "sec-websocket-version")? == "13").then(|| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nServer: arcly\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: {proof}\r\n{protocol}\r\n"
        )
    })
}

/// Reads Base64 that comes cut anywhere, in parts that each may have padding of their own.
#[derive(Debug, Default)]
pub struct Base64Reader {
    /// Letters of a group that is not whole.
    begun: Vec<u8>,
}

impl Base64Reader {
    /// The bytes that are whole.
    ///
    /// # Errors
    /// [`RtspError::Malformed`] for what is no Base64.
    pub fn read(&mut self, text: &[u8]) -> Result<Vec<u8>, RtspError> {
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
        for letter in text.iter().filter(|letter| !letter.is_ascii_whitespace()) {
            self.begun.push(*letter);
            if self.begun.len() == 4 {
                let group = base64::decode(&self.begun).ok_or(RtspError::Malformed { what: "Base64", offset: 0 })?;
                bytes.extend_from_slice(&group);
                self.begun.clear();
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /live/cam HTTP/1.0\r\nUser-Agent: x\r\nX-SessionCookie: abc\r\nAccept: application/x-rtsp-tunnelled\r\n\r\nrest";

    #[test]
    fn halves_of_a_tunnel_are_known_however_they_are_cut() {
        let end = GET.len() - 4;
        for cut in 1..end {
            assert_eq!(opening(&GET[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(opening(GET), Ok(Some((Opening::Get("abc".into()), end))));
        let post = b"POST /a HTTP/1.1\r\nx-sessioncookie: abc\r\nContent-Length: 32767\r\n\r\n";
        assert_eq!(opening(post), Ok(Some((Opening::Post("abc".into()), post.len()))));
    }

    #[test]
    fn a_websocket_is_for_rtsp_or_for_nothing_that_is_named() {
        let head = "GET /live HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (more, said) in [("", false), ("Sec-WebSocket-Protocol: chat, rtsp.onvif.org\r\n", true)] {
            let text = format!("{head}{more}\r\n");
            let Ok(Some((Opening::WebSocket(answer), end))) = opening(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(end, text.len());
            assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
            assert_eq!(answer.contains("Sec-WebSocket-Protocol: rtsp.onvif.org\r\n"), said);
        }
        for (from, to) in
            [("Version: 13", "Version: 12"), ("jZQ==", "jZQ"), ("13\r\n", "13\r\nSec-WebSocket-Protocol: chat\r\n")]
        {
            let text = format!("{head}\r\n").replacen(from, to, 1);
            assert!(opening(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_rtsp_or_refused() {
        for text in ["OPTIONS * RTSP/1.0\r\n", "GET_PARAMETER * RTSP/1.0\r\n", "$", "PLAY"] {
            assert_eq!(opening(text.as_bytes()), Ok(Some((Opening::Rtsp, 0))), "{text}");
        }
        assert_eq!(opening(b""), Ok(None));
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET /\r\nx-sessioncookie: a\r\n\r\n",
            "POST / HTTP/1.0\r\nx-sessioncookie:\r\n\r\n",
        ] {
            assert!(opening(text.as_bytes()).is_err(), "{text}");
        }
        assert!(opening(&[b"GET / HTTP/1.0\r\n".as_slice(), &[b'a'; 5000]].concat()).is_err());
    }

    #[test]
    fn base64_is_read_over_cuts_and_padding() {
        let text = b"T1BUSU9OUw==\r\nICo=AAAA";
        for cut in 0..text.len() {
            let mut reader = Base64Reader::default();
            let mut bytes = reader.read(&text[..cut]).unwrap();
            bytes.extend(reader.read(&text[cut..]).unwrap());
            assert_eq!(bytes, b"OPTIONS *\0\0\0");
        }
        assert!(Base64Reader::default().read(b"????").is_err());
    }
}
