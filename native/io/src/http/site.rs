//! What is served under which path: media here, everything else by the host's application. Shared by all listeners of an origin, and asked
//! by hosts that have a server of their own.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arcly_bus::{Log, StreamKey};
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use tokio::runtime::Handle;

use crate::{
    Inbox, PlayAsk, PlayDenial,
    egress::{Container, Egress, EgressOptions},
    hls::{
        self, HlsOutput,
        file::File,
        sent::{Client, Counter},
        server::{Asked, Member},
    },
    http::{
        Origin,
        app::App,
        entity::{Answer, negotiate, sized, text_of},
        lent::Owner,
        live::{Live, framing, live_path},
        origin::media_path,
        response::{Body, denied, error, is_script, no_fetch, spare_scripts},
    },
    play::ask,
};

/// How an origin answers.
#[derive(Debug, Clone, Default)]
pub struct SiteOptions {
    /// The Unix socket of the application that answers what is no media; none answers 404.
    pub app_socket: Option<PathBuf>,
    /// How endless streams leave.
    pub egress: EgressOptions,
    /// Whether the host is asked who may play. Default false: everybody may.
    pub asks: bool,
}

/// An origin's answers.
pub struct Site {
    origin: Arc<Origin>,
    app: Option<App>,
    gate: Option<Arc<Inbox>>,
    host: Arc<Inbox>,
    egress: Arc<Egress>,
}

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// Its address.
    pub peer: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// What an endless stream that is not live has in common with one that is.
enum Absent<'a> {
    Say(Response<Body>),
    Ask(&'a Inbox, PlayAsk),
}

/// What is packaged of a stream.
struct Found {
    output: Option<Arc<HlsOutput>>,
    /// It has begun for who asks, who may play it: nobody is asked again.
    is_admitted: bool,
}

/// The protocol of whoever fetches files that have an end, as the host is told of it.
const HLS: &str = "hls";

impl Site {
    /// Serves `origin`. Requests and warnings go to `inbox`.
    pub fn new(runtime: &Handle, options: SiteOptions, origin: Arc<Origin>, inbox: Arc<Inbox>) -> Arc<Self> {
        let egress = Egress::new(runtime.clone(), options.egress, inbox.clone());
        let gate = options.asks.then(|| inbox.clone());
        let app = options.app_socket.map(App::new);
        Arc::new(Self { origin, app, gate, host: inbox, egress })
    }

    /// Who watches endless streams here.
    pub fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Ends all endless streams.
    pub fn close(&self) {
        self.egress.kick_all();
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.host
    }

    /// Answers a request that came over a connection of ours.
    pub(crate) async fn answer(&self, mut request: Request<Incoming>, asker: Asker, owner: &Owner) -> Response<Body> {
        if let Some(response) = self.media(&mut request, asker.peer, Some(owner)).await {
            return response;
        }
        let (absent, is_script) = (self.absent_live(&request, asker.peer), is_script(request.headers()));
        let response = match &self.app {
            Some(app) => app.call(request, asker).await,
            None => {
                let nothing = error(StatusCode::NOT_FOUND, "nothing here; media is at /<app>/<stream>/index.m3u8");
                sized(request.method(), nothing)
            }
        };
        spare_scripts(is_script, unless_denied(absent, response).await)
    }

    /// Answers a request whose path names no media, where there is no application behind.
    pub(crate) async fn absent<B>(&self, request: &Request<B>, peer: SocketAddr) -> Response<Body> {
        let nothing = error(StatusCode::NOT_FOUND, "no media");
        let response = unless_denied(self.absent_live(request, peer), nothing).await;
        sized(request.method(), spare_scripts(is_script(request.headers()), response))
    }

