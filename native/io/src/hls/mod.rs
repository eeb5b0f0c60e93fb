//! HLS and DASH: from the bus to immutable views, and from those to viewers.

mod demand;
pub(crate) mod file;
mod from_bus;
mod groups;
mod growing;
mod keys;
pub(crate) mod output;
pub(crate) mod sent;
pub(crate) mod server;
mod sessions;
mod spill;

pub use arcly_pack::{
    cmaf::CmafConfig,
    hls::{Encryption, HlsConfig, IvKind, KEY_BYTES, KeySource, RandomKeys},
};
pub use from_bus::{OnFailure, PackageConfig, package};
pub use groups::{Group, Groups};
pub use keys::FetchedKeys;
pub use output::HlsOutput;
pub use sessions::SessionInfo;
pub use spill::{Directory, Spill, Store};
