//! Seeded mutation sweeps over everything that reads a peer's bytes.
//!
//! Each target takes valid vectors, breaks them and runs its parser or state machine on the result.
//! A panic, more than a second for one input, or more memory than the target's bound fails the run,
//! with the line that replays the input. Input `K` of seed `S` is the same bytes on every machine.

//!
//! The binary of this package makes inputs by itself (`make fuzz`, `make fuzz-sweep`); the one in `coverage/` lets libFuzzer look for
//! inputs that reach new code (`make fuzz-coverage`).

mod avc;
mod bit_edits;
mod checks;
mod flv;
mod flv_edits;
mod mp4;
mod mutate;
pub mod options;
mod parameter_sets;
#[cfg(test)]
mod parsers;
mod play_back;
mod random;
mod rtp;
mod shrink;
pub mod sweep;
pub mod targets;
mod ts;
mod ts_edits;

pub use mutate::Input;
