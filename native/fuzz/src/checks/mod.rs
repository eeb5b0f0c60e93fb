//! What must be true of whatever a peer made us produce.

mod frames;
mod hls;
mod mpegts;

pub use frames::{FrameChecks, check_payload, is_canonical};
pub use hls::ViewChecks;
pub use mpegts::PacketChecks;
