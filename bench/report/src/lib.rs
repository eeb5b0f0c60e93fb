//! What the benches share: the rows that they print, and clocks that others on the machine do not spoil.

mod clock;
mod row;

pub use clock::{Contestant, Stopwatch, cpu_ns_of, interleaved, median, thread_cpu_ns};
pub use row::{Goal, Output, Row};
