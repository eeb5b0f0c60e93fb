//! Which media there is under which path.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use arcly_bus::{Log, StreamKey};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::{sync::Notify, time::timeout};

use crate::{
    hls::{
        HlsOutput,
        file::File,
        output::Other,
        server::{Group, Member},
    },
    lock,
};

/// How long a stream that begins for its first viewer may take until it is packaged.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(5);

/// The media of an engine by path. No path ever touches a file system: a name is looked up in this map or not found.
#[derive(Default)]
pub struct Origin {
    hls: Mutex<HashMap<StreamKey, Served>>,
    live: Mutex<HashMap<StreamKey, Arc<Log>>>,
    /// Streams that begin when somebody asks for them. Nobody is asked about others that are not there: a request for one is answered here.
    offered: Mutex<HashSet<StreamKey>>,
    arrived: Notify,
}

/// What is served of a stream.
struct Served {
    output: Arc<HlsOutput>,
    /// What its publisher had sent before it came again: who was a few segments behind fetches these. One, whatever there was before it.
    before: Option<Arc<HlsOutput>>,
}

impl Served {
    /// Lets go of what is over; whether nothing is left.
    fn expire(&mut self) -> bool {
        self.before.take_if(|before| before.is_over());
        self.output.is_over() && self.before.is_none()
    }
}

impl Origin {
    /// An origin without media.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Serves `output` at `/<app>/<stream>/index.m3u8`, in place of what was there before. Of that, segments can still be had for a while.
    pub fn put_hls(&self, key: StreamKey, output: Arc<HlsOutput>) {
        let mut outputs = self.lock();
        outputs.retain(|_, served| !served.expire());
        let root = (key.app().to_owned(), root(key.stream()).to_owned());
        let before = outputs.remove(&key).map(|served| served.output);
        outputs.insert(key, Served { output, before });
        introduce(&outputs, &root.0, &root.1);
        drop(outputs);
        self.arrived.notify_waiters();
    }

    /// Whoever asks for `key` while it is not live is put to the host, which can begin it.
    pub fn offer(&self, key: StreamKey) {
        lock(&self.offered).insert(key);
    }

    /// Takes an offer back.
    pub fn withdraw(&self, key: &StreamKey) {
        lock(&self.offered).remove(key);
    }

    pub(crate) fn is_offered(&self, key: &StreamKey) -> bool {
        lock(&self.offered).contains(key)
    }

    /// What is served for `key`, as soon as it is.
    pub(crate) async fn arrival(&self, key: &StreamKey) -> Option<Arc<HlsOutput>> {
        let arriving = async {
            loop {
                let arrived = self.arrived.notified();
                if let Some(output) = self.hls(key).filter(|output| !output.is_stale(Duration::ZERO)) {
                    return output;
                }
                arrived.await;
            }
        };
        timeout(ARRIVAL_DEADLINE, arriving).await.ok()
    }

    /// Serves `log` at `/<app>/<stream>.flv` and in the other endless formats, until it ends.
    pub fn put_live(&self, key: StreamKey, log: Arc<Log>) {
        let mut live = lock(&self.live);
        live.retain(|_, log| !log.is_closed());
        live.insert(key, log);
    }

    /// What can be watched live as `key`.
    pub(crate) fn live(&self, key: &StreamKey) -> Option<Arc<Log>> {
        let live = lock(&self.live);
        live.get(key).filter(|log| !log.is_closed()).cloned()
    }

    /// What is served for `key`, until it is over: a minute after its end, or as long after it as its playlists last.
    pub fn hls(&self, key: &StreamKey) -> Option<Arc<HlsOutput>> {
        let mut outputs = self.lock();
        if outputs.get_mut(key)?.expire() {
            outputs.remove(key);
        }
        outputs.get(key).map(|served| served.output.clone()).filter(|output| !output.is_over())
    }

    /// What was served for `key` before, if `file` is one of its own.
    pub(crate) fn hls_before(&self, key: &StreamKey, file: &File) -> Option<Arc<HlsOutput>> {
        let before = self.lock().get(key)?.before.clone();
        before.filter(|before| !before.is_over() && before.has_own(file))
    }

    /// What is served for `key`, which is `output`, and for its renditions: `live/cam~720p` is one of `live/cam`.
    pub(crate) fn group(&self, key: &StreamKey, output: Arc<HlsOutput>) -> Group {
        let mut group = vec![Member { base: String::new(), output }];
        let prefix = format!("{}~", key.stream());
        let outputs = self.lock();
        let renditions = outputs.iter().map(|(other, served)| (other, &served.output)).filter(|(other, output)| {
            other.app() == key.app() && other.stream().starts_with(&prefix) && !output.is_stale(Duration::ZERO)
        });
        let mut renditions: Vec<_> = renditions.collect();
        renditions.sort_by(|one, other| one.0.stream().cmp(other.0.stream()));
        group.extend(renditions.into_iter().map(|(other, output)| {
            let name = utf8_percent_encode(other.stream(), NON_ALPHANUMERIC);
            Member { base: format!("../{name}/"), output: output.clone() }
        }));
        group
    }

