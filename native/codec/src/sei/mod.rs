//! Supplemental enhancement information of H.264, H.265 and H.266 (H.264 Annex D, H.265 Annex D, H.274).
//!
//! SEI NAL units stay in the payload on the bus: what is read here is a look at them.

mod messages;

pub use messages::has_message;

/// `payloadType` of the recovery point.
pub const RECOVERY_POINT: u32 = 6;
