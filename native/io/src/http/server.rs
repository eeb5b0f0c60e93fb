//! The HTTP listener: HTTP/1.1 and HTTP/2 by hyper, one task per connection.

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arcly_bus::{Log, StreamKey};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    Inbox, ListenError, PlayAsk, PlayDenial,
    accept::{Acceptor, bind},
    egress::{Egress, EgressOptions},
    hls::{
        self, HlsOutput,
        file::File,
        server::{Asked, Member},
    },
    http::{
        Origin,
        app::App,
        lent::{Owner, lend},
        live::{Live, live_path},
        origin::media_path,
        response::{Body, denied, error, method_not_allowed, options},
    },
    play::ask,
    tls::{Connection, TlsIdentity},
};

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Connections at a time. Default 10 000.
    pub connections_max: usize,
    /// The Unix socket of the application that answers what is no media; none answers 404.
    pub app_socket: Option<PathBuf>,
    /// How endless streams leave.
    pub egress: EgressOptions,
    /// Whether the host is asked who may play. Default false: everybody may.
    pub asks: bool,
    /// HTTPS: who we are. Default none: HTTP.
    pub tls: Option<Arc<TlsIdentity>>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { connections_max: 10_000, app_socket: None, egress: EgressOptions::default(), asks: false, tls: None }
    }
}

/// Browsers speak HTTP/2 only where it was agreed upon (RFC 9113 §3.2).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How long a client may take to send the head of a request: stops one that sends a byte a minute.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Requests in flight on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 64;

/// How often an idle HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// A listening HTTP origin. Dropping it ends its connections.
pub struct HttpListener {
    acceptor: Acceptor,
    addr: SocketAddr,
    egress: Arc<Egress>,
}

impl HttpListener {
    /// Listens on `addr` (port 0: any free one) and serves `origin`.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        options: HttpOptions,
        origin: Arc<Origin>,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let listener = bind(addr)?;
        let local = listener.local_addr().map_err(failed)?;
        let gate = options.asks.then(|| inbox.clone());
        let egress = Egress::new(runtime.clone(), options.egress, inbox.clone());
        let (app, host) = (options.app_socket.map(App::new), inbox.clone());
        let site = Site { origin, app, gate, host, egress: egress.clone() };
        let site = Arc::new(site);
        let tls = options.tls.as_ref().map(|identity| identity.acceptor(&ALPN)).transpose();
        let tls = tls.map_err(|error| failed(std::io::Error::other(error)))?;
        let serve = move |stream, peer, stop| serve(stream, peer, stop, site.clone());
        let acceptor =
            Acceptor::spawn(runtime, listener, tls, options.connections_max, inbox, serve).map_err(failed)?;
        Ok(Self { acceptor, addr: local, egress })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who watches endless streams here.
    pub fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Stops listening; answers that have begun are finished, endless ones are ended.
    pub async fn stop(&self) {
        self.egress.kick_all();
        self.acceptor.stop().await;
    }
}

impl Drop for HttpListener {
    fn drop(&mut self) {
        self.egress.kick_all();
    }
}

/// The log of a stream that has begun, or nothing where nobody can begin it.
type Summoned = Result<Option<Arc<Log>>, PlayDenial>;

struct Site {
    origin: Arc<Origin>,
    app: Option<App>,
    gate: Option<Arc<Inbox>>,
    host: Arc<Inbox>,
    egress: Arc<Egress>,
}

async fn serve(stream: Connection, peer: SocketAddr, stop: CancellationToken, site: Arc<Site>) {
    let (stream, owner) = lend(stream);
    let answering = owner.clone();
    let service = service_fn(move |request| {
        let (site, owner) = (site.clone(), answering.clone());
        async move { Ok::<_, Infallible>(site.answer(request, peer, &owner).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What a client does wrong ends its own connection and is nobody's news.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = owner.taken() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = owner.taken() => return,
            }
        }
    }
    if let Some(then) = owner.left() {
        tokio::select! {
            () = then => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Site {
    async fn hls(
        &self,
        output: Arc<HlsOutput>,
        file: File,
        key: StreamKey,
        request: &Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default();
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Only a multivariant playlist and an MPD tell of other streams.
        let group = match file {
            File::Multivariant | File::Mpd => self.origin.group(&key, output),
            _ => vec![Member { base: String::new(), output }],
        };
        let asked = Asked { group, parent: self.origin.parent(&key), file, query };
        let gate = self.gate.as_deref().map(|inbox| {
            let (authorization, agent) = (text(header::AUTHORIZATION).to_owned(), text(header::USER_AGENT).to_owned());
            (
                inbox,
                PlayAsk { key, protocol: "hls", needs_log: false, query: query.to_owned(), authorization, agent, peer },
            )
        });
        hls::server::serve(asked, gate).await
    }

    /// Asks the host for a stream that is not live and that it can begin; none where it cannot.
    async fn summon(&self, key: &StreamKey, request: &Request<Incoming>, peer: SocketAddr) -> Summoned {
        if !self.origin.is_offered(key) || !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(None);
        }
        let text =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let (authorization, agent) = (text(header::AUTHORIZATION), text(header::USER_AGENT));
        let asked = PlayAsk { key: key.clone(), protocol: "http", needs_log: true, query, authorization, agent, peer };
        ask(&self.host, asked).await
    }

    /// What is packaged of a stream; one that has ended begins anew where it can.
    async fn output(
        &self,
        key: &StreamKey,
        request: &Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Option<Arc<HlsOutput>>, PlayDenial> {
        let known = self.origin.hls(key);
        if known.as_ref().is_some_and(|output| !output.is_stale(Duration::ZERO)) || !self.origin.is_offered(key) {
            return Ok(known);
        }
        match self.summon(key, request, peer).await? {
            Some(_) => Ok(self.origin.arrival(key).await),
            None => Ok(known),
        }
    }

    async fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr, owner: &Owner) -> Response<Body> {
        if let Some((key, container)) = live_path(request.uri().path()) {
            let log = match self.origin.live(&key) {
                None => match self.summon(&key, &request, peer).await {
                    Ok(summoned) => summoned,
                    Err(denial) => return denied(denial),
                },
                live => live,
            };
            if let Some(log) = log {
                let live = Live { key, log, container };
                return live.answer(&self.egress, self.gate.as_deref(), &mut request, peer, owner).await;
            }
        }
        match (media_path(request.uri().path()), &self.app) {
            (Some((key, file)), _) => match *request.method() {
                Method::GET | Method::HEAD => match self.output(&key, &request, peer).await {
                    Ok(Some(output)) => self.hls(output, file, key, &request, peer).await,
                    Ok(None) => error(StatusCode::NOT_FOUND, "no such stream is live"),
                    Err(denial) => denied(denial),
                },
                Method::OPTIONS => options(),
                _ => method_not_allowed(),
            },
            (None, Some(app)) => app.call(request, peer).await,
            (None, None) => error(StatusCode::NOT_FOUND, "nothing here; media is at /<app>/<stream>/index.m3u8"),
        }
    }
}
