//! A client of HTTP/1.1 that keeps its connection, with TLS 1.3 or without.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// One connection.
pub struct Client {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
    /// Bytes in `buffer`.
    filled: usize,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub bytes: usize,
    /// Empty where the body was not asked for.
    pub body: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr, tls: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let wire: Box<dyn Wire> = if tls {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::new(tls_config()?)).connect(name, stream).await?)
        } else {
            Box::new(stream)
        };
        Ok(Self { wire, buffer: vec![0; 256 << 10], filled: 0 })
    }

    /// Fetches `path`; the body is thrown away.
    pub async fn fetch(&mut self, path: &str) -> io::Result<Answer> {
        self.request(path, false).await
    }

    /// Fetches `path` with its body.
    pub async fn read(&mut self, path: &str) -> io::Result<Answer> {
        self.request(path, true).await
    }

    async fn request(&mut self, path: &str, keeps: bool) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.wire.write_all(request.as_bytes()).await?;
        self.wire.flush().await?;
        let head_bytes = loop {
            if let Some(end) = self.buffer[..self.filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_bytes]).to_ascii_lowercase();
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let bytes: usize = length.ok_or_else(|| io::Error::other(format!("no length: {head}")))?;
        let mut body = Vec::new();
        let mut left = bytes;
        let mut from = head_bytes;
        loop {
            let take = (self.filled - from).min(left);
            if keeps {
                body.extend_from_slice(&self.buffer[from..from + take]);
            }
            left -= take;
            if left == 0 {
                break;
            }
            (self.filled, from) = (0, 0);
            self.fill().await?;
        }
        self.filled = 0;
        Ok(Answer { status, bytes, body })
    }

    async fn fill(&mut self) -> io::Result<()> {
        let read = self.wire.read(&mut self.buffer[self.filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        Ok(())
    }
}

fn tls_config() -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(io::Error::other)?;
    let verifier = Arc::new(Anybody(provider.signature_verification_algorithms.supported_schemes()));
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The server is a process of ours: its certificate was made a moment ago.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
