//! Requests for files, one behind the other; what is read must not depend on how it is cut, and nothing may hide in it.

use arcly_wire::http::{HEARD, NotPlain, PlainGet, can_end};

use super::Target;
use crate::mutate::Input;

/// As the origin: whoever says more without an end is another reader's.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Read byte by byte too.
const SHORT_BYTES: usize = 512;

/// Headers behind which a body, another protocol or the end of the connection may come.
const BODY: [&str; 6] = ["content-length", "transfer-encoding", "connection", "upgrade", "expect", "trailer"];

pub const TARGET: Target =
    Target { name: "http_request", vectors, edit: None, buffered_bytes_max: HEAD_BYTES_MAX, run };

fn vectors() -> Vec<Vec<u8>> {
    let plain =
        b"GET /live/cam/v0.m3u8?_HLS_msn=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: p\r\nAccept-Encoding: gzip\r\n\r\n";
    let range =
        b"GET /a HTTP/1.1\nhost: h\nRange: bytes=0-1\nIf-Range: \"x\"\nIf-None-Match: *\nAuthorization: Bearer x\n\n";
    let many = |count: usize| {
        let lines: String = (0..count).map(|n| format!("x{n}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes()
    };
    let smuggled = b"GET /b HTTP/1.1\r\nHost: h\r\nX: y\r\n \r\nContent-Length : 30\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
    vec![
        [&plain[..], range, plain].concat(),
        [&plain[..], smuggled, plain].concat(),
        [&b"\r\n\r\n"[..], plain, b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", plain].concat(),
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        [many(31), many(32)].concat(),
        long.into_bytes(),
    ]
}

fn run(input: &Input) -> usize {
    // Of a head without an end only so much is read, and the rest is another reader's.
    let bytes = input.bytes.get(..HEAD_BYTES_MAX).unwrap_or(&input.bytes);
    let whole = read([bytes].into_iter());
    let mut behind = 0;
    let cut = input.pieces().filter_map(|piece| {
        let from = behind;
        behind = (from + piece.len()).min(bytes.len());
        bytes.get(from..behind).filter(|piece| !piece.is_empty())
    });
    assert_eq!(read(cut), whole, "the cuts change what is read");
    if bytes.len() <= SHORT_BYTES {
        assert_eq!(read(bytes.chunks(1)), whole, "the cuts change what is read");
    }
    assert!(bytes.starts_with(&whole.heads.concat()), "requests lie one behind the other, and nothing between them");
    bytes.len()
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    heads: Vec<Vec<u8>>,
    /// The rest is none of ours.
    is_left: bool,
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let (mut seen, mut buffer) = (Seen::default(), Vec::new());
    for piece in pieces {
        let is_worth_it = buffer.is_empty() || can_end(piece);
        buffer.extend_from_slice(piece);
        if is_worth_it {
            take_whole(&mut seen, &mut buffer);
        }
    }
    take_whole(&mut seen, &mut buffer);
    seen
}

/// Takes the requests that are whole.
fn take_whole(seen: &mut Seen, buffer: &mut Vec<u8>) {
    while !seen.is_left && !buffer.is_empty() {
        match PlainGet::parse(buffer) {
            Ok(request) => {
                let head: Vec<u8> = buffer.get(..request.head_bytes).unwrap_or_default().to_vec();
                check(&head, &request);
                buffer.drain(..head.len());
                seen.heads.push(head);
            }
            Err(NotPlain::Part) => return,
            Err(NotPlain::Other) => seen.is_left = true,
        }
    }
}

/// Reads the head again, line by line and slowly: it says one thing only, and has no body.
fn check(head: &[u8], request: &PlainGet<'_>) {
    let text: Vec<char> = head.iter().map(|&byte| char::from(byte)).collect();
    let text: String = text.into_iter().collect();
    assert!(!text.replace("\r\n", "\n").contains(['\r', '\0']), "a line ends in one way only");
    let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    // RFC 9112 §2.2: empty lines in front of a request are passed over.
    let mut lines = lines.into_iter().skip_while(|line| line.is_empty());
    let target: String = request.target.bytes().map(char::from).collect();
    assert_eq!(lines.next(), Some(format!("GET {target} HTTP/1.1").as_str()));
    assert!(target.starts_with('/') && !target.contains([' ', '\t']));
    let (mut hosts, mut heard) = (0, [const { None::<String> }; HEARD.len()]);
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or_default();
        assert!(!name.is_empty() && !name.contains(|letter: char| letter.is_whitespace()), "a name: {line:?}");
        let name = name.to_ascii_lowercase();
        hosts += usize::from(name == "host");
        let is_kept = name == "connection" && value.trim_matches([' ', '\t']).eq_ignore_ascii_case("keep-alive");
        assert!(is_kept || !BODY.contains(&name.as_str()), "a body could follow: {line:?}");
        if let Some((_, place)) = HEARD.iter().zip(&mut heard).find(|(known, _)| **known == name) {
            assert_eq!(place.replace(value.trim_matches([' ', '\t']).to_owned()), None, "said twice");
        }
    }
    assert!(lines.eq([""]), "the head ends with its empty line");
    assert_eq!(hosts, 1);
    let said = request.heard.map(|value| value.map(|value| value.iter().map(|&byte| char::from(byte)).collect()));
    assert_eq!(heard, said);
}
