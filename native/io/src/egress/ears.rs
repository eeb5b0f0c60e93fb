//! Hearing viewers who have something to say, from the pump itself: WebSocket's pings and goodbyes, without a task for each viewer.

use std::{io, net::TcpStream};

use arcly_wire::websocket::{CloseCode, Listener};
use bytes::Bytes;

use super::socket::receive;

/// Bytes read at a time.
const READ_BYTES: usize = 2048;

/// Bytes that a viewer may have said since it was last heard. Stops one that would keep the pump reading; pings are 125 bytes at most.
const SAID_BYTES_MAX: usize = 64 << 10;

/// What is heard of one viewer.
#[derive(Default)]
pub(crate) struct Ears {
    listener: Listener,
    /// It has hung up.
    is_gone: bool,
}

impl Ears {
    /// Reads all that has come; whether there is something to be done about it.
    pub(crate) fn hear(&mut self, socket: &TcpStream) -> bool {
        let mut buffer = [0; READ_BYTES];
        let mut said = 0;
        while !self.is_closed() {
            match receive(socket, &mut buffer) {
                Ok(0) => self.is_gone = true,
                Ok(read) => {
                    said += read;
                    // It is told of its fault by the answer.
                    let _ = self.listener.hear(buffer.get(..read).unwrap_or_default());
                    if said > SAID_BYTES_MAX {
                        self.listener.refuse(CloseCode::TooBig);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.is_gone = true,
            }
        }
        self.listener.has_answer() || self.is_closed()
    }

    pub(crate) fn take_answer(&mut self) -> Option<Bytes> {
        self.listener.take_answer()
    }

    /// It wants, or gets, no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_gone || self.listener.is_closed()
    }
}
