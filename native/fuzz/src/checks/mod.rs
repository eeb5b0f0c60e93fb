//! What must be true of whatever a peer made us produce.

mod frames;
mod hls;
mod mpegts;

pub use frames::{FrameChecks, check_payload};
pub use hls::ViewChecks;
pub use mpegts::PacketChecks;
