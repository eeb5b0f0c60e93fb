//! Which streams there are.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{LogObserver, LogWriter, Publisher, PublisherHooks, StreamKey, TrackSet};

use crate::{
    AppSpec, EventQueue, PublishInfo, SecondPublisher, Stream, StreamEvent, StreamEventKind, StreamState,
    events::EventHub, lock,
};

/// How an engine behaves. Everything is passed in: an engine has no globals.
#[derive(Clone, Copy)]
pub struct EngineOptions {
    /// Streams that may be published at once. Default 10 000.
    pub max_publishers: usize,
    /// How applications behave that are not named; `None` refuses them.
    pub default_app: Option<AppSpec>,
    /// The wall clock, in milliseconds of Unix time.
    pub clock: fn() -> u64,
}

/// Why a publish was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no such application.
    AppNotFound {
        /// Its name.
        app: String,
    },
    /// Somebody publishes there already.
    AlreadyPublishing {
        /// Where.
        key: StreamKey,
    },
    /// [`EngineOptions::max_publishers`] are publishing.
    PublisherLimit {
        /// The limit.
        limit: usize,
    },
    /// The engine is shutting down.
    ShuttingDown,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AppNotFound { app } => write!(f, "there is no application {app}"),
            Self::AlreadyPublishing { key } => write!(f, "{key} is being published already"),
            Self::PublisherLimit { limit } => write!(f, "all {limit} publishers that are allowed are publishing"),
            Self::ShuttingDown => write!(f, "the engine is shutting down"),
        }
    }
}

impl std::error::Error for EngineError {}

/// Which streams there are, and who may start one. Any number of engines may live in a process.
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    options: EngineOptions,
    registry: Mutex<Registry>,
    events: EventHub,
}

#[derive(Default)]
struct Registry {
    apps: HashMap<String, AppSpec>,
    streams: HashMap<StreamKey, Entry>,
    publishes: u64,
    /// The last time told by [`Engine::measure`], and when that was.
    measured: Option<(Duration, Instant)>,
    shutting_down: bool,
}

impl Registry {
    /// On the clock of [`Engine::measure`], and not only to the second in which that is called: a publisher is promised its time.
    fn now(&self) -> Duration {
        self.measured.map_or(Duration::ZERO, |(then, at)| then + at.elapsed())
    }
}

struct Entry {
    stream: Arc<Stream>,
    spec: AppSpec,
    /// Which publish of this engine it is: a stream that is resumed gets a new one.
    publish: u64,
    /// The writer of a publisher that is gone, and since when.
    waiting: Option<(LogWriter, Duration)>,
}

impl Engine {
    /// An engine without streams.
    pub fn new(options: EngineOptions) -> Self {
        Self { shared: Arc::new(Shared { options, registry: Mutex::default(), events: EventHub::default() }) }
    }

    /// Names an application, or changes how a named one behaves; streams that are being published keep what they have.
    pub fn put_app(&self, name: &str, spec: AppSpec) {
        lock(&self.shared.registry).apps.insert(name.to_owned(), spec);
    }

    /// Forgets an application and ends its streams; false when it was not named.
    pub fn remove_app(&self, name: &str) -> bool {
        let mut registry = lock(&self.shared.registry);
        let known = registry.apps.remove(name).is_some();
        if known {
            self.end_all(&mut registry, "its application was removed", |key| key.app() == name);
        }
        known
    }

