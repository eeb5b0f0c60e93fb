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

/// How long the playlist of an ended stream can still be had: players must come to read its ENDLIST.
const ENDED_KEEP: Duration = Duration::from_secs(60);

/// How long a stream that begins for its first viewer may take until it is packaged.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(5);

/// The media of an engine by path. No path ever touches a file system: a name is looked up in this map or not found.
#[derive(Default)]
pub struct Origin {
    hls: Mutex<HashMap<StreamKey, Arc<HlsOutput>>>,
    live: Mutex<HashMap<StreamKey, Arc<Log>>>,
    /// Streams that begin when somebody asks for them. Nobody is asked about others that are not there: a request for one is answered here.
    offered: Mutex<HashSet<StreamKey>>,
    arrived: Notify,
}

impl Origin {
    /// An origin without media.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Serves `output` at `/<app>/<stream>/index.m3u8`, in place of what was there before.
    pub fn put_hls(&self, key: StreamKey, output: Arc<HlsOutput>) {
        let mut outputs = self.lock();
        outputs.retain(|_, output| !output.is_stale(ENDED_KEEP));
        let root = (key.app().to_owned(), root(key.stream()).to_owned());
        outputs.insert(key, output);
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

    /// What is served for `key`, until a minute after its end.
    pub fn hls(&self, key: &StreamKey) -> Option<Arc<HlsOutput>> {
        let mut outputs = self.lock();
        if outputs.get(key)?.is_stale(ENDED_KEEP) {
            outputs.remove(key);
        }
        outputs.get(key).cloned()
    }

    /// What is served for `key`, which is `output`, and for its renditions: `live/cam~720p` is one of `live/cam`.
    pub(crate) fn group(&self, key: &StreamKey, output: Arc<HlsOutput>) -> Group {
        let mut group = vec![Member { base: String::new(), output }];
        let prefix = format!("{}~", key.stream());
        let outputs = self.lock();
        let renditions = outputs.iter().filter(|(other, output)| {
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

    /// Lets go of streams that ended more than a minute ago. Call it now and then.
    pub fn expire(&self) {
        self.lock().retain(|_, output| !output.is_stale(ENDED_KEEP));
        lock(&self.live).retain(|_, log| !log.is_closed());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Arc<HlsOutput>>> {
        lock(&self.hls)
    }
}

/// The stream of which one of that name is a rendition, or it itself.
pub(crate) fn root(stream: &str) -> &str {
    stream.split_once('~').map_or(stream, |(root, _)| root)
}

/// Tells the streams of a group of each other.
fn introduce(outputs: &HashMap<StreamKey, Arc<HlsOutput>>, app: &str, of: &str) {
    let is_member = |key: &&StreamKey| key.app() == app && root(key.stream()) == of;
    let mut members: Vec<_> = outputs.iter().filter(|(key, _)| is_member(key)).collect();
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
    use super::*;

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
