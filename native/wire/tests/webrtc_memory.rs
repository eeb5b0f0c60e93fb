//! What a viewer costs: bytes that its session keeps of the allocator while it plays 2.5 Mbit/s.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arcly_codec::Codec;
use arcly_wire::webrtc::{Lane, Limits, Offer, OutgoingPacket, Output, PlayedCodec, Session, Settings, Transport};
use str0m::{
    Candidate, Input, Output as RtcOutput, Rtc, RtcConfig,
    change::SdpAnswer,
    media::{Direction, MediaKind},
    net::{Protocol, Receive},
};

const SERVER: &str = "192.0.2.1:8189";
const CLIENT: &str = "198.51.100.7:50000";
const STEP: Duration = Duration::from_millis(5);
const PICTURE: Duration = Duration::from_millis(40);
const PACKETS_OF_A_PICTURE: u32 = 11;
const PAYLOAD_BYTES: usize = 1_180;

/// More than a viewer is found to keep, less than what would be noticed with a thousand of them.
const VIEWER_BYTES_MAX: i64 = 112 << 10;

/// Counts what is taken and given back while the session is being called.
struct Counting;

thread_local! {
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    if IS_COUNTING.get() {
        BYTES.set(BYTES.get() + bytes);
    }
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted<T>(call: impl FnOnce() -> T) -> T {
    IS_COUNTING.set(true);
    let result = call();
    IS_COUNTING.set(false);
    result
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A viewer and its session, over a link that takes no time.
struct Pair {
    client: Rtc,
    session: Session,
    to_client: Vec<Vec<u8>>,
    to_server: Vec<Vec<u8>>,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let settings = Arc::new(Settings::new(Limits::default(), vec![addr(SERVER)], vec![addr(SERVER)]).unwrap());
        let mut client = RtcConfig::new().set_rtp_mode(true).build(now);
        client.add_local_candidate(Candidate::host(addr(CLIENT), "udp").unwrap());
        let mut changes = client.sdp_api();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            changes.add_media(kind, Direction::RecvOnly, None, None, None);
        }
        let (offer, pending) = changes.apply().unwrap();
        let offer = offer.to_sdp_string();
        let played = [PlayedCodec { codec: Codec::H264, profile: 66 }, PlayedCodec { codec: Codec::Opus, profile: 0 }];
        let (session, sdp) = counted(|| {
            let offer = Offer::parse(&offer, &Limits::default()).unwrap();
            let (session, answer) = Session::play(&settings, offer, &played, now).unwrap();
            (session, answer)
        });
        client.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&sdp.sdp).unwrap()).unwrap();
        counted(|| drop(sdp));
        Self { client, session, to_client: Vec::new(), to_server: Vec::new(), now }
    }

    fn step(&mut self) {
        self.now += STEP;
        for bytes in std::mem::take(&mut self.to_server) {
            counted(|| self.session.handle_datagram(self.now, Transport::Udp, addr(CLIENT), &bytes)).unwrap();
            self.poll_session();
        }
        counted(|| self.session.handle_timeout(self.now)).unwrap();
        self.poll_session();
        for bytes in std::mem::take(&mut self.to_client) {
            let Ok(receive) = Receive::new(Protocol::Udp, addr(SERVER), addr(CLIENT), &bytes) else { continue };
            self.client.handle_input(Input::Receive(self.now, receive)).unwrap();
            self.poll_client();
        }
        self.client.handle_input(Input::Timeout(self.now)).unwrap();
        self.poll_client();
    }

    fn poll_session(&mut self) {
        loop {
            let output = counted(|| self.session.poll()).unwrap();
            if let Output::Transmit(transmit) = &output {
                self.to_client.push(transmit.bytes.clone());
            }
            let is_over = matches!(output, Output::Timeout(_));
            counted(|| drop(output));
            if is_over {
                return;
            }
        }
    }

    fn poll_client(&mut self) {
        loop {
            match self.client.poll_output().unwrap() {
                RtcOutput::Timeout(_) => return,
                RtcOutput::Transmit(transmit) => self.to_server.push(transmit.contents.to_vec()),
                RtcOutput::Event(_) => {}
            }
        }
    }

    fn play(&mut self, time: Duration) {
        let payload: Arc<[u8]> = vec![0x41; PAYLOAD_BYTES].into();
        let (start, mut picture) = (self.now, 0);
        while self.now < start + time {
            if self.now >= start + PICTURE * picture {
                for packet in 1..=PACKETS_OF_A_PICTURE {
                    let outgoing = OutgoingPacket {
                        timestamp: picture * 3600,
                        marker: packet == PACKETS_OF_A_PICTURE,
                        payload: payload.clone(),
                        wall: self.now,
                    };
                    counted(|| self.session.send(Lane::Video, outgoing)).unwrap();
                }
                picture += 1;
            }
            self.step();
        }
    }
}

#[test]
fn a_viewer_costs_no_more_than_it_should() {
    let mut pair = Pair::new();
    let offered = BYTES.get();
    while !pair.client.is_connected() {
        pair.step();
    }
    let connected = BYTES.get();
    for seconds in 1..=4 {
        pair.play(Duration::from_secs(1));
        println!("{} bytes after {seconds} s", BYTES.get());
    }
    println!(
        "{offered} bytes when offered, {connected} when connected; {} in the session itself",
        size_of::<Session>()
    );
    assert!(BYTES.get() + size_of::<Session>() as i64 <= VIEWER_BYTES_MAX, "{} bytes", BYTES.get());
}
