//! A bad network on a virtual clock: what protocol machines are tested on.
//!
//! A [`Link`] is one direction of a path: datagrams go in at a time, and come out later, in another order, twice, or not at all, as
//! its [`LinkConfig`] and its seed say. The same seed does the same on every machine. Time is an [`Instant`] that the test moves:
//! nothing sleeps.
//!
//! ```
//! use std::time::Duration;
//!
//! use arcly_sim::{Clock, Link, LinkConfig};
//!
//! let mut clock = Clock::new();
//! let mut link = Link::new(LinkConfig { loss: 0.05, delay: Duration::from_millis(40), ..LinkConfig::default() }, 1);
//! for _ in 0..100 {
//!     link.send(clock.now(), b"datagram".as_slice().into());
//!     clock.advance(Duration::from_millis(10));
//!     while let Some(datagram) = link.poll(clock.now()) {
//!         assert_eq!(datagram.as_ref(), b"datagram");
//!     }
//! }
//! // What is still on its way: go from event to event.
//! while let Some(arrival) = link.poll_timeout() {
//!     clock.advance_to(arrival);
//!     while link.poll(clock.now()).is_some() {}
//! }
//! let counts = link.counts();
//! assert_eq!(counts.sent, 100);
//! assert_eq!(counts.delivered + counts.lost, 100);
//! ```
//!
//! Two links in opposite directions are a path. A machine and a link are driven alike: the next moment at which something
//! happens is the earliest of their `poll_timeout`s.

mod clock;
mod link;
mod random;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use link::{Burst, Counts, Link, LinkConfig};
pub use random::Random;

#[cfg(doc)]
use std::time::Instant;
