//! HLS and DASH: from the bus to immutable views, and from those to viewers.

mod clocks;
pub(crate) mod file;
mod from_bus;
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
pub use clocks::Clocks;
pub use from_bus::{OnFailure, PackageConfig, package};
pub use keys::FetchedKeys;
pub use output::HlsOutput;
pub use sessions::SessionInfo;
pub use spill::{Directory, Spill, Store};
