//! Files as publishers.

mod clip;
mod to_bus;

pub use clip::Clip;
pub use to_bus::{Player, play};
