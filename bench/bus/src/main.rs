//! The bus against arcly-stream 0.8.3, interleaved in one process on the CPU time of one thread: `README.md` one folder up says how and why.

mod allocator;
mod deliver;
mod footprint;
mod stream;
mod waiting;

use arcly_bench_report::{Output, Row};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// A group of measurements; what it measures is said while it runs.
type Group = (&'static str, fn() -> Vec<Row>);

/// Memory first: a heap that has been used hides what is new in it.
const GROUPS: [Group; 4] = [
    ("memory of streams and subscriptions", footprint::memory),
    ("allocations of publish", footprint::allocations),
    ("deliveries", deliver::rows),
    ("publish while subscribers wait", waiting::rows),
];

fn main() {
    let output = if std::env::args().any(|arg| arg == "--json") { Output::Json } else { Output::Table };
    let mut rows = Vec::new();
    for (what, measure) in GROUPS {
        eprintln!("measuring {what} ...");
        rows.append(&mut measure());
    }
    output.print(&rows);
}
