//! RTSP: our client and our server, machine to machine.
#![cfg(test)]

mod sessions;
mod world;
