//! Files as publishers.

mod pass;
mod read;
mod to_bus;

pub use read::{FileError, FileErrorKind, MediaReader};
pub use to_bus::{PlayOptions, Player, play};
