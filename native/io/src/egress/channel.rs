//! The life of one stream in one format: it begins with its first viewer, ends a while after its last, and spreads viewers over workers.

use std::{
    collections::HashMap,
    io,
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arcly_bus::{Log, Subscription};
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    Container, EgressOptions, Framing, ViewerId, ViewerInfo, Watcher,
    body::PacketBody,
    joiner::{Head, Joiner, Seat},
    line::Line,
    list::{Entry, List},
    packet::Packet,
    packets::{Fed, PacketLog, PacketWriter},
    pump::Pump,
    worker::{Event, Worker},
};
use crate::{Inbox, bug::BugReport, lock};

/// A second worker helps once a pass takes longer: it gets those who come from then on, so not too late. It costs: it has to be woken for each
/// picture, and takes a core from whoever reads.
const PASS_MAX: Duration = Duration::from_millis(3);

/// Everything that leaves an engine as endless streams over TCP.
pub struct Egress {
    runtime: Handle,
    options: EgressOptions,
    channels: Mutex<HashMap<ChannelKey, Channel>>,
    list: Arc<List>,
    inbox: Arc<Inbox>,
}

/// A log by its address (its channel holds it, so no other can have the same), and how it is written.
type ChannelKey = (usize, Container, Framing);

#[derive(Clone)]
struct Channel {
    packets: Arc<PacketLog>,
    joiners: mpsc::UnboundedSender<Joiner>,
    /// Held by whoever reads the packets without a pump.
    lease: Arc<()>,
}

/// Why somebody cannot watch.
#[derive(Debug)]
pub(crate) enum PlayError {
    /// [`EgressOptions::viewers_max`] watch already.
    Full,
    /// The operating system has no more descriptors.
    NoDescriptors,
}

/// A viewer who is on the list and has not been sent anything.
pub(crate) struct Ticket {
    egress: Arc<Egress>,
    log: Arc<Log>,
    entry: Entry,
    counted: arcly_bus::Viewer,
}

impl Ticket {
    /// Hands a connected socket, which must not block, over to the pump. `head` is sent first; who reads from the connection holds
    /// the other end of `line`.
    pub(crate) fn play(
        self,
        container: Container,
        framing: Framing,
        socket: TcpStream,
        head: Head,
        line: Option<Arc<Line>>,
    ) -> Result<(), PlayError> {
        let Self { egress, log, entry, counted } = self;
        let mut channels = egress.lock();
        let channel = egress.channel(&mut channels, &log, container, framing).map_err(|_| PlayError::NoDescriptors)?;
        // A channel leaves the map under its lock and only then ends: its end of the queue is there.
        let _ = channel.joiners.send(Joiner { socket, head, entry, counted, line });
        Ok(())
    }

    /// The packets, for whoever sends them in its own way.
    pub(crate) fn reader(self, container: Container, framing: Framing) -> Result<Reader, PlayError> {
        let Self { egress, log, entry, counted } = self;
        let channel =
            egress.channel(&mut egress.lock(), &log, container, framing).map_err(|_| PlayError::NoDescriptors)?;
        Ok(Reader { packets: channel.packets, entry, _counted: counted, _lease: channel.lease })
    }

    /// The stream.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// How long the viewer may take nothing.
    pub(crate) fn stall_max(&self) -> Duration {
        self.egress.stall_max()
    }

    /// Bytes that the kernel may hold for it.
    pub(crate) fn unsent_max(&self) -> u32 {
        self.egress.unsent_max()
    }

    /// The same packets as the body of a response, for a connection that has to be encrypted or shared.
    pub(crate) fn body(self, container: Container, framing: Framing) -> Result<PacketBody, PlayError> {
        let Self { egress, log, entry, counted } = self;
        let channel =
            egress.channel(&mut egress.lock(), &log, container, framing).map_err(|_| PlayError::NoDescriptors)?;
        Ok(PacketBody::new(&channel.packets, entry, counted, channel.lease, egress.options.behind_max))
    }
}

/// A viewer who is written to by somebody else than a pump.
pub(crate) struct Reader {
    pub(crate) packets: Arc<PacketLog>,
    entry: Entry,
    _counted: arcly_bus::Viewer,
    /// Keeps the packets coming.
    _lease: Arc<()>,
}

