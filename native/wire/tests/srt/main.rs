//! SRT: two ends on a virtual clock, and one against what peers must not send.

mod connecting;
mod pair;
