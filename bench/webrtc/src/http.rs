//! As much of HTTP as WHEP needs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A server that does not answer for so long is none.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Sends an offer on a connection of its own, as somebody who comes does; returns the answer.
pub fn post_offer(server: SocketAddr, path: &str, offer: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("POST {path}: {error}");
    let mut socket = TcpStream::connect(server).map_err(failed)?;
    socket.set_read_timeout(Some(ANSWER_TIME)).map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let length = offer.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{offer}"
    );
    socket.write_all(request.as_bytes()).map_err(failed)?;
    let mut response = Vec::new();
    socket.read_to_end(&mut response).map_err(failed)?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").ok_or("an answer without an end")?;
    match head.split(' ').nth(1) {
        Some("201") => Ok(body.to_owned()),
        _ => Err(format!("POST {path}: {} {body}", head.lines().next().unwrap_or_default())),
    }
}
