//! Containers and packagers: frames to bytes and playlists, bytes to frames. No I/O, no clock.

pub mod cmaf;
pub mod container;
pub mod dash;
pub mod flv;
pub mod hls;
pub mod mp4;
pub mod mpegts;
pub mod vod;

mod date;
mod demux;
mod error;
mod gate;
mod group_clock;
mod held;
mod meter;
mod rise;
#[cfg(test)]
mod testing;
mod time;

pub use date::iso_8601;
pub use demux::Item;
pub use error::PackError;
pub use group_clock::GroupClock;
pub use held::{Away, Held, Movable};
pub use rise::Rise;
pub use time::rescale;
