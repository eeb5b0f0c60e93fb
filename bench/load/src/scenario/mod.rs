//! What is measured.

mod idle;
mod ladder;
mod memory;
mod publishers;
mod stage;
mod stalled;

pub use idle::idle;
pub use ladder::{Ladder, climb, first_frames};
pub use memory::rss_per_viewer;
pub use publishers::{STREAMS, many_streams};
pub use stage::Sample;
pub use stalled::stalled_viewer;
