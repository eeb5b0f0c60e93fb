//! Endless answers: `/<app>/<stream>.flv`, `.ts` and `.mp4`, in chunks of HTTP or as messages of WebSocket.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arcly_bus::{Log, StreamKey};
use arcly_codec::MediaKind;
use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode, Version,
    header::{self, HeaderValue},
};
use tokio::time::{Instant, sleep};

use crate::{
    Inbox,
    egress::{Container, Egress, Framing, Head, PlayError, Ticket, Watch, Watcher},
    http::{
        entity::text_of,
        head,
        lent::Owner,
        origin::decode,
        response::{Body, denied, endless, error, no_fetch},
        site::asked,
        websocket,
    },
    play::ask,
};

/// An endless answer is nobody's to keep.
const CACHE: &str = "no-store";

/// The path names a format in which there is nothing of the stream (RFC 9110 §15.5.5: no representation of it).
const NO_PLACE: &str = "no track of this stream can be sent in this format";

/// How long a stream may take to tell what it has: as long as key pictures of broadcasts are apart.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The stream and container that a request path names; none when it names no such thing.
pub(crate) fn live_path(path: &str) -> Option<(StreamKey, Container)> {
    let (app, file) = path.strip_prefix('/')?.rsplit_once('/')?;
    let (stream, ending) = file.rsplit_once('.')?;
    let container = Container::from_ending(ending)?;
    Some((StreamKey::new(&decode(app)?, &decode(stream)?).ok()?, container))
}

/// How a request asks for a stream.
pub(crate) fn framing<B>(request: &Request<B>) -> Framing {
    if websocket::is_asked(request) { Framing::WebSocket } else { Framing::Chunked }
}

/// Whether a query says `tracks=all`: all that the container can carry, where it has only the first of each kind by itself.
fn wants_all_tracks(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|field| field == "tracks=all"))
}

/// A stream that somebody asks for.
pub(crate) struct Live {
    pub(crate) key: StreamKey,
    pub(crate) log: Arc<Log>,
    pub(crate) container: Container,
}

impl Live {
    /// Answers a request for it. A connection that can be given to the pump is taken away from hyper, and this never returns.
    /// Without an `owner` the answer leaves by a server that is not ours.
    pub(crate) async fn answer<B>(
        self,
        egress: &Arc<Egress>,
        gate: Option<&Inbox>,
        request: &mut Request<B>,
        peer: SocketAddr,
        owner: Option<&Owner>,
    ) -> Response<Body> {
        if let Some(response) = no_fetch(request.method()) {
            return response;
        }
        let framing = framing(request);
        let container =
            if wants_all_tracks(request.uri().query()) { self.container.with_all_tracks() } else { self.container };
        let agent = text_of(request.headers(), header::USER_AGENT).to_owned();
        let (protocol, content_type) = (container.protocol(framing), container.content_type());
        if let Some(inbox) = gate
            && let Err(denial) = ask(inbox, asked(self.key.clone(), protocol, false, request, peer)).await
        {
            return denied(denial);
        }
        let proof = match (framing == Framing::WebSocket).then(|| websocket::proof(request)).transpose() {
            Ok(proof) => proof,
            Err(refusal) => return *refusal,
        };
        if !gets_place(&self.log, container).await {
            return error(StatusCode::NOT_FOUND, NO_PLACE);
        }
        if *request.method() == Method::HEAD {
            return endless(Body::UNSAID, content_type, CACHE);
        }
        let watcher = Watcher { key: self.key, protocol, peer, agent };
        let ticket = match egress.admit(&self.log, watcher) {
            Ok(ticket) => ticket,
            Err(error) => return refused(&error),
        };
        if let (Some(proof), Some(owner)) = (proof, owner) {
            return websocket::switch(ticket, container, &proof, request, owner).await;
        }
        // Chunks are of HTTP/1.1; before it the end of the connection is the end, and hyper does that.
        if request.version() == Version::HTTP_11
            && let Some(socket) = owner.and_then(Owner::take)
        {
            let head = Head::Bytes(given_away(content_type));
            // Nobody is left who could be told of a failure: the connection ends by it.
            let _ = ticket.play(container, framing, socket, head, None);
            return std::future::pending().await;
        }
        by_hyper(ticket, container, owner)
    }
}

