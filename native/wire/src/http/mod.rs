//! The request by which players fetch files: a GET of HTTP/1.1 without a body and without a wish about the connection.
//!
//! Whoever reads more than that kind (`hyper`, where there is a socket) is given every other request with all of its bytes, and decides
//! what is wrong about it. So that the two never see different requests in the same bytes (request smuggling, RFC 9112 §11.2), lines and
//! headers are taken apart by the parser that hyper uses, and whatever could mean that a body or another protocol follows is none of ours.
//!
//! | clause of RFC 9112 | |
//! |---|---|
//! | §2.2 lines, §3 request line, §5 fields | by httparse |
//! | §3.2 one `Host` | here |
//! | §3.2.1 origin form | here; the other forms are left |
//! | §6 a body, §9.6 and §9.8 the end of the connection and its other options, RFC 9110 §7.8 upgrades, §10.1.1 `Expect` | left |
//! | §9.3 `Connection: keep-alive`, which is so anyway | passed over |

/// Headers of a request; one with more is left.
const HEADERS_MAX: usize = 32;

/// Headers that an answer may depend on, in the order of [`PlainGet::heard`].
pub const HEARD: [&str; 7] =
    ["user-agent", "accept-encoding", "authorization", "if-none-match", "range", "if-range", "sec-fetch-mode"];

/// Headers of which nothing is known here.
const FOREIGN: [&str; 6] = ["content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer"];

/// A request for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainGet<'a> {
    /// Path and query as they were sent; begins with `/`.
    pub target: &'a str,
    /// The values of [`HEARD`], as they were sent, without the spaces around them; none of a header that is not there.
    pub heard: [Option<&'a [u8]>; HEARD.len()],
    /// Bytes of the whole request: what follows is the next one.
    pub head_bytes: usize,
}

/// Why bytes are no whole request of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPlain {
    /// They may be the beginning of one.
    Part,
    /// They are something else, whatever comes.
    Other,
}

impl<'a> PlainGet<'a> {
    /// The request that `bytes` begin with.
    ///
    /// # Errors
    /// [`NotPlain`] where they begin with none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NotPlain> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let head_bytes = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => return Err(NotPlain::Part),
            Err(_) => return Err(NotPlain::Other),
        };
        let is_plain = parsed.method == Some("GET") && parsed.version == Some(1);
        let target = parsed.path.filter(|target| is_plain && target.starts_with('/')).ok_or(NotPlain::Other)?;
        Ok(Self { target, heard: heard(parsed.headers)?, head_bytes })
    }
}

/// Whether a head of which there is only a part can be whole with these bytes behind it. Who sends a head byte by byte would have it read
/// again from its beginning with each of them; so it is with each line, and lines are bounded in number.
pub fn can_end(more: &[u8]) -> bool {
    memchr::memchr(b'\n', more).is_some()
}

fn heard<'a>(headers: &[httparse::Header<'a>]) -> Result<[Option<&'a [u8]>; HEARD.len()], NotPlain> {
    let mut heard = [None; HEARD.len()];
    let mut hosts = 0;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // §9.3: what holds anyway, and what all browsers say.
        let is_wish = is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive");
        if is_wish || FOREIGN.iter().any(|name| is(name)) {
            return Err(NotPlain::Other);
        }
        hosts += usize::from(is("host"));
        let place = HEARD.iter().zip(&mut heard).find(|(name, _)| is(name)).map(|(_, place)| place);
        // What is said twice is to be joined, or is a fault.
        if place.is_some_and(|place| place.replace(header.value).is_some()) {
            return Err(NotPlain::Other);
        }
    }
    // §3.2: one, and no more.
    if hosts == 1 { Ok(heard) } else { Err(NotPlain::Other) }
}

#[cfg(test)]
mod tests;
