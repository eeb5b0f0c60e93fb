//! Which streams there are.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use arcly_bus::{Log, LogBounds, Publisher, PublisherHooks, StreamKey, TrackSet};

use crate::{EventQueue, Rates, StreamEvent, StreamEventKind, events::EventHub, rates::Meter};

/// How an engine behaves. Everything is passed in: an engine has no globals.
#[derive(Clone, Copy)]
pub struct EngineOptions {
    /// Streams that may be published at once. Default 10 000.
    pub max_publishers: usize,
    /// What each stream keeps.
    pub bounds: LogBounds,
    /// The wall clock, in milliseconds of Unix time.
    pub clock: fn() -> u64,
}

/// Who publishes, for people and for the API.
#[derive(Debug, Clone, Default)]
pub struct PublishInfo {
    /// The protocol's name: `rtmp`, `demo`, `python`.
    pub protocol: String,
    /// The peer's address, `192.0.2.1:51234`; `None` for a publisher in this process.
    pub peer: Option<String>,
}

/// Why a publish was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
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
            Self::AlreadyPublishing { key } => write!(f, "{key} is being published already"),
            Self::PublisherLimit { limit } => write!(f, "all {limit} publishers that are allowed are publishing"),
            Self::ShuttingDown => write!(f, "the engine is shutting down"),
        }
    }
}

impl std::error::Error for EngineError {}

/// A stream that is being published.
pub struct Stream {
    key: StreamKey,
    log: Arc<Log>,
    info: PublishInfo,
    started_unix_ms: u64,
    session: u64,
    meter: Mutex<Meter>,
}

impl Stream {
    /// Its name.
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// Its frames.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Who publishes it.
    pub fn info(&self) -> &PublishInfo {
        &self.info
    }

    /// When the publisher took the key, in milliseconds of Unix time.
    pub fn started_unix_ms(&self) -> u64 {
        self.started_unix_ms
    }

    /// Which publish of this engine it is, counted from 1: two publishes of one key differ in it.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// What it carried in the last seconds, as of the last [`Engine::measure`].
    pub fn rates(&self) -> Rates {
        lock(&self.meter).rates
    }
}

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
    streams: HashMap<StreamKey, Arc<Stream>>,
    sessions: u64,
    shutting_down: bool,
}

impl Engine {
    /// An engine without streams.
    pub fn new(options: EngineOptions) -> Self {
        Self { shared: Arc::new(Shared { options, registry: Mutex::default(), events: EventHub::default() }) }
    }

    /// Takes `key` for a new publisher. The key is free again when that publisher is dropped, and by nothing else: a publisher
    /// can never end its successor.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn start_publish(&self, key: StreamKey, info: PublishInfo) -> Result<(Publisher, Arc<Stream>), EngineError> {
        let mut registry = lock(&self.shared.registry);
        self.check(&registry, &key)?;
        registry.sessions += 1;
        let session = registry.sessions;
        let hooks = Hooks { shared: self.shared.clone(), key: key.clone(), session };
        let publisher = Publisher::new(self.shared.options.bounds, Box::new(hooks));
        let stream = Arc::new(Stream {
            key: key.clone(),
            log: publisher.log().clone(),
            info,
            started_unix_ms: (self.shared.options.clock)(),
            session,
            meter: Mutex::default(),
        });
        registry.streams.insert(key.clone(), stream.clone());
        // Under the lock, so that listeners hear of starts and ends of one key in their true order.
        self.shared.emit(&key, StreamEventKind::PublishStarted);
        Ok((publisher, stream))
    }

    fn check(&self, registry: &Registry, key: &StreamKey) -> Result<(), EngineError> {
        let limit = self.shared.options.max_publishers;
        if registry.shutting_down {
            return Err(EngineError::ShuttingDown);
        }
        if registry.streams.contains_key(key) {
            return Err(EngineError::AlreadyPublishing { key: key.clone() });
        }
        if registry.streams.len() >= limit {
            return Err(EngineError::PublisherLimit { limit });
        }
        Ok(())
    }

    /// The stream with that key, if it is being published.
    pub fn stream(&self, key: &StreamKey) -> Option<Arc<Stream>> {
        lock(&self.shared.registry).streams.get(key).cloned()
    }

    /// All streams that are being published, by key.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        let mut streams: Vec<_> = lock(&self.shared.registry).streams.values().cloned().collect();
        streams.sort_by(|a, b| a.key.cmp(&b.key));
        streams
    }

    /// Events from now on; `waker` is called after each, on the thread that caused it.
    pub fn subscribe_events(&self, waker: Waker) -> Arc<EventQueue> {
        self.shared.events.subscribe(waker)
    }

    /// Samples the rates of all streams. Call about once a second with the time since any fixed origin.
    pub fn measure(&self, now: Duration) {
        for stream in self.streams() {
            lock(&stream.meter).sample(now, stream.log.counters());
        }
    }

    /// Refuses new publishers and ends all streams. Their publishers learn it at their next frame.
    pub fn shutdown(&self) {
        lock(&self.shared.registry).shutting_down = true;
        for stream in self.streams() {
            stream.log.close();
        }
    }
}

