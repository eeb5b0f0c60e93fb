//! HLS over HTTP: which file of which stream, and the headers that let players and caches do right.

use std::{sync::Arc, time::Duration};

use arcly_pack::{
    Away, Held,
    cmaf::{Found, TrackView},
    dash::mpd,
    hls::{Variant, multivariant},
    iso_8601,
};
use hyper::{Response, StatusCode};
use tokio::{sync::watch, time::timeout};

use crate::{
    Inbox, PlayDenial,
    clock::unix_time,
    hls::{
        HlsOutput,
        file::{Directives, File},
        growing::Growing,
        sent::Client,
        spill,
    },
    http::{
        entity::{Answer, Kind},
        response::{Body, answer, denied, error, full},
        text::Text,
    },
    play::{PlayAsk, ask},
};

/// How long the first viewer of a new stream is held while its first segment is being made.
const FIRST_SEGMENT_DEADLINE: Duration = Duration::from_secs(15);

/// How long it then waits for its renditions.
const OTHERS_DEADLINE: Duration = Duration::from_secs(2);

const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl"; // RFC 8216 §4
const MPD_TYPE: &str = "application/dash+xml"; // ISO/IEC 23009-1 annex C
const KEY_TYPE: &str = "application/octet-stream";

/// A multivariant playlist names one viewer's session: no cache may hand it to another.
const CACHE_MULTIVARIANT: &str = "private, no-store";
/// A media playlist changes with every segment; players come for it once a target duration, which is more than a second.
const CACHE_PLAYLIST: &str = "public, max-age=1";
/// Where viewers are let in one by one, a playlist is for the one who has asked.
const CACHE_GATED: &str = "private, no-cache";
/// One that was waited for has a name of its own, and can be kept for six target durations (RFC 8216bis Appendix B.1 of the drafts:
/// "caching of blocking requests"), of which the shortest is a second.
const CACHE_AWAITED: &str = "public, max-age=6";
/// A key is for who has asked for it.
const CACHE_KEY: &str = "private, no-store";
/// A segment never changes and its name is never used again.
const CACHE_SEGMENT: &str = "public, max-age=3600, immutable";

const TS: Kind = Kind { content_type: "video/mp2t", cache: CACHE_SEGMENT };
const CMAF: Kind = Kind { content_type: "video/mp4", cache: CACHE_SEGMENT };
const MULTIVARIANT: Kind = Kind { content_type: PLAYLIST_TYPE, cache: CACHE_MULTIVARIANT };
const MPD: Kind = Kind { content_type: MPD_TYPE, cache: CACHE_MULTIVARIANT };

/// Who must be asked before somebody plays, and who asks; none when everybody may.
pub(crate) type Gate<'a> = Option<(&'a Inbox, PlayAsk)>;

/// Streams that show the same in other sizes: the one that was asked for first.
pub(crate) type Group = Vec<Member>;

/// One of them.
pub(crate) struct Member {
    /// From the playlist of the first one to its own: empty, or `../cam~720p/`.
    pub(crate) base: String,
    pub(crate) output: Arc<HlsOutput>,
}

/// A request for a file of a stream.
pub(crate) struct Asked<'a> {
    /// The stream; with the others where the file tells of them.
    pub(crate) group: Group,
    /// The stream of which this one is a rendition.
    pub(crate) parent: Option<Arc<HlsOutput>>,
    pub(crate) file: File,
    /// The raw text behind `?`.
    pub(crate) query: &'a str,
    /// Who has sent it.
    pub(crate) client: &'a Client,
    /// It was asked already whether who has sent it may play.
    pub(crate) is_admitted: bool,
}

/// The raw text behind `?`, and who has sent it.
type AskedBy<'a> = (&'a str, &'a Client);

const NOT_YET: &str = "the stream has no complete segment yet";

