//! The server's side of RTMP, driven by a client that shares no code with it.
#![cfg(test)]

mod chunks;
mod client;
mod commands;
mod egress;
mod foreign;
mod limits;
mod live;
mod mutations;
mod pair;
mod play;
mod script;
mod sessions;
mod timeouts;
