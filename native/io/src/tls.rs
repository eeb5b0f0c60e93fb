//! TLS by rustls: who we are, replaceable while connections live, and a connection that is encrypted or not.

use std::{
    fmt,
    fs::File,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::egress::{bound_unsent, wait_for};

/// A certificate chain and its private key. Shared by all listeners that are one server to the world; new connections get what was
/// put in last, old ones go on with theirs.
#[derive(Debug)]
pub struct TlsIdentity {
    key: ArcSwap<CertifiedKey>,
}

/// Why a certificate or a key was refused.
#[derive(Debug)]
pub struct TlsError(pub(crate) String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl TlsIdentity {
    /// Reads PEM: the chain with our certificate first, and a key in PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// [`TlsError`] when one of them cannot be read, or the key does not belong to the certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Arc<Self>, TlsError> {
        certified_key(chain, key).map(|key| Arc::new(Self { key: ArcSwap::from_pointee(key) }))
    }

    /// Takes another certificate for the connections to come.
    ///
    /// # Errors
    /// As [`Self::from_pem`]; the present one stays.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.key.store(Arc::new(certified_key(chain, key)?));
        Ok(())
    }

    /// What a listener needs to speak TLS 1.2 and 1.3 under this name; `alpn` are the protocols that it offers, best first.
    pub(crate) fn acceptor(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for TlsIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

/// Named, not taken from the process: a library has no business with its host's default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certified_key(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let refused = |what: &str, error: &dyn fmt::Display| TlsError(format!("{what}: {error}"));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| refused("the certificate cannot be read", &error))?;
    if chain.is_empty() {
        return Err(TlsError("there is no certificate in the file".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| refused("the private key cannot be read", &error))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| refused("certificate and key", &error))
}

/// A connection of a peer, encrypted or not.
#[derive(Debug)]
pub(crate) enum Connection {
    /// As it comes.
    Plain(TcpStream),
    /// Behind TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// The address of ours that the peer knows.
    pub(crate) fn local_ip(&self) -> Option<std::net::IpAddr> {
        self.socket().local_addr().ok().map(|addr| addr.ip().to_canonical())
    }

    /// Closes it both ways at once, whoever else holds the socket.
    pub(crate) fn reset(&self) {
        let _ = socket2::SockRef::from(self.socket()).shutdown(std::net::Shutdown::Both);
    }

    /// Bounds the bytes that the kernel keeps for the peer and has not sent yet, where it can.
    pub(crate) fn bound_unsent(&self, bytes: u32) {
        let _ = bound_unsent(self.socket(), bytes);
    }

    /// Has it count as readable when so many bytes have come, where that can be said of what comes: not of what is encrypted, of which a
    /// part may have been read already.
    pub(crate) fn wait_for(&self, bytes: usize) {
        if let Self::Plain(stream) = self {
            let _ = wait_for(stream, u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// Sends `bytes`, behind which more comes at once.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_send_more(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        use rustix::net::{SendFlags, send};

        self.poll_plain(context, |stream| Ok(send(stream, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?))
    }

    /// Sends of a file from `offset` on, which it moves. The kernel encrypts nothing: it fails where there is TLS.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_send_file(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_plain(context, |stream| Ok(rustix::fs::sendfile(stream, file, Some(&mut *offset), bytes)?))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn poll_send_more(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(context, bytes)
    }

    /// Nobody makes such a file there.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn poll_send_file(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &File,
        _: &mut u64,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    #[cfg(target_os = "linux")]
    fn poll_plain(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut body: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Self::Plain(stream) = self.get_mut() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        loop {
            std::task::ready!(stream.poll_write_ready(context))?;
            match stream.try_io(tokio::io::Interest::WRITABLE, || body(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn certificate_and_its_key_are_taken_and_replaced() {
        let ((first, first_key), (second, second_key)) = (pem("a.example"), pem("b.example"));
        let identity = TlsIdentity::from_pem(first.as_bytes(), first_key.as_bytes()).unwrap();
        let before = identity.key.load_full();
        identity.replace(second.as_bytes(), second_key.as_bytes()).unwrap();
        assert_ne!(before.cert, identity.key.load_full().cert);
        assert!(identity.acceptor(&[b"h2"]).is_ok());
    }

    #[test]
    fn what_is_refused_leaves_the_present_certificate() {
        let ((chain, key), (_, foreign_key)) = (pem("a.example"), pem("b.example"));
        let identity = TlsIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let before = identity.key.load_full();
        for (chain, key) in [("", key.as_str()), (&chain, ""), ("nonsense", "nonsense"), (&chain, &foreign_key)] {
            let refused = identity.replace(chain.as_bytes(), key.as_bytes());
            assert!(refused.is_err(), "{chain} {key}");
        }
        assert_eq!(before.cert, identity.key.load_full().cert);
    }
}
