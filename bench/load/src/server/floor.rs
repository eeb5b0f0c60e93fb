//! This program again, as the floor.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use super::process::{Server, new_directory, spawn};
use crate::floor::WriteEvery;
use crate::stream::Shape;

pub fn start(writes: WriteEvery, shape: Shape) -> Result<Server, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let writes = match writes {
        WriteEvery::Message => "message".to_owned(),
        WriteEvery::Picture => "picture".to_owned(),
        WriteEvery::Window(window) => window.as_millis().to_string(),
    };
    let arguments = ["floor".to_owned(), writes, shape.bits_per_s().to_string()];
    let mut child = spawn(Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut port = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut port).map_err(|error| error.to_string())?;
    }
    let port = port.trim().parse().map_err(|_| "the floor does not start")?;
    Ok(Server::started(child, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), new_directory()?))
}
