//! Endless streams as WebSocket messages (RFC 6455), at the same paths: `ws://host/<app>/<stream>.flv`.
//!
//! Any page may open one, as it may fetch the same stream over HTTP, so `Origin` is not looked at (§10.2); who may play is asked the same way.
//! A connection without TLS goes to the pump, which also hears the viewer. An encrypted one is written to by the task that it has anyway.
//! Over HTTP/2 there is no upgrade (RFC 8441 is not done): browsers open a connection of HTTP/1.1 for it.

use std::time::Duration;

use arcly_wire::websocket::{Listener, accept_key};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode, Version,
    header::{self, HeaderName, HeaderValue},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    time::timeout,
};

use crate::{
    egress::{Container, Framing, Head, PacketBody, Ticket},
    http::{
        lent::Owner,
        live::{look_after, refused},
        response::{Body, error, full},
    },
};

/// Bytes read of an encrypted viewer at a time.
const READ_BYTES: usize = 512;

/// Whether a request asks for WebSocket, rightly or wrongly.
pub(crate) fn is_asked<B>(request: &Request<B>) -> bool {
    let has = |name: HeaderName, token: &str| {
        let values = request.headers().get_all(name);
        let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
    };
    let can_upgrade = request.version() == Version::HTTP_11 && request.method() == hyper::Method::GET;
    can_upgrade && has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// The proof for a request that asks for WebSocket; the answer to one that asks wrongly (§4.2.1).
pub(crate) fn proof<B>(request: &Request<B>) -> Result<String, Box<Response<Body>>> {
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::SEC_WEBSOCKET_VERSION).map(str::trim) != Some("13") {
        let mut refusal = error(StatusCode::UPGRADE_REQUIRED, "this is version 13 of WebSocket");
        refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        refusal.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(refusal.into());
    }
    let proof = text(header::SEC_WEBSOCKET_KEY).and_then(|key| accept_key(key.trim()));
    proof.ok_or_else(|| error(StatusCode::BAD_REQUEST, "a Sec-WebSocket-Key is 16 bytes in base64").into())
}

/// Makes the connection a viewer's. Never returns when the pump has taken it.
pub(crate) async fn switch<B>(
    ticket: Ticket,
    container: Container,
    proof: &str,
    request: &mut Request<B>,
    owner: &Owner,
) -> Response<Body> {
    if let Some(socket) = owner.take() {
        // Nobody is left who could be told of a failure: the connection ends by it.
        let _ = ticket.play(container, Framing::WebSocket, socket, Head::Bytes(head(proof)), None);
        return std::future::pending().await;
    }
    let (stall_max, unsent_max) = (ticket.stall_max(), ticket.unsent_max());
    match ticket.body(container, Framing::WebSocket) {
        Ok(packets) => {
            look_after(owner, packets.watch(stall_max), unsent_max);
            owner.leave(converse(hyper::upgrade::on(request), packets, stall_max));
            switching(proof)
        }
        Err(error) => refused(&error),
    }
}

/// The answer that [`switching`] is, as bytes (§4.2.2).
fn head(proof: &str) -> Bytes {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {proof}\r\n\r\n"
    )
    .into()
}

fn switching(proof: &str) -> Response<Body> {
    let mut response = full(StatusCode::SWITCHING_PROTOCOLS, Bytes::new(), "", "no-store");
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(proof) = HeaderValue::from_str(proof) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, proof);
    }
    response
}

/// The whole of an encrypted viewer's WebSocket. Who asks and asks and does not read is ended by the deadline of a write.
async fn converse(upgrade: OnUpgrade, mut packets: PacketBody, stall_max: Duration) {
    let Ok(connection) = upgrade.await else { return };
    let (mut reader, mut writer) = split(TokioIo::new(connection));
    let (mut listener, mut buffer) = (Listener::default(), [0; READ_BYTES]);
    let mut is_over = false;
    while !is_over {
        let said = tokio::select! {
            packet = packets.frame() => match packet {
                Some(Ok(packet)) => packet.into_data().unwrap_or_default(),
                _ => {
                    is_over = true;
                    packets.end()
                }
            },
            read = reader.read(&mut buffer) => {
                let Ok(read @ 1..) = read else { return };
                // It is told of its fault by the answer.
                let _ = listener.hear(buffer.get(..read).unwrap_or_default());
                is_over = listener.is_closed();
                let answers: Vec<Bytes> = std::iter::from_fn(|| listener.take_answer()).collect();
                answers.concat().into()
            }
        };
        let Ok(Ok(())) = timeout(stall_max, async {
            writer.write_all(&said).await?;
            writer.flush().await
        })
        .await
        else {
            return;
        };
    }
    let _ = timeout(stall_max, writer.shutdown()).await;
}
