//! Connections to others: name, TCP, TLS, all within one deadline.

use std::{io, net::SocketAddr, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{TlsTrust, tls::Connection};

/// How long name, TCP and TLS may take together.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);

/// Connects to `host`, behind TLS when there is a `tls`; an error is a sentence for a person.
pub(crate) async fn dial(host: &str, port: u16, tls: Option<&TlsTrust>) -> Result<(Connection, SocketAddr), String> {
    let dialling = async {
        let socket = reach(host, port).await?;
        let peer = socket.peer_addr().map_err(|error| format!("cannot connect to {host}:{port}: {error}"))?;
        // Media is sent in whole frames: waiting to fill a packet would only delay them.
        let _ = socket.set_nodelay(true);
        let Some(tls) = tls else { return Ok((Connection::Plain(socket), peer)) };
        let failed = |error: &dyn std::fmt::Display| format!("no TLS with {host}:{port}: {error}");
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let connector = tls.connector().map_err(|error| failed(&error))?;
        let stream = connector.connect(name, socket).await.map_err(|error| failed(&error))?;
        Ok((Connection::Tls(Box::new(stream.into())), peer))
    };
    let late = |_| format!("{host}:{port} does not answer: no connection within {} s", DIAL_DEADLINE.as_secs());
    timeout(DIAL_DEADLINE, dialling).await.map_err(late)?
}

/// The first address of the name that can be reached.
async fn reach(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = lookup_host((host, port)).await.map_err(|error| format!("{host} is not known: {error}"))?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(format!("cannot connect to {host}:{port}: {last}"))
}
