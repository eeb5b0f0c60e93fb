//! SRT: two ends on a virtual clock, and one against what peers must not send.

#![cfg(test)]

mod connecting;
mod group;
mod hostile;
mod network;
mod pacing;
mod pair;
