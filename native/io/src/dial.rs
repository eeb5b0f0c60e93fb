//! Connections to others: name, TCP, TLS, all within one deadline.

use std::{io, net::SocketAddr, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{TlsTrust, egress::bound_unsent, tls::Connection};

/// How long name, TCP and TLS may take together.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);
/// How long one of several addresses may take: a dead one must not cost the others their turn.
const ADDRESS_DEADLINE: Duration = Duration::from_secs(3);
/// Bytes that the kernel keeps unsent: more would only be late when the remote is slow.
const UNSENT_MAX: u32 = 128 << 10;
/// How long what was sent may stay unconfirmed: a remote that vanished without a word is found out so.
#[cfg(target_os = "linux")]
const UNCONFIRMED_MAX: Duration = Duration::from_secs(20);

/// Connects to `host`, behind TLS when there is a `tls`; an error is a sentence for a person.
pub(crate) async fn dial(host: &str, port: u16, tls: Option<&TlsTrust>) -> Result<(Connection, SocketAddr), String> {
    let dialling = async {
        let socket = reach(host, port).await?;
        let peer = socket.peer_addr().map_err(|error| format!("cannot connect to {host}:{port}: {error}"))?;
        tune(&socket);
        let Some(tls) = tls else { return Ok((Connection::Plain(socket), peer)) };
        let failed = |error: &dyn std::fmt::Display| format!("no TLS with {host}:{port}: {error}");
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let connector = tls.connector().map_err(|error| failed(&error))?;
        let stream = connector.connect(name, socket).await.map_err(|error| failed(&reason(&error)))?;
        Ok((Connection::Tls(Box::new(stream.into())), peer))
    };
    let late = |_| format!("{host}:{port} does not answer: no connection within {} s", DIAL_DEADLINE.as_secs());
    timeout(DIAL_DEADLINE, dialling).await.map_err(late)?
}

/// Why there is no TLS. Of a self-signed certificate rustls says only what X.509 has against it: `CaUsedAsEndEntity`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let is_authority = text.contains("CaUsedAsEndEntity");
    if is_authority { "its certificate is self-signed: it is an authority's, not a server's".to_owned() } else { text }
}

/// The first address of the name that can be reached.
async fn reach(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = lookup_host((host, port)).await.map_err(|error| format!("{host} is not known: {error}"))?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(ADDRESS_DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(format!("cannot connect to {host}:{port}: {last}"))
}

/// What helps where the kernel knows it, and does no harm where not.
fn tune(socket: &TcpStream) {
    // Media is sent in whole frames: waiting to fill a packet would only delay them.
    let _ = socket.set_nodelay(true);
    let _ = bound_unsent(socket, UNSENT_MAX);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(socket, UNCONFIRMED_MAX.as_millis() as u32);
}
