//! The way to the host's ASGI application: plain HTTP/1.1 over a Unix socket.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

use crate::http::{
    places::Places,
    response::{Body, error, streamed},
    site::Asker,
};

/// How long the application may take to begin its answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Headers that belong to one connection and must not travel on (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The host's application, listening on a Unix socket.
pub(crate) struct App {
    socket: PathBuf,
    places: Arc<Places>,
}

impl App {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, places: Arc::default() }
    }

    /// Passes `request` on and its answer back.
    pub(crate) async fn call(&self, request: Request<Incoming>, asker: Asker) -> Response<Body> {
        let place =
            if request.body().is_end_stream() { self.places.whole() } else { self.places.coming(asker.peer.ip()) };
        let Some(_place) = place else {
            return error(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once");
        };
        match timeout(ANSWER_DEADLINE, self.forward(request, asker)).await {
            Ok(Ok(response)) => streamed(response),
            Ok(Err(_)) => error(StatusCode::BAD_GATEWAY, "the application behind this server does not answer"),
            Err(_) => error(StatusCode::GATEWAY_TIMEOUT, "the application behind this server took too long"),
        }
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        asker: Asker,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the response's body, or with this connection's end.
        tokio::spawn(connection);
        let mut response = sender.send_request(rewrite(request, asker)).await?;
        strip(response.headers_mut());
        Ok(response)
    }
}

/// The request as the application should see it: origin-form target, `Host` whatever the HTTP version, and who really asks.
fn rewrite<B>(request: Request<B>, asker: Asker) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    join_cookies(&mut parts.headers);
    // So an answer ends it, also where the request has not come to its end.
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
    if let Some(target) = parts.uri.path_and_query() {
        parts.uri = target.clone().into();
    }
    parts.version = hyper::Version::HTTP_11;
    if let Ok(address) = HeaderValue::from_str(&asker.peer.ip().to_string()) {
        // What the client claims about itself is not passed on.
        parts.headers.insert(HeaderName::from_static("x-forwarded-for"), address);
    }
    parts.headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static(asker.scheme));
    Request::from_parts(parts, body)
}

/// HTTP/2 may cut them into several fields, of which applications read the first (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

fn strip(headers: &mut HeaderMap) {
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
    headers.remove("keep-alive");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by reading: each piece was a field of its own, and an application that reads one saw nobody's session.
    #[test]
    fn cookies_that_http2_has_cut_into_pieces_reach_the_application_as_one() {
        let request = Request::get("https://host/page").header("cookie", "a=1").header("cookie", "b=2; c=3");
        let asker = Asker { peer: ([127, 0, 0, 1], 1).into(), scheme: "https" };
        let rewritten = rewrite(request.body(()).unwrap(), asker);
        let cookies: Vec<_> = rewritten.headers().get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }
}
