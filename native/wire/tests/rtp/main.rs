//! RTP: payload formats there and back, with losses on the way.
#![cfg(test)]

mod aac;
mod eac3;
mod foreign;
mod formats;
mod links;
mod media;
mod mpa_robust;
mod nal;
mod opus;
mod sources;
mod stream;
mod vp9;