impl Shared {
    fn emit(&self, key: &StreamKey, kind: StreamEventKind) {
        let at_unix_ms = (self.options.clock)();
        self.events.emit(&StreamEvent { key: key.clone(), at_unix_ms, kind });
    }
}

/// Ties a publisher to its entry in the registry.
struct Hooks {
    shared: Arc<Shared>,
    key: StreamKey,
    session: u64,
}

impl PublisherHooks for Hooks {
    fn tracks_changed(&mut self, tracks: &Arc<TrackSet>) {
        self.shared.emit(&self.key, StreamEventKind::TracksChanged(tracks.clone()));
    }

    fn ended(&mut self, reason: &str) {
        let mut registry = lock(&self.shared.registry);
        if registry.streams.get(&self.key).is_some_and(|stream| stream.session == self.session) {
            registry.streams.remove(&self.key);
        }
        self.shared.emit(&self.key, StreamEventKind::PublishEnded { reason: reason.to_owned() });
    }
}

/// A panic elsewhere must not make the registry unusable: its data are changed by single statements that leave it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(max_publishers: usize) -> Engine {
        Engine::new(EngineOptions { max_publishers, bounds: LogBounds::default(), clock: || 42 })
    }

    fn key(stream: &str) -> StreamKey {
        StreamKey::new("live", stream).unwrap()
    }

    fn start(engine: &Engine, stream: &str) -> Result<Publisher, EngineError> {
        engine.start_publish(key(stream), PublishInfo::default()).map(|(publisher, _)| publisher)
    }

    #[test]
    fn a_key_is_taken_once_and_free_again_after_its_publisher() {
        let engine = engine(10);
        let first = start(&engine, "cam").unwrap();
        assert_eq!(start(&engine, "cam").err(), Some(EngineError::AlreadyPublishing { key: key("cam") }));
        drop(first);
        assert!(engine.stream(&key("cam")).is_none());
        let _second = start(&engine, "cam").unwrap();
        assert_eq!(engine.streams().len(), 1);
    }

    #[test]
    fn max_publishers_is_exact_under_concurrency() {
        let engine = engine(5);
        let engine = &engine;
        let started: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..20).map(|n| scope.spawn(move || start(engine, &format!("s{n}")).ok())).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(started.len(), 5);
        assert_eq!(start(engine, "one-more").err(), Some(EngineError::PublisherLimit { limit: 5 }));
        drop(started);
        assert!(start(engine, "one-more").is_ok());
    }

    #[test]
    fn events_tell_the_life_of_a_stream_with_time_and_reason() {
        let engine = engine(10);
        let events = engine.subscribe_events(Waker::noop().clone());
        start(&engine, "cam").unwrap().end("enough");
        let kinds: Vec<String> = std::iter::from_fn(|| events.pop())
            .map(|event| format!("{} {} {:?}", event.at_unix_ms, event.key, event.kind))
            .collect();
        assert_eq!(kinds, ["42 live/cam PublishStarted", "42 live/cam PublishEnded { reason: \"enough\" }"]);
    }

    #[test]
    fn unread_events_are_bounded_and_counted() {
        let engine = engine(10);
        let events = engine.subscribe_events(Waker::noop().clone());
        (0..600).for_each(|_| drop(start(&engine, "cam").unwrap()));
        assert_eq!(events.dropped(), 1200 - 1024);
    }

    #[test]
    fn shutdown_ends_streams_and_refuses_new_ones() {
        let engine = engine(10);
        let publisher = start(&engine, "cam").unwrap();
        engine.shutdown();
        assert!(publisher.log().is_closed());
        assert_eq!(start(&engine, "b").err(), Some(EngineError::ShuttingDown));
    }
}