    /// The stream of which `key` is a rendition, if it is one.
    pub(crate) fn parent(&self, key: &StreamKey) -> Option<Arc<HlsOutput>> {
        let (stream, _) = key.stream().split_once('~')?;
        self.hls(&StreamKey::new(key.app(), stream).ok()?)
    }

    /// Lets go of streams that are over ([`Self::hls`]). Call it now and then.
    pub fn expire(&self) {
        self.lock().retain(|_, served| !served.expire());
        lock(&self.live).retain(|_, log| !log.is_closed());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Served>> {
        lock(&self.hls)
    }
}

/// The stream of which one of that name is a rendition, or it itself.
pub(crate) fn root(stream: &str) -> &str {
    stream.split_once('~').map_or(stream, |(root, _)| root)
}

/// Tells the streams of a group of each other.
fn introduce(outputs: &HashMap<StreamKey, Served>, app: &str, of: &str) {
    let is_member = |key: &&StreamKey| key.app() == app && root(key.stream()) == of;
    let outputs = outputs.iter().map(|(key, served)| (key, &served.output));
    let mut members: Vec<_> = outputs.filter(|(key, _)| is_member(key)).collect();
    members.sort_by(|one, other| one.0.stream().cmp(other.0.stream()));
    for (key, output) in &members {
        let others = members.iter().filter(|(other, _)| other != key).map(|(other, output)| Other {
            base: format!("../{}/", utf8_percent_encode(other.stream(), NON_ALPHANUMERIC)),
            has_sound: other.stream() == of,
            output: Arc::downgrade(output),
        });
        output.playlists().set_others(others.collect());
    }
}

/// The stream and file that a request path names; none when it names no media, and so is the application's.
pub(crate) fn media_path(path: &str) -> Option<(StreamKey, File)> {
    let (stream_path, file) = path.strip_prefix('/')?.rsplit_once('/')?;
    let file = File::named(&decode(file)?)?;
    let (app, stream) = stream_path.rsplit_once('/')?;
    let key = StreamKey::new(&decode(app)?, &decode(stream)?).ok()?;
    Some((key, file))
}

pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Track, TrackId, TrackSet};
    use arcly_codec::{Codec, CodecConfig};
    use arcly_pack::{
        cmaf::{CmafConfig, CmafPackager},
        hls::{HlsConfig, HlsPackager},
    };
    use hyper::{Request, StatusCode};
    use tokio::{runtime::Handle, time::sleep};

    use super::*;
    use crate::{
        Inbox,
        hls::output::Made,
        http::{Site, SiteOptions},
    };

    /// Sound, of which `listed_s` are in the playlists, by a publish of that session. It has ended.
    fn ended(session: &str, listed_s: u64) -> Arc<HlsOutput> {
        let sound = CodecConfig::parse(Codec::Aac, vec![0x11, 0x90].into()).unwrap();
        let tracks = Arc::new(TrackSet { revision: 1, tracks: vec![Track::new(TrackId(0), sound)] });
        let window = Duration::from_secs(listed_s);
        let mut cmaf = CmafPackager::new(CmafConfig { window, ..CmafConfig::default() }, session);
        let ts = HlsConfig { playlist_segments: listed_s as usize / 2, ..HlsConfig::default() };
        let mut ts = HlsPackager::new(ts, session);
        for pts in (0..listed_s as i64 * 47 + 500).map(|number| number * 1024) {
            let payload = vec![0x21; 100].into();
            let frame = Frame { track: TrackId(0), flags: FrameFlags::NONE, pts, dts: pts, duration: 1024, payload };
            cmaf.push(&tracks, &frame, Duration::ZERO).unwrap();
            ts.push(&tracks, &frame).unwrap();
        }
        assert!(cmaf.finish() && ts.finish());
        let writer = LogWriter::new(LogBounds::default(), Arc::new(()));
        let made = Made { cmaf: true, dash: true, ts: true };
        let output = HlsOutput::new(writer.log(), made, None, None);
        output.end(cmaf.view(), ts.view());
        Arc::new(output)
    }

    /// The newest segment of each kind, as it is named in a playlist.
    fn newest(output: &HlsOutput) -> [String; 2] {
        let (cmaf, ts) = (output.cmaf_view().unwrap(), output.ts_view().unwrap());
        let ts = String::from_utf8(ts.media_playlist().to_vec()).unwrap();
        let ts = ts.lines().rfind(|line| line.ends_with(".ts")).unwrap();
        [cmaf.tracks[0].listed().last().unwrap().name.clone(), ts.to_owned()]
    }

    fn key() -> StreamKey {
        StreamKey::new("live", "cam").unwrap()
    }

    /// What there is at `/live/cam/…`.
    async fn fetch(origin: &Arc<Origin>, file: &str) -> StatusCode {
        let inbox = Inbox::new(Waker::noop().clone());
        let site = Site::new(&Handle::current(), SiteOptions::default(), origin.clone(), inbox);
        let mut request = Request::get(format!("/live/cam/{file}")).body(()).unwrap();
        site.media(&mut request, ([127, 0, 0, 1], 1).into(), None).await.unwrap().status()
    }

    /// Found by a reader: a playlist of hours lists segments of which each was gone a minute after the end (RFC 8216bis §6.2.2).
    #[tokio::test(start_paused = true)]
    async fn what_an_ended_playlist_lists_can_be_played_to_its_end() {
        for (listed_s, kept_s) in [(4, 60), (300, 300)] {
            let (origin, output) = (Origin::new(), ended("s", listed_s));
            let newest = newest(&output);
            origin.put_hls(key(), output);
            for (wait_s, status) in [(kept_s - 5, StatusCode::OK), (10, StatusCode::NOT_FOUND)] {
                sleep(Duration::from_secs(wait_s)).await;
                for name in newest.iter().map(String::as_str).chain(["a0.m3u8", "media.m3u8"]) {
                    assert_eq!(fetch(&origin, name).await, status, "{listed_s} {name}");
                }
            }
            origin.expire();
            assert!(origin.lock().is_empty());
        }
    }

    /// Found by a reader: viewers who were some seconds behind had read the end of the playlist, and got no more of it.
    #[tokio::test(start_paused = true)]
    async fn what_was_before_a_publisher_came_again_can_be_played_to_its_end() {
        let origin = Origin::new();
        let outputs = ["one", "two", "three"].map(|session| ended(session, 4));
        let [one, two, three] = outputs.each_ref().map(|output| newest(output));
        let [first, second, third] = outputs;
        origin.put_hls(key(), first);
        origin.put_hls(key(), second);
        for name in one.iter().chain(&two) {
            assert_eq!(fetch(&origin, name).await, StatusCode::OK, "{name}");
        }
        // Others are not served as if they were of the stream that is there now.
        assert!(origin.hls_before(&key(), &File::TsMedia).is_none());
        origin.put_hls(key(), third);
        assert_eq!(fetch(&origin, &one[0]).await, StatusCode::NOT_FOUND, "one is kept");
        for name in two.iter().chain(&three) {
            assert_eq!(fetch(&origin, name).await, StatusCode::OK, "{name}");
        }
        sleep(Duration::from_secs(61)).await;
        origin.expire();
        assert!(origin.lock().is_empty());
    }

    /// A stream that begins for who asks is not begun for segments of what it was before.
    #[tokio::test(start_paused = true)]
    async fn who_plays_an_ended_stream_to_its_end_does_not_begin_it_anew() {
        let (origin, output) = (Origin::new(), ended("s", 4));
        let newest = newest(&output);
        origin.put_hls(key(), output);
        origin.offer(key());
        sleep(Duration::from_secs(1)).await;
        for name in &newest {
            assert_eq!(fetch(&origin, name).await, StatusCode::OK);
        }
    }

    #[test]
    fn paths_name_media_or_belong_to_the_application() {
        let named = |path| media_path(path).map(|(key, file)| (key.to_string(), file));
        assert_eq!(named("/live/cam/index.m3u8"), Some(("live/cam".into(), File::Multivariant)));
        assert_eq!(named("/a/b/cam/v0.m3u8"), Some(("a/b/cam".into(), File::Track("v0".into()))));
        assert_eq!(named("/live/%C3%BC/x-1.ts"), Some(("live/ü".into(), File::TsSegment("x-1.ts".into()))));
        for path in [
            "/",
            "",
            "/index.m3u8",
            "/live/index.m3u8",
            "/live/cam/",
            "/live/cam/other",
            "/static/js/app.js",
            "/live/../cam/index.m3u8",
            "/live/%2e%2e/index.m3u8",
            "/live/a%2fb/index.m3u8",
            "/live/%ff/index.m3u8",
            "//cam/index.m3u8",
            "*",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