    /// Takes `key` for a new publisher. The key is free again when that publisher is dropped (and the grace time of its application
    /// has passed), and by nothing that an earlier publisher does.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn start_publish(&self, key: StreamKey, info: PublishInfo) -> Result<(Publisher, Arc<Stream>), EngineError> {
        let mut registry = lock(&self.shared.registry);
        self.leave_closed(&mut registry, &key);
        let spec = self.check(&registry, &key, &info)?;
        registry.publishes += 1;
        let publish = registry.publishes;
        let waiting = registry.streams.get_mut(&key).and_then(|entry| entry.waiting.take());
        match waiting {
            Some((writer, since)) => Ok(self.resume(&mut registry, key, info, publish, writer, since)),
            None => Ok(self.begin(&mut registry, key, info, publish, spec)),
        }
    }

    /// A stream that was closed by its log, and whose publisher has not noticed yet, does not keep the key.
    fn leave_closed(&self, registry: &mut Registry, key: &StreamKey) {
        if registry.streams.get(key).is_some_and(|entry| entry.stream.log.is_closed())
            && let Some(entry) = registry.streams.remove(key)
        {
            self.shared.end(&entry.stream, CLOSED);
        }
    }

    fn check(&self, registry: &Registry, key: &StreamKey, info: &PublishInfo) -> Result<AppSpec, EngineError> {
        let limit = self.shared.options.max_publishers;
        if registry.shutting_down {
            return Err(EngineError::ShuttingDown);
        }
        let spec = registry.apps.get(key.app()).copied().or(self.shared.options.default_app);
        let spec = spec.ok_or_else(|| EngineError::AppNotFound { app: key.app().to_owned() })?;
        match registry.streams.get(key) {
            Some(entry) if entry.waiting.is_some() => Ok(spec),
            // An encoder changes nodes before its old one knows, of which there is a mirror here.
            Some(entry) if entry.stream.info().is_mirror() && !info.is_mirror() => Ok(spec),
            Some(_) if spec.second_publisher == SecondPublisher::Refuse => {
                Err(EngineError::AlreadyPublishing { key: key.clone() })
            }
            Some(_) => Ok(spec),
            None if registry.streams.len() >= limit => Err(EngineError::PublisherLimit { limit }),
            None => Ok(spec),
        }
    }

    fn begin(
        &self,
        registry: &mut MutexGuard<'_, Registry>,
        key: StreamKey,
        info: PublishInfo,
        publish: u64,
        spec: AppSpec,
    ) -> (Publisher, Arc<Stream>) {
        if let Some(old) = registry.streams.remove(&key) {
            self.shared.end(&old.stream, "replaced by another publisher");
        }
        let observer = Arc::new(Readers { shared: self.shared.clone(), key: key.clone() });
        let writer = LogWriter::new(spec.bounds, observer);
        let started = (self.shared.options.clock)();
        let stream = Arc::new(Stream::new(key.clone(), writer.log().clone(), info, started, publish));
        registry.streams.insert(key.clone(), Entry { stream: stream.clone(), spec, publish, waiting: None });
        // Under the lock, so that listeners hear of starts and ends of one key in their true order.
        self.shared.emit(&key, StreamEventKind::PublishStarted);
        (Publisher::new(writer, self.hooks(key, publish)), stream)
    }

    fn resume(
        &self,
        registry: &mut MutexGuard<'_, Registry>,
        key: StreamKey,
        info: PublishInfo,
        publish: u64,
        mut writer: LogWriter,
        since: Duration,
    ) -> (Publisher, Arc<Stream>) {
        let now = registry.now();
        writer.resume(now.saturating_sub(since));
        let started = (self.shared.options.clock)();
        let stream = match registry.streams.get_mut(&key) {
            Some(entry) => {
                entry.publish = publish;
                entry.stream.set_info(info);
                entry.stream.clone()
            }
            None => Arc::new(Stream::new(key.clone(), writer.log().clone(), info, started, publish)),
        };
        stream.resume(now);
        self.shared.emit(&key, StreamEventKind::PublishResumed);
        (Publisher::new(writer, self.hooks(key, publish)), stream)
    }

    fn hooks(&self, key: StreamKey, publish: u64) -> Box<Hooks> {
        Box::new(Hooks { shared: self.shared.clone(), key, publish })
    }

    /// The stream with that key, if it is being published or its publisher may come back.
    pub fn stream(&self, key: &StreamKey) -> Option<Arc<Stream>> {
        lock(&self.shared.registry).streams.get(key).map(|entry| entry.stream.clone())
    }

    /// All streams, by key.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        let registry = lock(&self.shared.registry);
        let mut streams: Vec<_> = registry.streams.values().map(|entry| entry.stream.clone()).collect();
        streams.sort_by(|a, b| a.key.cmp(&b.key));
        streams
    }

    /// Events from now on; `waker` is called after each, on the thread that caused it.
    pub fn subscribe_events(&self, waker: Waker) -> Arc<EventQueue> {
        self.shared.events.subscribe(waker)
    }

    /// Tells listeners of something that a part outside of the engine has done to a stream: a recorder, a transcoder.
    pub fn emit(&self, key: &StreamKey, kind: StreamEventKind) {
        self.shared.emit(key, kind);
    }

    /// Samples the rates of all streams, and ends those that have been idle or waited for too long. Call about once a second with the
    /// time since any fixed origin.
    pub fn measure(&self, now: Duration) {
        let mut registry = lock(&self.shared.registry);
        registry.measured = Some((now, Instant::now()));
        let over = |entry: &Entry| {
            let still = entry.stream.measure(now);
            match &entry.waiting {
                _ if entry.stream.log.is_closed() => Some(CLOSED),
                Some((_, since)) if now.saturating_sub(*since) >= entry.spec.reconnect_grace => {
                    Some("the publisher did not come back")
                }
                None if entry.spec.idle_timeout.is_some_and(|timeout| still >= timeout) => {
                    Some("the publisher sent nothing for too long")
                }
                _ => None,
            }
        };
        let ending: Vec<_> =
            registry.streams.iter().filter_map(|(key, entry)| Some((key.clone(), over(entry)?))).collect();
        for (key, reason) in ending {
            if let Some(entry) = registry.streams.remove(&key) {
                self.shared.end(&entry.stream, reason);
            }
        }
    }

    /// Refuses new publishers; those there are go on.
    pub fn drain(&self) {
        lock(&self.shared.registry).shutting_down = true;
    }

    /// Refuses new publishers and ends all streams; their publishers are told.
    pub fn shutdown(&self) {
        let mut registry = lock(&self.shared.registry);
        registry.shutting_down = true;
        self.end_all(&mut registry, "the engine is shutting down", |_| true);
    }

    /// Ends a stream from this side; its publisher is told. False when it is no longer there.
    pub fn end(&self, stream: &Stream, reason: &str) -> bool {
        let mut registry = lock(&self.shared.registry);
        let is_it = registry.streams.get(&stream.key).is_some_and(|entry| entry.stream.session() == stream.session());
        if is_it {
            registry.streams.remove(&stream.key);
            self.shared.end(stream, reason);
        }
        is_it
    }

    fn end_all(&self, registry: &mut Registry, reason: &str, which: impl Fn(&StreamKey) -> bool) {
        for (_, entry) in registry.streams.extract_if(|key, _| which(key)) {
            self.shared.end(&entry.stream, reason);
        }
    }
}