impl Reader {
    /// Counts what was sent, and how the viewer stands.
    pub(crate) fn count(&self, frames: usize, bytes: usize, cursor: &Subscription<Packet>) {
        let record = &self.entry.0;
        record.frames.fetch_add(frames as u64, Relaxed);
        record.bytes.fetch_add(bytes as u64, Relaxed);
        record.dropped.store(cursor.missed(), Relaxed);
    }

    /// Whether somebody has ended it.
    pub(crate) fn is_kicked(&self) -> bool {
        self.entry.0.is_kicked()
    }
}

impl Egress {
    /// Nobody watches yet. `inbox` is told who comes and goes.
    pub fn new(runtime: Handle, options: EgressOptions, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { runtime, options, channels: Mutex::default(), list: List::new(inbox.clone()), inbox })
    }

    /// All viewers, by age.
    pub fn viewers(&self) -> Vec<ViewerInfo> {
        self.list.all()
    }

    /// Ends a viewer within a second; false when it is not there.
    pub fn kick(&self, id: ViewerId) -> bool {
        self.list.kick(id)
    }

    /// Whether no stream is kept up in any format, now or within `patience`.
    #[cfg(test)]
    pub(super) fn channels_are_gone(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while !self.lock().is_empty() {
            if start.elapsed() >= patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Whether sound leaves by itself.
    pub(crate) fn wants_every_packet(&self) -> bool {
        self.options.every_packet
    }

    /// How long a viewer may take nothing.
    pub(crate) fn stall_max(&self) -> Duration {
        self.options.stall_max
    }

    /// Bytes that the kernel may hold for a viewer.
    pub(crate) fn unsent_max(&self) -> u32 {
        self.options.unsent_max
    }

    /// Ends all viewers.
    pub fn kick_all(&self) {
        self.list.kick_all();
    }

    /// Takes somebody in as a viewer of `log`.
    pub(crate) fn admit(self: &Arc<Self>, log: &Arc<Log>, watcher: Watcher) -> Result<Ticket, PlayError> {
        let counted = log.viewer(watcher.protocol);
        let entry = self.list.enter(watcher, self.options.viewers_max).ok_or(PlayError::Full)?;
        Ok(Ticket { egress: self.clone(), log: log.clone(), entry, counted })
    }

    /// Goes on with a viewer of `log` whom a pump has given back.
    pub(crate) fn resume(
        self: &Arc<Self>,
        log: &Arc<Log>,
        seat: Seat,
        container: Container,
        framing: Framing,
    ) -> Result<PacketBody, PlayError> {
        let channel = self.channel(&mut self.lock(), log, container, framing).map_err(|_| PlayError::NoDescriptors)?;
        Ok(PacketBody::resume(&channel.packets, seat, channel.lease, self.options.behind_max))
    }

    fn channel(
        self: &Arc<Self>,
        channels: &mut HashMap<ChannelKey, Channel>,
        log: &Arc<Log>,
        container: Container,
        framing: Framing,
    ) -> io::Result<Channel> {
        let key = (Arc::as_ptr(log) as usize, container, framing);
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let _context = self.runtime.enter();
        let (joiners, arriving) = mpsc::unbounded_channel();
        let mut writer = PacketWriter::new(log, container, framing);
        // The present GOP, so that the first viewer finds it.
        writer.feed();
        let packets = writer.packets().clone();
        let channel = Channel { packets: packets.clone(), joiners, lease: Arc::default() };
        let load = Arc::new(AtomicUsize::new(0));
        let pump = Pump::new(packets, self.options, load.clone())?;
        let place = Place { egress: self.clone(), key, lease: channel.lease.clone() };
        let worker = Worker::new(pump, arriving, log);
        let main = Main { place, writer, worker, load, helpers: Vec::new(), unused_since: None };
        let report = self.report(container);
        self.runtime.spawn(report.over(main.run()));
        channels.insert(key, channel.clone());
        Ok(channel)
    }

    fn report(&self, container: Container) -> BugReport<String> {
        BugReport::of(format!("what viewers of a stream share ({container:?})"), self.inbox.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelKey, Channel>> {
        lock(&self.channels)
    }
}

/// Another worker's queue, and how many viewers it has.
struct Helper {
    joiners: mpsc::UnboundedSender<Joiner>,
    load: Arc<AtomicUsize>,
}

/// That of a channel in the map: it does not outlive its main worker, however this ends.
struct Place {
    egress: Arc<Egress>,
    key: ChannelKey,
    lease: Arc<()>,
}

impl Place {
    fn leave(&self, channels: &mut HashMap<ChannelKey, Channel>) {
        // Where it has left already, another may have taken its place.
        if channels.get(&self.key).is_some_and(|channel| Arc::ptr_eq(&channel.lease, &self.lease)) {
            channels.remove(&self.key);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave(&mut self.egress.lock());
    }
}

/// The worker that also muxes, and spreads viewers.
struct Main {
    place: Place,
    writer: PacketWriter,
    worker: Worker,
    load: Arc<AtomicUsize>,
    helpers: Vec<Helper>,
    unused_since: Option<Instant>,
}

impl Main {
    async fn run(mut self) {
        while self.writer.feed() == Fed::Everything {
            self.worker.pump.look();
            self.worker.work().await;
            self.get_help();
            if self.is_over() {
                return;
            }
            self.worker.slot.arm();
            if self.writer.has_news() {
                continue;
            }
            let until = self.unused_since.map(|since| since + self.place.egress.options.linger);
            match self.worker.next(until).await {
                Event::Look => {}
                Event::Joiner(joiner) => self.take_in(joiner),
                Event::Ready => self.worker.pump.serve_ready(),
                Event::Over => break,
            }
        }
        let Self { place, writer, worker, helpers, .. } = self;
        // Nobody can come in any more, then the packets end, and by that the helpers.
        drop(place);
        drop((writer, helpers));
        worker.drain().await;
    }

    /// To whoever has the fewest.
    fn take_in(&mut self, joiner: Joiner) {
        let least = self.helpers.iter().min_by_key(|helper| helper.load.load(Relaxed));
        let helper = least.filter(|helper| helper.load.load(Relaxed) < self.load.load(Relaxed));
        let load = helper.map_or(&self.load, |helper| &helper.load);
        // Counted before it is there, so that a burst is spread.
        load.fetch_add(1, Relaxed);
        match helper {
            None => self.worker.pump.join(joiner),
            Some(helper) => drop(helper.joiners.send(joiner)),
        }
    }

    /// Starts another worker when passes take long and there is a core for it.
    fn get_help(&mut self) {
        let egress = &self.place.egress;
        if self.worker.pump.pass_time() < PASS_MAX || self.helpers.len() + 1 >= egress.runtime.metrics().num_workers() {
            return;
        }
        let (packets, load) = (self.worker.pump.packets().clone(), Arc::new(AtomicUsize::new(0)));
        let Ok(pump) = Pump::new(packets.clone(), egress.options, load.clone()) else { return };
        let (joiners, arriving) = mpsc::unbounded_channel();
        let helper = Worker::new(pump, arriving, packets.log());
        let report = egress.report(self.place.key.1);
        egress.runtime.spawn(report.over(helper.help()));
        self.helpers.push(Helper { joiners, load });
    }

    /// Whether nobody has used this for long; then it is out of the map, too.
    fn is_over(&mut self) -> bool {
        let is_used = |lease: &Arc<()>| Arc::strong_count(lease) > LEASES_OF_OURS;
        let loads =
            self.helpers.iter().map(|helper| helper.load.load(Relaxed)).sum::<usize>() + self.load.load(Relaxed);
        if loads > 0 || is_used(&self.place.lease) {
            self.unused_since = None;
            return false;
        }
        let since = *self.unused_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.place.egress.options.linger {
            return false;
        }
        let mut channels = self.place.egress.lock();
        // Under the lock nobody can come in.
        let is_over = self.worker.arriving.is_empty() && !is_used(&self.place.lease);
        if is_over {
            self.place.leave(&mut channels);
        }
        is_over
    }
}

/// The one in the map and the main worker's.
const LEASES_OF_OURS: usize = 2;