/// Whether the stream has something for this format, or may have: what it has is told a track at a time. MPEG-TS that is joined in the middle
/// has sound at once, and pictures with their next parameter sets.
async fn gets_place(log: &Log, container: Container) -> bool {
    let until = Instant::now() + ANNOUNCED_WITHIN;
    loop {
        let tracks = log.tracks();
        // Data alone tell nothing of what they come with.
        let is_told = tracks.tracks.iter().any(|track| track.kind() != MediaKind::Data);
        if !is_told || container.has_place_for(&tracks) {
            return true;
        }
        if log.is_closed() || Instant::now() >= until {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The answer over a connection that is encrypted, shared, or not ours.
fn by_hyper(ticket: Ticket, container: Container, owner: Option<&Owner>) -> Response<Body> {
    let (stall_max, unsent_max) = (ticket.stall_max(), ticket.unsent_max());
    let body = match ticket.body(container, Framing::Bare) {
        Ok(body) => body,
        Err(error) => return refused(&error),
    };
    let watch = body.watch(stall_max);
    let body = Body::stream(body);
    let body = match owner {
        Some(owner) => {
            look_after(owner, watch, unsent_max);
            body
        }
        None => body.watched(watch),
    };
    endless(body, container.content_type(), CACHE)
}

/// Has the kernel keep little for a viewer to whom no pump writes, and ends the connection where it is to be let go.
pub(crate) fn look_after(owner: &Owner, watch: Watch, unsent_max: u32) {
    owner.bound_unsent(unsent_max);
    let breaker = owner.breaker();
    // Over HTTP/2 the whole connection ends: whatever else it carries is asked for again over the next one.
    tokio::spawn(async move {
        if watch.stuck().await {
            breaker.reset();
        }
    });
}

pub(crate) fn refused(refusal: &PlayError) -> Response<Body> {
    error(
        StatusCode::SERVICE_UNAVAILABLE,
        match refusal {
            PlayError::Full => "as many watch as may",
            PlayError::NoDescriptors => "this server has no more descriptors",
        },
    )
}

/// The head of an answer over a connection that is given away for it.
fn given_away(content_type: &'static str) -> Bytes {
    let mut response = endless(Body::UNSAID, content_type, CACHE);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    head::written(&response, head::Framing::Chunked, SystemTime::now(), 0).into()
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::runtime::Handle;

    use arcly_bus::{LogWriter, Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};

    use super::*;
    use crate::{
        egress::tests::log_of_unknown_pictures,
        http::{Origin, Site, SiteOptions},
    };

    /// A site with that stream.
    fn site_of(source: &LogWriter) -> Arc<Site> {
        let (origin, inbox) = (Origin::new(), Inbox::new(Waker::noop().clone()));
        origin.put_live(StreamKey::new("live", "cam").unwrap(), source.log().clone());
        Site::new(&Handle::current(), SiteOptions::default(), origin, inbox)
    }

    /// The status and the length of what it answers to a request for that format.
    async fn asked_for(site: &Site, method: Method, ending: &str) -> (u16, Option<u64>) {
        let path = format!("/live/cam.{ending}");
        let mut request = Request::builder().method(method).uri(path).body(()).unwrap();
        let answer = site.media(&mut request, ([127, 0, 0, 1], 1).into(), None).await.unwrap();
        (answer.status().as_u16(), answer.body().exact_bytes())
    }

    #[test]
    fn paths_name_a_stream_and_a_container() {
        let named = |path| live_path(path).map(|(key, container)| (key.to_string(), container));
        assert_eq!(named("/live/cam.flv"), Some(("live/cam".into(), Container::Flv)));
        assert_eq!(named("/a/b/c.d.ts"), Some(("a/b/c.d".into(), Container::Ts)));
        assert_eq!(named("/live/%C3%BC.flv"), Some(("live/ü".into(), Container::Flv)));
        for path in ["/cam.flv", "/live/cam", "/live/.flv", "/live/cam.m3u8", "/../cam.flv", "/live/a%2fb.flv", "", "*"]
        {
            assert_eq!(named(path), None, "{path}");
        }
    }

    /// Found by review: it was answered with 200 and silence, at which players come again and again.
    #[tokio::test(start_paused = true)]
    async fn a_format_without_a_place_for_the_stream_is_refused_in_words() {
        let mut source = log_of_unknown_pictures();
        let site = site_of(&source);
        let status = async |method, ending| asked_for(&site, method, ending).await;
        assert_eq!(status(Method::GET, "ts").await.0, 200, "it has the sound");
        let pictures = source.tracks().tracks[0].clone();
        source.set_tracks(vec![pictures]).unwrap();
        let words = Some(NO_PLACE.len() as u64 + 1);
        assert_eq!(status(Method::GET, "ts").await, (404, words));
        assert_eq!(status(Method::HEAD, "ts").await.0, 404);
        assert_eq!(status(Method::GET, "flv").await.0, 200);
        source.set_tracks(Vec::new()).unwrap();
        assert_eq!(status(Method::GET, "ts").await.0, 200, "what it has is not known");
    }

    /// Found by review: the sound of a broadcast is known at once, its pictures seconds later; meanwhile FLV was refused for good.
    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_still_announcing_its_tracks_is_waited_for() {
        let mut source = log_of_unknown_pictures();
        let pictures = source.tracks().tracks[0].clone();
        let sound =
            Track::new(TrackId(1), CodecConfig::parse(Codec::Mp2, Bytes::from_static(b"\xff\xfd\xe4\x04")).unwrap());
        source.set_tracks(vec![sound.clone()]).unwrap();
        let site = site_of(&source);
        let (asked, ()) = tokio::join!(asked_for(&site, Method::GET, "flv"), async {
            sleep(ANNOUNCED_WITHIN / 2).await;
            source.set_tracks(vec![sound, pictures]).unwrap();
        });
        assert_eq!(asked.0, 200);
        let cues = Track::new(TrackId(2), CodecConfig::parse(Codec::Scte35, Bytes::new()).unwrap());
        source.set_tracks(vec![cues]).unwrap();
        assert_eq!(asked_for(&site, Method::GET, "flv").await.0, 200, "nothing is known of its pictures");
    }

    #[test]
    fn all_tracks_are_asked_for_in_so_many_words() {
        assert!(["tracks=all", "user=a&tracks=all&pass=b"].iter().all(|query| wants_all_tracks(Some(query))));
        assert!(
            [None, Some(""), Some("tracks=allegro"), Some("alltracks=all")].into_iter().all(|it| !wants_all_tracks(it))
        );
    }
}