/// Answers a GET or HEAD.
///
/// With a gate a viewer is judged once, when it asks for the multivariant playlist. The session that it is given there opens the
/// media playlists; who comes to one of these without is judged each time. Segments have names that only a media playlist tells.
///
/// A session of `live/cam` opens `live/cam~720p` too, and is kept by it: who may play a stream may play it in all its sizes.
pub(crate) async fn serve(asked: Asked<'_>, gate: Gate<'_>) -> Answer {
    let Asked { group, parent, file, query, client, is_admitted } = asked;
    let Some(output) = group.first().map(|member| member.output.clone()) else {
        return error(StatusCode::NOT_FOUND, "no such stream is live").into();
    };
    let gated = gate.is_some();
    let knows = |output: &Arc<HlsOutput>| session(query).is_some_and(|session| output.knows_session(session));
    let is_known = gated && (knows(&output) || parent.as_ref().is_some_and(knows));
    let asked_by = (query, client);
    if let Some(parent) = parent.filter(|parent| !gated || knows(parent)) {
        touch(&parent, asked_by);
    }
    if !is_admitted && let Err(refusal) = judge(&file, is_known, query, gate).await {
        return refusal.into();
    }
    // Not who asks for segments, which nobody is asked whether he may have: players come for the others often enough.
    let is_watching =
        matches!(file, File::Multivariant | File::TsMultivariant | File::TsMedia | File::Track(_) | File::Mpd);
    let _question = if is_watching { output.question() } else { None };
    match file {
        File::Multivariant if output.has_cmaf() => cmaf_multivariant(&group, &output, gated).await,
        File::Multivariant | File::TsMultivariant => ts_multivariant(&output, gated).await,
        File::TsMedia => ts_media(&output, asked_by, gated).await,
        File::TsSegment(name) => match output.ts_view().and_then(|view| view.segment(&name)) {
            Some(Held::Here(pieces)) => Answer::Media(pieces, TS),
            Some(Held::Away(away)) => moved_away(away, TS).await,
            None => no_file().into(),
        },
        File::Track(name) => track_playlist(&output, &name, asked_by, gated).await,
        File::Cmaf(name) => cmaf_file(&output, &name).await,
        File::Key(name) => key(&output, &name).into(),
        File::Mpd if !output.has_dash() => no_dash(&output).into(),
        File::Mpd => manifest(&group, &output, asked_by, gated && !is_known).await,
        File::Clock => clock().into(),
    }
}

/// Asks whether who asks for `file` may have it, where that has to be asked; a refusal is the answer.
async fn judge(file: &File, is_known: bool, query: &str, gate: Gate<'_>) -> Result<(), Response<Body>> {
    let Some((inbox, asked)) = gate else { return Ok(()) };
    let is_entry = match file {
        // Who comes again for the MPD brings its session; playlists of HLS that give one are fetched once.
        File::Mpd if is_known => return Ok(()),
        File::Multivariant | File::TsMultivariant | File::Mpd => true,
        File::TsMedia | File::Track(_) | File::Key(_) if !is_known => false,
        _ => return Ok(()),
    };
    match ask(inbox, asked).await {
        Ok(_) => Ok(()),
        Err(PlayDenial::Unauthenticated | PlayDenial::Forbidden) if !is_entry && session(query).is_some() => {
            Err(error(StatusCode::FORBIDDEN, "no such session: begin with index.m3u8"))
        }
        Err(denial) => Err(denied(denial)),
    }
}

/// The answer for a stream that is not live. Who may not play it is answered as if it were, and does not learn what there is.
pub(crate) async fn absent(file: &File, query: &str, gate: Gate<'_>) -> Response<Body> {
    let is_gated = gate.is_some();
    match (judge(file, false, query, gate).await, file) {
        (Err(refusal), _) => refusal,
        (Ok(()), File::TsSegment(_) | File::Cmaf(_)) if is_gated => no_file(),
        (Ok(()), File::Clock) if is_gated => clock(),
        (Ok(()), _) => error(StatusCode::NOT_FOUND, "no such stream is live"),
    }
}

async fn cmaf_multivariant(group: &Group, output: &Arc<HlsOutput>, gated: bool) -> Answer {
    if !begin(group, output).await {
        // Codecs that only MPEG-TS carries.
        return if output.ts_view().is_some() {
            ts_multivariant(output, gated).await
        } else {
            error(StatusCode::NOT_FOUND, NOT_YET).into()
        };
    }
    let Some(session) = new_session(output, gated) else { return too_many().into() };
    let query = format!("?session={session}");
    let text = with_variants(group, |variants| multivariant(variants, &query));
    told(text, MULTIVARIANT)
}

