//! HLS and DASH: from the bus to immutable views, and from those to viewers.

pub(crate) mod file;
mod from_bus;
mod growing;
mod output;
pub(crate) mod sent;
pub(crate) mod server;
mod sessions;

pub use arcly_pack::{cmaf::CmafConfig, hls::HlsConfig};
pub use from_bus::{PackageConfig, package};
pub use output::HlsOutput;
pub use sessions::SessionInfo;
