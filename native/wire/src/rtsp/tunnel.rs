//! RTSP over HTTP (Apple, *Tunnelling RTSP and RTP over HTTP*): for clients whose firewall lets nothing else through.
//!
//! A client makes two connections and names both by one cookie: what it is sent comes as the answer to a GET without an end, what it says is the
//! Base64 body of a POST without an end.

use super::{RtspError, reader::head_end};
use crate::base64;

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
}

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
    let mut lines = text.lines();
    let is_http = lines.next().is_some_and(|start| start.ends_with(" HTTP/1.0") || start.ends_with(" HTTP/1.1"));
    let cookie = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-sessioncookie").then(|| value.trim().to_owned())
    });
    let cookie = cookie.filter(|cookie| is_http && !cookie.is_empty() && cookie.len() <= COOKIE_MAX);
    let cookie = cookie.ok_or(RtspError::Malformed { what: "tunnel over HTTP", offset: 0 })?;
    let opening = if method == b"GET " { Opening::Get(cookie) } else { Opening::Post(cookie) };
    Ok(Some((opening, end)))
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
