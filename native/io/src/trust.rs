//! TLS by rustls, the client's side: whom we believe to be who they say.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use crate::tls::{TlsError, provider};

/// Whose certificates we believe when we connect to others. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TlsTrust(Kind);

#[derive(Debug, Clone, Default)]
enum Kind {
    /// Authorities of the operating system.
    #[default]
    System,
    /// Those, and more.
    Also(Arc<Vec<CertificateDer<'static>>>),
    /// No authority is asked: whoever answers is believed.
    Anybody,
}

impl TlsTrust {
    /// The authorities that the operating system trusts, and those in `pem`: for servers whose certificate comes from an authority of
    /// one's own.
    ///
    /// # Errors
    /// [`TlsError`] when there is no certificate in `pem`.
    pub fn also(pem: &[u8]) -> Result<Self, TlsError> {
        let authorities: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError(format!("the authorities cannot be read: {error}")))?;
        if authorities.is_empty() {
            return Err(TlsError("there is no certificate in the file of authorities".into()));
        }
        Ok(Self(Kind::Also(Arc::new(authorities))))
    }

    /// No check at all: whoever sits between us and the server can read and change what we send. Never a default.
    pub fn unverified() -> Self {
        Self(Kind::Anybody)
    }

    /// What a connection needs. Reads the system's authorities, once in a process.
    ///
    /// # Errors
    /// [`TlsError`] when an authority cannot be used, or the system has none and none was given.
    pub(crate) fn connector(&self) -> Result<TlsConnector, TlsError> {
        let failed = |error: rustls::Error| TlsError(error.to_string());
        let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(failed)?;
        let config = match &self.0 {
            Kind::System => config.with_root_certificates(roots(&[])?),
            Kind::Also(authorities) => config.with_root_certificates(roots(authorities)?),
            Kind::Anybody => config.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider()))),
        };
        Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
    }
}

/// The authorities of the system and `more`. One that is broken in the system's store is passed over, as browsers do.
fn roots(more: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    static SYSTEM: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| rustls_native_certs::load_native_certs().certs);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system.iter().cloned());
    for authority in more {
        roots.add(authority.clone()).map_err(|error| TlsError(format!("an authority cannot be used: {error}")))?;
    }
    if roots.is_empty() {
        return Err(TlsError("this system has no certificate authorities (on Debian: ca-certificates)".into()));
    }
    Ok(roots)
}

/// Believes every certificate; still checks that the server has its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_or_refused() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        assert!(TlsTrust::also(made.cert.pem().as_bytes()).unwrap().connector().is_ok());
        assert!(TlsTrust::also(b"").is_err());
        assert!(TlsTrust::also(b"nonsense").is_err());
        assert!(TlsTrust::unverified().connector().is_ok());
    }
}