    /// What to say or to ask where a path names an endless stream that is not live, and nothing of the application: who may not play it is
    /// answered as if it were, and does not learn what there is.
    fn absent_live<B>(&self, request: &Request<B>, peer: SocketAddr) -> Option<Absent<'_>> {
        let gate = self.gate.as_deref()?;
        let (key, container) = live_path(request.uri().path())?;
        Some(match no_fetch(request.method()) {
            Some(response) => Absent::Say(response),
            None => Absent::Ask(gate, asked(key, container.protocol(framing(request)), false, request, peer)),
        })
    }

    /// Answers a request for media; none where its path names no media.
    pub(crate) async fn media<B: Send + Sync>(
        &self,
        request: &mut Request<B>,
        peer: SocketAddr,
        owner: Option<&Owner>,
    ) -> Option<Response<Body>> {
        let response = self.whole(request, peer, owner).await?;
        Some(sized(request.method(), spare_scripts(is_script(request.headers()), response)))
    }

    async fn whole<B: Send + Sync>(
        &self,
        request: &mut Request<B>,
        peer: SocketAddr,
        owner: Option<&Owner>,
    ) -> Option<Response<Body>> {
        if let Some((key, container)) = live_path(request.uri().path())
            && let Some(response) = self.endless(key, container, request, peer, owner).await
        {
            return Some(response);
        }
        let (key, file) = media_path(request.uri().path())?;
        Some(match no_fetch(request.method()) {
            Some(response) => response,
            None => {
                let (answer, counter) = self.named(key, file, request, peer).await;
                form(request, answer, counter)
            }
        })
    }

    /// Answers a request for a stream without an end; none where it is not live and nobody can begin it.
    async fn endless<B: Send + Sync>(
        &self,
        key: StreamKey,
        container: Container,
        request: &mut Request<B>,
        peer: SocketAddr,
        owner: Option<&Owner>,
    ) -> Option<Response<Body>> {
        let (log, gate) = match self.origin.live(&key) {
            Some(log) => (log, self.gate.as_deref()),
            None if !self.origin.is_offered(&key) => return None,
            None => {
                // A page of another origin asks for the options first, and then for the stream.
                if let Some(response) = no_fetch(request.method()) {
                    return Some(response);
                }
                match self.summon(&key, container.protocol(framing(request)), request, peer).await {
                    Ok(log) => (log?, None),
                    Err(denial) => return Some(denied(denial)),
                }
            }
        };
        let live = Live { key, log, container };
        Some(live.answer(&self.egress, gate, request, peer, owner).await)
    }

    /// What there is for a GET of a file that has an end, and what counts its bytes; none where its path names something else.
    pub(crate) async fn file<B>(&self, request: &Request<B>, peer: SocketAddr) -> Option<(Answer, Option<Counter>)> {
        let is_live = |key: &StreamKey| self.origin.live(key).is_some() || self.origin.is_offered(key);
        if live_path(request.uri().path()).is_some_and(|(key, _)| is_live(&key)) {
            return None;
        }
        let (key, file) = media_path(request.uri().path())?;
        Some(self.named(key, file, request, peer).await)
    }

    async fn named<B>(
        &self,
        key: StreamKey,
        file: File,
        request: &Request<B>,
        peer: SocketAddr,
    ) -> (Answer, Option<Counter>) {
        let refusal = match self.output(&key, &file, request, peer).await {
            Ok(Found { output: Some(output), is_admitted }) => {
                let (answer, counter) = self.file_of(output, is_admitted, (key, file), request, peer).await;
                return (answer, Some(counter));
            }
            Ok(Found { output: None, is_admitted }) => {
                let gate = self.gate.as_deref().filter(|_| !is_admitted);
                let gate = gate.map(|inbox| (inbox, asked(key, HLS, false, request, peer)));
                hls::server::absent(&file, request.uri().query().unwrap_or_default(), gate).await
            }
            Err(denial) => denied(denial),
        };
        (refusal.into(), None)
    }

    async fn file_of<B>(
        &self,
        output: Arc<HlsOutput>,
        is_admitted: bool,
        (key, file): (StreamKey, File),
        request: &Request<B>,
        peer: SocketAddr,
    ) -> (Answer, Counter) {
        let query = request.uri().query().unwrap_or_default();
        // Only a multivariant playlist and an MPD tell of other streams.
        let group = match file {
            File::Multivariant | File::Mpd => self.origin.group(&key, output.clone()),
            _ => vec![Member { base: String::new(), output: output.clone() }],
        };
        let client = Client::new(peer, text_of(request.headers(), header::USER_AGENT));
        let asked_for = Asked { group, parent: self.origin.parent(&key), file, query, client: &client, is_admitted };
        let gate = self.gate.as_deref().map(|inbox| (inbox, asked(key, HLS, false, request, peer)));
        (hls::server::serve(asked_for, gate).await, Counter::new(output, &client))
    }

    /// Asks the host for a stream that is not live and that it can begin, and by that whether this viewer may play it.
    async fn summon<B>(
        &self,
        key: &StreamKey,
        protocol: &'static str,
        request: &Request<B>,
        peer: SocketAddr,
    ) -> Result<Option<Arc<Log>>, PlayDenial> {
        ask(&self.host, asked(key.clone(), protocol, true, request, peer)).await
    }

    /// What is packaged of a stream; one that has ended begins anew where it can, if it is asked for more than it has.
    async fn output<B>(
        &self,
        key: &StreamKey,
        file: &File,
        request: &Request<B>,
        peer: SocketAddr,
    ) -> Result<Found, PlayDenial> {
        if let Some(before) = self.origin.hls_before(key, file) {
            return Ok(Found { output: Some(before), is_admitted: false });
        }
        let known = self.origin.hls(key);
        let has_it = known.as_ref().is_some_and(|output| !output.is_stale(Duration::ZERO) || output.has_own(file));
        if has_it || !self.origin.is_offered(key) {
            return Ok(Found { output: known, is_admitted: false });
        }
        self.summon(key, HLS, request, peer).await?;
        Ok(Found { output: self.origin.arrival(key).await, is_admitted: true })
    }
}

/// `response`; where it says that nothing is there, or not by this method, what is said of a stream that is live, too, or the denial of whoever may not play it.
async fn unless_denied(absent: Option<Absent<'_>>, response: Response<Body>) -> Response<Body> {
    match (absent, response.status()) {
        // An application has pages at paths of all kinds, which no other method may ask for.
        (Some(Absent::Say(instead)), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => instead,
        (Some(Absent::Ask(inbox, asked)), StatusCode::NOT_FOUND) => {
            ask(inbox, asked).await.map_or_else(denied, |_| response)
        }
        _ => response,
    }
}

/// Gives of what there is what a request asks for.
pub(crate) fn form<B>(request: &Request<B>, answer: Answer, counter: Option<Counter>) -> Response<Body> {
    let response = negotiate(request.method(), request.uri().path(), request.headers(), answer);
    let response = response.map(|body| match counter {
        Some(counter) => body.counted(counter),
        None => body,
    });
    sized(request.method(), spare_scripts(is_script(request.headers()), response))
}

impl Drop for Site {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the host is told of somebody who asks for `key`.
pub(crate) fn asked<B>(
    key: StreamKey,
    protocol: &'static str,
    needs_log: bool,
    request: &Request<B>,
    peer: SocketAddr,
) -> PlayAsk {
    PlayAsk {
        key,
        protocol,
        needs_log,
        query: request.uri().query().unwrap_or_default().to_owned(),
        authorization: text_of(request.headers(), header::AUTHORIZATION).to_owned(),
        agent: text_of(request.headers(), header::USER_AGENT).to_owned(),
        peer,
    }
}