impl Shared {
    fn emit(&self, key: &StreamKey, kind: StreamEventKind) {
        let at_unix_ms = (self.options.clock)();
        self.events.emit(&StreamEvent { key: key.clone(), at_unix_ms, kind });
    }

    /// Ends a stream that has left the registry.
    fn end(&self, stream: &Stream, reason: &str) {
        if stream.enter(StreamState::Ended) {
            stream.log.close();
            self.emit(&stream.key, StreamEventKind::PublishEnded { reason: reason.to_owned() });
        }
    }
}

/// Why a stream has ended whose log was closed by one of its readers.
const CLOSED: &str = "ended by the application";

/// Ties a publisher to its entry in the registry.
struct Hooks {
    shared: Arc<Shared>,
    key: StreamKey,
    publish: u64,
}

impl PublisherHooks for Hooks {
    fn tracks_changed(&mut self, tracks: &Arc<TrackSet>) {
        self.shared.emit(&self.key, StreamEventKind::TracksChanged(tracks.clone()));
    }

    fn gop_truncated(&mut self) {
        self.shared.emit(&self.key, StreamEventKind::GopTruncated);
    }

    fn ended(&mut self, reason: &str, writer: LogWriter) {
        let mut registry = lock(&self.shared.registry);
        let now = registry.now();
        let Some(entry) = registry.streams.get_mut(&self.key).filter(|entry| entry.publish == self.publish) else {
            return; // Replaced, reaped or ended: that was told when it happened.
        };
        // Nobody can go on in a log that was closed.
        if entry.spec.reconnect_grace.is_zero() || writer.log().is_closed() {
            let stream = entry.stream.clone();
            registry.streams.remove(&self.key);
            self.shared.end(&stream, reason);
        } else {
            entry.waiting = Some((writer, now));
            entry.stream.enter(StreamState::Idle);
            self.shared.emit(&self.key, StreamEventKind::PublishInterrupted { reason: reason.to_owned() });
        }
    }
}

/// Hears of the readers of one stream.
struct Readers {
    shared: Arc<Shared>,
    key: StreamKey,
}

impl LogObserver for Readers {
    fn lagged(&self, missed: u64) {
        self.shared.emit(&self.key, StreamEventKind::SubscriberLagged { missed });
    }

    fn evicted(&self, missed: u64) {
        self.shared.emit(&self.key, StreamEventKind::SubscriberEvicted { missed });
    }

    fn joined(&self, protocol: &str) {
        self.shared.emit(&self.key, StreamEventKind::SubscriberJoined { protocol: protocol.to_owned() });
    }

    fn left(&self, protocol: &str) {
        self.shared.emit(&self.key, StreamEventKind::SubscriberLeft { protocol: protocol.to_owned() });
    }
}