/// Waits for the first view; whether there is one. Streams that are packaged on demand begin together, and who is told of this one is to be
/// told of the others: these may take a little longer.
async fn begin(group: &Group, output: &Arc<HlsOutput>) -> bool {
    let was_there = output.cmaf_view().is_some();
    let is_there = output.first_cmaf_view(FIRST_SEGMENT_DEADLINE).await.is_some();
    if is_there && !was_there {
        let others = async {
            for member in group.iter().filter(|member| member.output.is_on_demand() && member.output.has_cmaf()) {
                member.output.cmaf_settled().await;
            }
        };
        let _ = timeout(OTHERS_DEADLINE, others).await;
    }
    is_there
}

/// Nothing where there is none of the first any more, which nobody watches any more in this moment.
fn with_variants(group: &Group, write: impl FnOnce(&[Variant<'_>]) -> String) -> Option<String> {
    group.first()?.output.cmaf_view()?;
    let views: Vec<_> =
        group.iter().filter_map(|member| Some((member.output.cmaf_view()?, member.base.as_str()))).collect();
    let variants: Vec<Variant<'_>> = views.iter().map(|(view, base)| Variant { view, base }).collect();
    Some(write(&variants))
}

/// The MPD. Its `Location` has the session, which so comes back with every update.
async fn manifest(group: &Group, output: &Arc<HlsOutput>, asked_by: AskedBy<'_>, is_admitted: bool) -> Answer {
    if !begin(group, output).await {
        return error(StatusCode::NOT_FOUND, NOT_YET).into();
    }
    touch(output, asked_by);
    let known = session(asked_by.0).filter(|session| is_name(session));
    let session = match known.filter(|_| !is_admitted) {
        Some(session) => Some(session.to_owned()),
        None => new_session(output, is_admitted),
    };
    let Some(session) = session else { return too_many().into() };
    let location = format!("manifest.mpd?session={session}");
    let text = with_variants(group, |variants| mpd(variants, &location, "time.txt"));
    told(text, MPD)
}

fn told(text: Option<String>, kind: Kind) -> Answer {
    match text {
        Some(text) => Answer::Text(Text::passing(text), kind),
        None => error(StatusCode::NOT_FOUND, NOT_YET).into(),
    }
}

/// ISO/IEC 23009-1 §5.8.5.7: `urn:mpeg:dash:utc:http-iso:2014`.
fn clock() -> Response<Body> {
    let now = unix_time();
    let text = iso_8601(i64::try_from(now.as_micros()).unwrap_or(0));
    full(StatusCode::OK, text, "text/plain; charset=utf-8", "no-store")
}

async fn ts_multivariant(output: &Arc<HlsOutput>, gated: bool) -> Answer {
    let view = if output.has_ts() { output.first_ts_view(FIRST_SEGMENT_DEADLINE).await } else { None };
    let Some(view) = view else { return error(StatusCode::NOT_FOUND, NOT_YET).into() };
    let Some(session) = new_session(output, gated) else { return too_many().into() };
    let text = view.multivariant(&format!("media.m3u8?session={session}"));
    Answer::Text(Text::passing(text), MULTIVARIANT)
}

fn new_session(output: &Arc<HlsOutput>, gated: bool) -> Option<String> {
    if gated { output.admit_session() } else { Some(output.open_session()) }
}

fn too_many() -> Response<Body> {
    error(StatusCode::SERVICE_UNAVAILABLE, "too many viewers")
}

async fn ts_media(output: &Arc<HlsOutput>, asked_by: AskedBy<'_>, gated: bool) -> Answer {
    let Some(view) = output.first_ts_view(FIRST_SEGMENT_DEADLINE).await else {
        return error(StatusCode::NOT_FOUND, NOT_YET).into();
    };
    touch(output, asked_by);
    let text = with_session(output.playlists().of_ts(&view), asked_by.0, gated && view.is_encrypted());
    Answer::Text(text, media_kind(CACHE_PLAYLIST, gated))
}

/// A media playlist. What is for those who were let in is nobody else's to keep.
fn media_kind(cache: &'static str, gated: bool) -> Kind {
    Kind { content_type: PLAYLIST_TYPE, cache: if gated { CACHE_GATED } else { cache } }
}

fn touch(output: &Arc<HlsOutput>, (query, client): AskedBy<'_>) {
    if let Some(session) = session(query) {
        output.touch_session(session, client);
    }
}

/// A media playlist of CMAF, at once or when it has what is waited for (RFC 8216bis §6.2.5.2).
async fn track_playlist(output: &Arc<HlsOutput>, name: &str, asked_by: AskedBy<'_>, gated: bool) -> Answer {
    let Some(directives) = Directives::parse(asked_by.0) else {
        return error(StatusCode::BAD_REQUEST, "_HLS_msn and _HLS_part are numbers, and a part is one of a segment")
            .into();
    };
    if output.first_cmaf_view(FIRST_SEGMENT_DEADLINE).await.is_none() {
        return error(StatusCode::NOT_FOUND, NOT_YET).into();
    }
    let Some(mut view) = output.track_view(name) else { return no_track().into() };
    touch(output, asked_by);
    if let Some(awaited) = directives.awaited {
        if view.is_far(awaited) && !view.ended() {
            return error(StatusCode::BAD_REQUEST, "no playlist has told of a segment or part that far ahead").into();
        }
        let Some(mut track) = output.track(name) else { return no_track().into() };
        match wait(&mut track, |view| view.has(awaited)).await {
            Ok(has) => view = has,
            Err(response) => return response.into(),
        }
        touch(output, asked_by);
    }
    let cache = if directives.awaited.is_some() { CACHE_AWAITED } else { CACHE_PLAYLIST };
    let text =
        with_session(output.playlists().of_track(&view, directives.skip), asked_by.0, gated && view.is_encrypted());
    Answer::Text(text, media_kind(cache, gated))
}

/// Waits for a view with something in it, three target durations at most (RFC 8216bis §6.2.5.2).
async fn wait(
    track: &mut watch::Receiver<Arc<TrackView>>,
    is_it: impl FnMut(&Arc<TrackView>) -> bool,
) -> Result<Arc<TrackView>, Response<Body>> {
    let deadline = Duration::from_secs(track.borrow().target_duration_s().saturating_mul(3));
    match timeout(deadline, track.wait_for(is_it)).await {
        Ok(Ok(view)) => Ok(view.clone()),
        Ok(Err(_)) => Err(error(StatusCode::NOT_FOUND, "the track is gone")),
        Err(_) => Err(error(StatusCode::SERVICE_UNAVAILABLE, "nothing has come for three target durations")),
    }
}

/// A segment, part or header. One that is the next to be made is waited for (RFC 8216bis §6.2.6: a hint), and a segment in the making is
/// sent as it grows.
async fn cmaf_file(output: &HlsOutput, name: &str) -> Answer {
    let Some(owner) = output.cmaf_view().and_then(|view| view.owner(name).cloned()) else { return no_file().into() };
    if let Found::Whole(pieces) = owner.find(name) {
        return Answer::Media(pieces, CMAF);
    }
    let Some(mut track) = output.track(&owner.name) else { return no_file().into() };
    let is_there = |view: &Arc<TrackView>| !matches!(view.find(name), Found::Coming);
    let view = match wait(&mut track, is_there).await {
        Ok(view) => view,
        Err(response) => return response.into(),
    };
    match view.find(name) {
        Found::Whole(pieces) => Answer::Media(pieces, CMAF),
        Found::Away(away) => moved_away(away, CMAF).await,
        Found::Growing(pieces) => {
            let growing = Body::stream(Growing::new(track, name, pieces));
            answer(StatusCode::OK, growing, CMAF.content_type, CMAF.cache).into()
        }
        Found::Coming | Found::Nothing => no_file().into(),
    }
}

/// A segment that is no longer in memory.
async fn moved_away(away: Away, kind: Kind) -> Answer {
    match spill::read(away).await {
        Some(bytes) => Answer::Media(vec![bytes], kind),
        None => error(StatusCode::SERVICE_UNAVAILABLE, "the disk does not give this segment").into(),
    }
}

/// What segments are encrypted with.
fn key(output: &HlsOutput, name: &str) -> Response<Body> {
    let (cmaf, ts) = (output.cmaf_view(), output.ts_view());
    let of_cmaf = cmaf.as_ref().and_then(|view| view.key(name));
    let Some(key) = of_cmaf.or_else(|| ts.as_ref()?.key(name)) else {
        return error(StatusCode::NOT_FOUND, "no such key: what was encrypted with it is too old");
    };
    full(StatusCode::OK, key.bytes.to_vec(), KEY_TYPE, CACHE_KEY)
}

/// A media playlist for one viewer: its session opens the keys too (a player fetches them under the names that it is told).
fn with_session(text: Arc<Text>, query: &str, is_encrypted: bool) -> Arc<Text> {
    let Some(session) = session(query).filter(|session| is_encrypted && is_name(session)) else { return text };
    let text = String::from_utf8_lossy(text.bytes()).replace(".key\"", &format!(".key?session={session}\""));
    Text::kept(text.into())
}

/// Whether it may stand in a playlist or a manifest as it is.
fn is_name(session: &str) -> bool {
    session.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn no_dash(output: &HlsOutput) -> Response<Body> {
    let is_encrypted = output.has_cmaf();
    let why = if is_encrypted {
        "this stream is encrypted in the way of HLS, which DASH does not know: there is no manifest of it"
    } else {
        "this stream is not in DASH"
    };
    error(StatusCode::NOT_FOUND, why)
}

fn no_file() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "no such segment: it is too old, or was never made")
}

fn no_track() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "no such track")
}

