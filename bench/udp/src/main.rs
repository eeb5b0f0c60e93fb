//! The seam to UDP against one call for each datagram, in turn on CPU time. `README.md` one folder up says how and why.

use std::net::UdpSocket as StdSocket;

use arcly_bench_report::{Goal, Output, Row, cpu_ns_of, interleaved};
use tokio::runtime::{Builder, Runtime};

// It is nobody's to use but arcly's own; a crate of its own would be one for the sake of this bench.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../../native/io/src/udp/mod.rs"]
mod udp;

use udp::{Outbound, UdpOptions, UdpSocket};

const DATAGRAM_BYTES: usize = 1316;
const ROUNDS: usize = 301;

fn main() {
    let is_json = std::env::args().any(|argument| argument == "--json");
    let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    let mut rows = Vec::new();
    for (receivers, each) in [(1, 64), (50, 8), (200, 2), (200, 1)] {
        eprintln!("measuring {receivers} destinations ...");
        rows.push(sending(&runtime, receivers, each));
    }
    eprintln!("measuring what comes in ...");
    rows.push(receiving(&runtime));
    if is_json { Output::Json } else { Output::Table }.print(&rows);
}

fn open(runtime: &Runtime, coalesced: bool) -> UdpSocket {
    let addr = "127.0.0.1:0".parse().expect("an address");
    UdpSocket::bind(runtime.handle(), addr, &UdpOptions { coalesced, ..UdpOptions::default() }).expect("a socket")
}

/// CPU time of one datagram, `each` of them to each of so many receivers.
fn sending(runtime: &Runtime, receivers: usize, each: usize) -> Row {
    let receivers: Vec<_> = (0..receivers).map(|_| StdSocket::bind("127.0.0.1:0").expect("a socket")).collect();
    receivers.iter().for_each(|receiver| receiver.set_nonblocking(true).expect("a mode"));
    let addresses: Vec<_> = receivers.iter().map(|receiver| receiver.local_addr().expect("an address")).collect();
    let (ours, plain) = (open(runtime, false), StdSocket::bind("127.0.0.1:0").expect("a socket"));
    let (mut outbound, payload) = (Outbound::new(1 << 20), [7; DATAGRAM_BYTES]);
    let count = (receivers.len() * each) as f64;
    let drain = || {
        let mut buffer = [0; DATAGRAM_BYTES];
        receivers.iter().for_each(|receiver| while receiver.recv(&mut buffer).is_ok() {});
    };
    let times = interleaved(
        ROUNDS,
        vec![
            Box::new(|| {
                drain();
                let spent = cpu_ns_of(|| {
                    for address in &addresses {
                        (0..each).for_each(|_| assert!(outbound.push(*address, None, &[&payload])));
                    }
                    runtime.block_on(ours.flush(&mut outbound)).expect("a network");
                });
                spent / count
            }),
            Box::new(|| {
                drain();
                let spent = cpu_ns_of(|| {
                    for address in &addresses {
                        (0..each).for_each(|_| assert!(plain.send_to(&payload, *address).is_ok()));
                    }
                });
                spent / count
            }),
        ],
    );
    let name = format!("send, {} destinations, {each} datagrams each", receivers.len());
    // One datagram to each is what no segmentation helps; there only the calls are saved.
    let goal = if each >= 8 { Goal::Ratio(2.0) } else { Goal::None };
    Row::new(name, "ns", times[0], goal).peer(times[1])
}

/// CPU time of taking one datagram of those that wait.
fn receiving(runtime: &Runtime) -> Row {
    const COUNT: usize = 64;
    let (ours, plain) = (open(runtime, true), StdSocket::bind("127.0.0.1:0").expect("a socket"));
    plain.set_nonblocking(true).expect("a mode");
    let (sender, mut outbound, payload) = (open(runtime, false), Outbound::new(1 << 20), [7; DATAGRAM_BYTES]);
    let plain_address = plain.local_addr().expect("an address");
    let mut send = |to| {
        (0..COUNT).for_each(|_| assert!(outbound.push(to, None, &[&payload])));
        runtime.block_on(sender.flush(&mut outbound)).expect("a network");
    };
    let send = std::cell::RefCell::new(&mut send);
    let (mut inbound, mut buffer) = (ours.inbound(), [0; 2048]);
    let times = interleaved(
        ROUNDS,
        vec![
            Box::new(|| {
                (send.borrow_mut())(ours.addr());
                let mut taken = 0;
                let spent = cpu_ns_of(|| {
                    while taken < COUNT {
                        runtime.block_on(ours.receive(&mut inbound)).expect("datagrams");
                        taken +=
                            inbound.datagrams().map(|datagram| datagram.bytes.len() / DATAGRAM_BYTES).sum::<usize>();
                    }
                });
                spent / COUNT as f64
            }),
            Box::new(|| {
                (send.borrow_mut())(plain_address);
                let mut taken = 0;
                let spent = cpu_ns_of(|| {
                    while taken < COUNT {
                        taken += usize::from(plain.recv_from(&mut buffer).is_ok());
                    }
                });
                spent / COUNT as f64
            }),
        ],
    );
    Row::new(format!("receive, {COUNT} datagrams of one peer"), "ns", times[0], Goal::Ratio(2.0)).peer(times[1])
}
