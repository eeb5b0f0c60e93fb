use super::*;

const PLAIN: &str = "GET /live/cam/v0.m3u8?a=b HTTP/1.1\r\nHost: x\r\nUser-Agent: p\r\nOrigin: y\r\n\r\n";

#[test]
fn a_plain_request_is_read_whole_and_its_beginnings_are_waited_for() {
    let two = format!("{PLAIN}GET");
    let request = PlainGet::parse(two.as_bytes()).unwrap();
    assert_eq!((request.head_bytes, request.target), (PLAIN.len(), "/live/cam/v0.m3u8?a=b"));
    assert_eq!(request.heard, [Some(&b"p"[..]), None, None, None, None, None, None]);
    for end in 0..PLAIN.len() {
        assert_eq!(PlainGet::parse(&PLAIN.as_bytes()[..end]), Err(NotPlain::Part), "{end}");
    }
}

#[test]
fn every_header_that_matters_is_heard() {
    let lines: String = HEARD.iter().map(|name| format!("{}:  of {name}\t\r\n", name.to_uppercase())).collect();
    let text = format!("GET / HTTP/1.1\r\nhost:\r\n{lines}\r\n");
    let request = PlainGet::parse(text.as_bytes()).unwrap();
    for (name, value) in HEARD.iter().zip(request.heard) {
        assert_eq!(value, Some(format!("of {name}").as_bytes()));
    }
}

/// Found by reading: whatever a browser fetched over HTTP/1.1 went the slow way.
#[test]
fn what_a_browser_says_of_the_connection_is_plain() {
    for said in ["Connection: keep-alive", "connection:Keep-Alive\t"] {
        let text = PLAIN.replace("Host: x", &format!("Host: x\r\n{said}"));
        assert_eq!(PlainGet::parse(text.as_bytes()).map(|request| request.head_bytes), Ok(text.len()), "{said}");
    }
}

#[test]
fn everything_else_is_left() {
    let with = |header: &str| PLAIN.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    let many: String = (0..HEADERS_MAX).map(|n| format!("x{n}: y\r\n")).collect();
    for other in [
        PLAIN.replace("GET", "HEAD"),
        PLAIN.replace("GET", "POST"),
        PLAIN.replace("GET", "get"),
        PLAIN.replace("1.1", "1.0"),
        PLAIN.replace("1.1", "2.0"),
        PLAIN.replace("/live", "http://x/live"),
        PLAIN.replace("/live/cam/v0.m3u8?a=b", "*"),
        PLAIN.replace("Host: x\r\n", ""),
        with("host: y"),
        with("User-Agent: q"),
        with("Content-Length: 0"),
        with("transfer-encoding: chunked"),
        with("Connection: close"),
        with("Connection: keep-alive, Upgrade"),
        with("Connection: keep-alive\r\nConnection: close"),
        with("Connection:"),
        with("Connection: upgrade\r\nupgrade: websocket"),
        with("Expect: 100-continue"),
        with("TE: trailers"),
        with("Trailer: x"),
        with(many.trim_end()),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        "\x16\x03\x01\0\r\n\r\n".into(),
    ] {
        assert_eq!(PlainGet::parse(other.as_bytes()), Err(NotPlain::Other), "{other}");
    }
}

/// RFC 9112 §11.2 and what is known to be read differently by different servers.
#[test]
fn what_could_hide_a_second_request_is_left() {
    let with = |header: &str| PLAIN.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    for other in [
        with("Content-Length : 5"),
        with("Transfer-Encoding\t: chunked"),
        with("X: y\r\n Content-Length: 5"),
        with("X: y\rContent-Length: 5"),
        with("X: y\0"),
        with("Content-Length: 5\r\nContent-Length: 6"),
        with("cOnTeNt-LeNgTh: +5"),
        with("Transfer-Encoding: xchunked"),
        with(": y"),
        PLAIN.replace("Host: x", "Host : x"),
        PLAIN.replace("GET /", "GET\t/"),
    ] {
        assert_eq!(PlainGet::parse(other.as_bytes()).err(), Some(NotPlain::Other), "{other:?}");
    }
}

#[test]
fn a_value_with_control_characters_or_other_alphabets_is_no_text_and_does_no_harm() {
    let named = PLAIN.replace("User-Agent: p", "User-Agent: \u{fc}\u{7}");
    let heard = PlainGet::parse(named.as_bytes()).map(|request| request.heard[0]);
    assert_eq!(heard, Err(NotPlain::Other));
    let named = PLAIN.replace("User-Agent: p", "User-Agent: \u{fc}");
    assert_eq!(PlainGet::parse(named.as_bytes()).unwrap().heard[0], Some("\u{fc}".as_bytes()));
}

#[test]
fn a_head_ends_with_a_line() {
    let whole_at: Vec<usize> =
        (1..=PLAIN.len()).filter(|end| PlainGet::parse(&PLAIN.as_bytes()[..*end]).is_ok()).collect();
    assert_eq!(whole_at, [PLAIN.len()]);
    assert!(can_end(b"\r\n") && can_end(b"\n") && !can_end(b"\r") && !can_end(b""));
}
