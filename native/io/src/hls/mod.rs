//! HLS: from the bus to immutable views of a playlist, and from those to viewers.

mod from_bus;
mod output;
pub(crate) mod server;
mod sessions;

pub use arcly_pack::hls::HlsConfig;
pub use from_bus::package;
pub use output::HlsOutput;
