//! Frames of the bus to packets for viewers: cut once, sent to each under a header of its own.

mod apart;
mod b_frames;
mod clock;
mod feed;
mod layers;
mod rate;
mod viewer;

pub use self::{apart::Apart, b_frames::BFrames};
pub(crate) use self::{
    feed::{Feed, playable},
    viewer::{Answered, PACE, Pumped, Viewer, burst_chunks},
};