fn session(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("session="))
}

#[cfg(test)]
mod tests {
    use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Track, TrackId, TrackSet};
    use arcly_codec::{Codec, CodecConfig};
    use arcly_pack::cmaf::{CmafConfig, CmafPackager, CmafView};

    use super::*;
    use crate::hls::output::Made;

    /// A stream that is packaged on demand and has nothing yet.
    fn resting() -> (LogWriter, Arc<HlsOutput>) {
        let writer = LogWriter::new(LogBounds::default(), Arc::new(()));
        let made = Made { cmaf: true, dash: true, ts: false };
        let output = Arc::new(HlsOutput::new(writer.log(), made, None, Some(Arc::default())));
        (writer, output)
    }

    fn view() -> Arc<CmafView> {
        let sound = CodecConfig::parse(Codec::Aac, vec![0x11, 0x90].into()).unwrap();
        let tracks = Arc::new(TrackSet { revision: 1, tracks: vec![Track::new(TrackId(0), sound)] });
        let mut packager = CmafPackager::new(CmafConfig::default(), "s");
        for pts in (0..500).map(|number| number * 1024) {
            let payload = vec![0x21; 100].into();
            let frame = Frame { track: TrackId(0), flags: FrameFlags::NONE, pts, dts: pts, duration: 1024, payload };
            packager.push(&tracks, &frame, Duration::ZERO).unwrap();
        }
        packager.view().unwrap()
    }

    /// Found by a reader: each of the others was told of a viewer who came and left, and a pull on demand lingered for it.
    #[tokio::test(start_paused = true)]
    async fn who_asks_for_one_rendition_is_no_viewer_of_the_others() {
        let ((asked_log, asked), (other_log, other)) = (resting(), resting());
        let viewers = || [&asked_log, &other_log].map(|writer| writer.log().counters().viewers);
        let group: Group = [&asked, &other].map(|output| Member { base: String::new(), output: output.clone() }).into();
        let question = tokio::spawn(async move { begin(&group, &group[0].output).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(viewers(), [1, 0]);
        asked.show_cmaf(Some(view()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!question.is_finished(), "it waits for the other");
        assert_eq!(viewers(), [0, 0]);
        assert!(question.await.unwrap());
    }
}
