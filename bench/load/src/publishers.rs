//! Publishers in a thread of their own, each in real time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::clock::{now_ns, thread_cpu_ns};
use crate::fault::Fault;
use crate::inspect::{Inspector, Media, Tally};
use crate::rtmp::amf::{self, Value};
use crate::rtmp::chunk::{self, Header};
use crate::rtmp::{Purpose, Session};
use crate::stream::{self, Shape};

/// Running publishers; they end when this is dropped.
pub struct Publishers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What publishers do once they have begun.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    Publish,
    /// Announce the stream, and send nothing.
    BeSilent,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    cpu_ns: AtomicU64,
    worst_late_ns: AtomicU64,
    /// When the next message is due: a thread that gets no core says nothing about how late it is.
    next_due_ns: AtomicU64,
    kept_waiting: AtomicU64,
    broken: AtomicU64,
}

struct Publisher {
    socket: TcpStream,
    stream_id: u32,
    begin_ns: u64,
    shape: Shape,
    wire: Vec<u8>,
}

/// How the server took a message.
enum Taken {
    AtOnce,
    /// Its socket was full.
    Later,
}

/// The size that OBS sets.
const CHUNK_BYTES: usize = 4096;
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// In which all of them have to have begun, however slowly each goes on.
const START_DEADLINE: Duration = Duration::from_secs(90);
const DATA_CHUNKS: u8 = 4;
const AUDIO_CHUNKS: u8 = 5;
const VIDEO_CHUNKS: u8 = 6;

impl Publishers {
    /// Connects all of them before it returns.
    pub fn start(server: SocketAddr, names: Vec<String>, shape: Shape, conduct: Conduct) -> Result<Self, Fault> {
        let shared = Arc::new(Shared::default());
        let (ready, connected) = mpsc::channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || match dial_all(server, &names, shape) {
            Ok(publishers) => {
                let _ = ready.send(Ok(()));
                run(publishers, conduct, &for_thread);
            }
            Err(fault) => drop(ready.send(Err(fault))),
        });
        connected.recv().unwrap_or(Err(Fault::Closed))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub fn cpu_ns(&self) -> u64 {
        self.shared.cpu_ns.load(Ordering::Relaxed)
    }

    /// Connections that the server has ended.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// By how much the latest message was late: a machine that is too busy to publish in time measures nothing.
    pub fn worst_late(&self) -> Duration {
        let worst_ns = self.shared.worst_late_ns.load(Ordering::Relaxed);
        let present_ns = match self.shared.next_due_ns.load(Ordering::Relaxed) {
            0 => 0,
            due_ns => now_ns().saturating_sub(due_ns),
        };
        Duration::from_nanos(worst_ns.max(present_ns))
    }

    /// Messages for which the server had no room at once; all others waited meanwhile.
    pub fn kept_waiting(&self) -> u64 {
        self.shared.kept_waiting.load(Ordering::Relaxed)
    }

    /// Counts anew.
    pub fn forget(&self) {
        self.shared.worst_late_ns.store(0, Ordering::Relaxed);
        self.shared.kept_waiting.store(0, Ordering::Relaxed);
    }
}

impl Drop for Publishers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn dial_all(server: SocketAddr, names: &[String], shape: Shape) -> Result<Vec<Publisher>, Fault> {
    let deadline = Instant::now() + START_DEADLINE;
    let mut publishers = Vec::with_capacity(names.len());
    for name in names {
        let publisher = Publisher::dial(server, name, shape, deadline)?;
        publishers.push(publisher.ok_or_else(|| {
            let (begun, count, seconds) = (publishers.len(), names.len(), START_DEADLINE.as_secs());
            Fault::Refused(format!("{begun} of {count} publishers could begin in {seconds} s"))
        })?);
    }
    Ok(publishers)
}

impl Shared {
    fn tell_next(&self, queue: &BinaryHeap<Due>) {
        self.next_due_ns.store(queue.peek().map_or(0, |Reverse((due_ns, ..))| *due_ns), Ordering::Relaxed);
    }
}

/// A message that is due: when, of whom, and its number among pictures or audio frames.
type Due = Reverse<(u64, usize, bool, u64)>;

fn run(mut publishers: Vec<Publisher>, conduct: Conduct, shared: &Shared) {
    let mut queue = BinaryHeap::new();
    let (start_ns, count) = (now_ns(), publishers.len() as u64);
    for (index, publisher) in publishers.iter_mut().enumerate() {
        // Spread over a frame, as strangers would be.
        publisher.begin_ns = start_ns + index as u64 * 1_000_000_000 / stream::FRAMES_PER_S / count;
        if conduct == Conduct::Publish {
            queue.extend([
                Reverse((publisher.begin_ns, index, true, 0)),
                Reverse((publisher.begin_ns, index, false, 0)),
            ]);
        }
    }
    while !shared.stop.load(Ordering::Relaxed) {
        shared.cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
        shared.tell_next(&queue);
        let wait_ns = queue.peek().map_or(u64::MAX, |Reverse((due_ns, ..)): &Due| due_ns.saturating_sub(now_ns()));
        if wait_ns > 0 {
            std::thread::sleep(Duration::from_nanos(wait_ns.min(20_000_000)));
        }
        while let Some(due) = queue.pop() {
            // A server that takes nothing keeps each of us for a while: nobody waits for them all.
            if due.0.0 > now_ns() || shared.stop.load(Ordering::Relaxed) {
                queue.push(due);
                break;
            }
            publish(due, &mut publishers, &mut queue, shared);
            shared.tell_next(&queue);
        }
    }
}

