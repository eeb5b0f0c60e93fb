//! A player of RTMP, for what the same stream costs there.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use arcly_wire::rtmp::{ClientConfig, ClientConn, ClientEvent, ClientUse, Limits};

/// A server that does not answer for so long is none.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Plays `live/NAME`. Returns the socket that media comes from.
pub fn play(server: SocketAddr, name: &str) -> Result<TcpStream, String> {
    let mut socket = TcpStream::connect(server).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(ANSWER_TIME)).map_err(|error| error.to_string())?;
    let config = ClientConfig {
        app: "live".to_owned(),
        tc_url: format!("rtmp://{server}/live"),
        stream: name.to_owned(),
        purpose: ClientUse::Play,
    };
    let (start, mut buffer) = (Instant::now(), vec![0; 64 << 10]);
    let mut machine = ClientConn::new(config, Limits::default(), 1, Duration::ZERO);
    loop {
        while let Some(bytes) = machine.poll_output() {
            socket.write_all(&bytes).map_err(|error| error.to_string())?;
        }
        while let Some(event) = machine.poll_event() {
            match event {
                ClientEvent::Started => return Ok(socket),
                ClientEvent::Ended { .. } => return Err(format!("RTMP: {event:?}")),
                _ => {}
            }
        }
        let count = socket.read(&mut buffer).map_err(|error| format!("RTMP: {error}"))?;
        machine.handle_input(start.elapsed(), &buffer[..count]).map_err(|error| error.to_string())?;
    }
}
