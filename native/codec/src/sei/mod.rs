//! Supplemental enhancement information of H.264 (Annex D), H.265 (Annex D) and H.266 (ITU-T H.274).
//!
//! SEI NAL units stay in the payload on the bus: what is read here is a look at them. The messages have the same numbers and
//! forms in the three standards but for two, which say so.
//!
//! - `messages`: the messages of a NAL unit.
//! - `user_data`: captions (CEA-608 and CEA-708), active format, HDR10+, data of anybody.
//! - `hdr`: mastering display and content light level.
//! - `timecode`: clock times of pictures.
//! - `recovery`: where decoding can begin although there is no key frame.

mod hdr;
mod messages;
mod recovery;
#[cfg(test)]
mod tests;
mod timecode;
mod user_data;

pub(crate) use hdr::hdr;
pub use messages::{Message, Messages, Sei, has_message};
pub use recovery::RecoveryPoint;
pub use timecode::Timecode;
pub(crate) use timecode::{ClockForm, read_clock};
pub use user_data::{CaptionKind, CaptionPair, Captions, RegisteredUserData, unregistered_user_data};

/// `payloadType` of picture timing.
pub const PICTURE_TIMING: u32 = 1;
/// `payloadType` of user data registered by ITU-T T.35.
pub const USER_DATA_REGISTERED: u32 = 4;
/// `payloadType` of user data behind a UUID.
pub const USER_DATA_UNREGISTERED: u32 = 5;
/// `payloadType` of the recovery point (H.264, H.265).
pub const RECOVERY_POINT: u32 = 6;
/// `payloadType` of the time code (H.265).
pub const TIME_CODE: u32 = 136;
/// `payloadType` of the mastering display colour volume.
pub const MASTERING_DISPLAY: u32 = 137;
/// `payloadType` of the content light level information.
pub const CONTENT_LIGHT: u32 = 144;
/// `payloadType` of the alternative transfer characteristics: HLG in a stream that older displays take for BT.709.
pub const ALTERNATIVE_TRANSFER: u32 = 147;