fn publish(
    Reverse((due_ns, index, is_video, number)): Due,
    publishers: &mut [Publisher],
    queue: &mut BinaryHeap<Due>,
    shared: &Shared,
) {
    shared.worst_late_ns.fetch_max(now_ns() - due_ns, Ordering::Relaxed);
    let publisher = &mut publishers[index];
    let written = if is_video { publisher.publish_picture(number) } else { publisher.publish_audio(number) };
    match written {
        Ok(Taken::AtOnce) => {}
        Ok(Taken::Later) => drop(shared.kept_waiting.fetch_add(1, Ordering::Relaxed)),
        Err(_) => {
            shared.broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
    let next = number + 1;
    let due_ns = publisher.begin_ns + if is_video { stream::video_due_ns(next) } else { stream::audio_due_ns(next) };
    queue.push(Reverse((due_ns, index, is_video, next)));
}

impl Publisher {
    /// Connects, asks to publish, and announces the stream; `None` when it is too late.
    fn dial(server: SocketAddr, name: &str, shape: Shape, deadline: Instant) -> Result<Option<Self>, Fault> {
        let mut socket = TcpStream::connect_timeout(&server, ANSWER_DEADLINE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
        socket.set_write_timeout(Some(ANSWER_DEADLINE))?;
        let mut session = Session::new(Purpose::Publish, name);
        let (mut inspector, mut tally) = (Inspector::default(), Tally::default());
        let mut buffer = [0; 4096];
        while !session.is_going() {
            if Instant::now() > deadline {
                return Ok(None);
            }
            socket.write_all(&std::mem::take(&mut session.output))?;
            let got = socket.read(&mut buffer)?;
            if got == 0 {
                return Err(Fault::Closed);
            }
            session.receive(&buffer[..got], &mut Media { inspector: &mut inspector, tally: &mut tally, now_ns: 0 })?;
        }
        let mut publisher = Self { socket, stream_id: session.stream_id, begin_ns: 0, shape, wire: session.output };
        publisher.announce()?;
        Ok(Some(publisher))
    }

    fn announce(&mut self) -> std::io::Result<()> {
        let header = Header { type_id: chunk::SET_CHUNK_SIZE, bytes: 4, ..Header::default() };
        chunk::write(&mut self.wire, 2, header, &(CHUNK_BYTES as u32).to_be_bytes(), 128);
        let number = |name: &str, value: f64| (name.to_owned(), Value::Number(value));
        let properties = vec![
            number("width", 1280.0),
            number("height", 720.0),
            number("framerate", stream::FRAMES_PER_S as f64),
            number("videocodecid", 7.0),
            number("videodatarate", self.shape.bits_per_s() as f64 / 1000.0),
            number("audiocodecid", 10.0),
            number("audiosamplerate", stream::AUDIO_RATE_HZ as f64),
        ];
        let metadata =
            amf::encode(&[Value::text("@setDataFrame"), Value::text("onMetaData"), Value::Object(properties)]);
        self.put(DATA_CHUNKS, chunk::DATA, 0, &metadata);
        self.put(VIDEO_CHUNKS, chunk::VIDEO, 0, stream::VIDEO_CONFIG);
        self.put(AUDIO_CHUNKS, chunk::AUDIO, 0, stream::AUDIO_CONFIG);
        self.send().map(drop)
    }

    fn publish_picture(&mut self, number: u64) -> std::io::Result<Taken> {
        let body = self.shape.video_body(number, now_ns());
        self.put(VIDEO_CHUNKS, chunk::VIDEO, stream::video_ms(number), &body);
        self.send()
    }

    fn publish_audio(&mut self, number: u64) -> std::io::Result<Taken> {
        let body = self.shape.audio_body(number);
        self.put(AUDIO_CHUNKS, chunk::AUDIO, stream::audio_ms(number), &body);
        self.send()
    }

    fn put(&mut self, chunk_stream: u8, type_id: u8, timestamp_ms: u64, body: &[u8]) {
        let header =
            Header { timestamp_ms: timestamp_ms as u32, bytes: body.len(), type_id, stream_id: self.stream_id };
        chunk::write(&mut self.wire, chunk_stream, header, body, CHUNK_BYTES);
    }

    fn send(&mut self) -> std::io::Result<Taken> {
        let taken = match send(&self.socket, &self.wire, SendFlags::DONTWAIT) {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(error) => return Err(error.into()),
        };
        let rest = &self.wire[taken..];
        let how = if rest.is_empty() { Taken::AtOnce } else { Taken::Later };
        let sent = self.socket.write_all(rest);
        self.wire.clear();
        sent.map(|()| how)
    }
}
