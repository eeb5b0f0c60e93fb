//! Many viewers in one thread, whose CPU time is nobody's concern.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::viewer::Viewer;

/// Offers that are answered and not connected yet: fewer than the server lets one address have.
const CONNECTING_MAX: usize = 8;
/// Between two rounds over all sockets.
const PAUSE: Duration = Duration::from_micros(500);
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
const DATAGRAM_BYTES: usize = 2_000;

/// What all viewers together have seen.
#[derive(Clone, Default)]
pub struct Seen {
    pub connected: usize,
    pub bytes: u64,
    pub packets: u64,
    pub due_packets: u64,
    /// Of each that has had one.
    pub first_frames: Vec<Duration>,
    pub fault: Option<String>,
}

/// They leave when this is dropped.
pub struct Viewers {
    server: SocketAddr,
    joining: mpsc::Sender<Viewer>,
    opened: usize,
    seen: Arc<Mutex<Seen>>,
    is_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Viewers {
    /// None yet, of this server.
    pub fn of(server: SocketAddr) -> Self {
        let (joining, newcomers) = mpsc::channel();
        let (seen, is_ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (notes, end) = (Arc::clone(&seen), is_ended.clone());
        let thread = std::thread::spawn(move || watch(&newcomers, &notes, &end));
        Self { server, joining, opened: 0, seen, is_ended, thread: Some(thread) }
    }

    /// Until there are so many, and all are connected and have had a picture.
    pub fn grow_to(&mut self, count: usize) -> Result<(), String> {
        while self.opened < count {
            self.wait_for("connecting", |seen, opened| seen.connected + CONNECTING_MAX > opened)?;
            let viewer = Viewer::open(self.server)?;
            self.joining.send(viewer).map_err(|_| self.fault())?;
            self.opened += 1;
        }
        self.wait_for("a first picture for each", |seen, opened| seen.first_frames.len() == opened)
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("no thread has panicked").clone()
    }

    fn fault(&self) -> String {
        self.seen().fault.unwrap_or_else(|| "the viewers' thread has ended".to_owned())
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Seen, usize) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + CONNECT_DEADLINE;
        loop {
            let seen = self.seen();
            if let Some(fault) = seen.fault {
                return Err(fault);
            }
            if is_so(&seen, self.opened) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{} of {} viewers: waited in vain for {what}", seen.connected, self.opened));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn watch(newcomers: &mpsc::Receiver<Viewer>, notes: &Mutex<Seen>, end: &AtomicBool) {
    let (mut viewers, mut buffer) = (Vec::new(), vec![0; DATAGRAM_BYTES]);
    while !end.load(Ordering::Relaxed) {
        viewers.extend(newcomers.try_iter());
        let turned: Result<(), String> =
            viewers.iter_mut().try_for_each(|viewer: &mut Viewer| viewer.turn(&mut buffer));
        *notes.lock().expect("no thread has panicked") = Seen {
            connected: viewers.iter().filter(|viewer| viewer.is_connected()).count(),
            bytes: viewers.iter().map(|viewer| viewer.bytes).sum(),
            packets: viewers.iter().map(|viewer| viewer.packets).sum(),
            due_packets: viewers.iter().map(Viewer::due_packets).sum(),
            first_frames: viewers.iter().filter_map(Viewer::first_frame).collect(),
            fault: turned.err(),
        };
        std::thread::sleep(PAUSE);
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
