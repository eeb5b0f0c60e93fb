//! DTLS as str0m would have it, but with one configuration for all sessions: dimpl tries out everything that a library of ciphers says it can do,
//! keys on three curves among it, whenever a configuration is made, and that was half of what an answer cost.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use dimpl::{Config, Dtls, DtlsCertificate};
use str0m::crypto::{
    CryptoError, CryptoProvider,
    dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion},
    from_feature_flags,
};

/// `of`, with the DTLS of this module.
pub(in crate::webrtc) fn configured_once(of: &CryptoProvider) -> CryptoProvider {
    static SHARED: Shared = Shared;
    CryptoProvider { dtls_provider: &SHARED, ..of.clone() }
}

#[derive(Debug)]
pub(super) struct Shared;

impl DtlsProvider for Shared {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = config(mtu).map_err(|error| CryptoError::Other(error.to_string()))?;
        let cert = DtlsCertificate { certificate: cert.certificate.clone(), private_key: cert.private_key.clone() };
        let dtls = match version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, cert, now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, cert, now),
            DtlsVersion::Auto => Dtls::new_auto(config, cert, now),
            _ => return Err(CryptoError::Other(format!("no DTLS {version}"))),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

/// The first one is kept: all sessions of ours have datagrams of one size.
fn config(mtu: Option<usize>) -> Result<Arc<Config>, dimpl::Error> {
    static FIRST: OnceLock<Arc<Config>> = OnceLock::new();
    if let Some(first) = FIRST.get().filter(|first| mtu.is_none_or(|mtu| mtu == first.mtu())) {
        return Ok(first.clone());
    }
    // ICE has shown that the peer is where it says: a cookie would only take another way there and back.
    let mut builder = Config::builder().use_server_cookie(false);
    if let Some(mtu) = mtu {
        builder = builder.mtu(mtu);
    }
    let made = Arc::new(builder.build()?);
    let _ = FIRST.set(made.clone());
    Ok(made)
}

struct Instance(Dtls);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
