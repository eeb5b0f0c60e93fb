//! The keys of a handshake, kept from str0m: who seals packets itself must be the only one that does, for two counters under one key would
//! use a nonce twice.
//!
//! str0m lets its DTLS be chosen, once for the process, and hands out no handle to the one that a session gets. So ours leaves a handle
//! for whoever has just had one made, on the same thread.

use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use str0m::crypto::{
    CryptoError, CryptoProvider,
    dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion},
    from_feature_flags,
};

use crate::webrtc::srtp::Keys;

/// Where the keys of a session are once its handshake is done.
pub(super) type KeySlot = Arc<OnceLock<Keys>>;

thread_local! {
    static LATEST: RefCell<Option<KeySlot>> = const { RefCell::new(None) };
}

/// As everywhere, but with the keys kept.
pub(in crate::webrtc) fn keeping_keys(of: &CryptoProvider) -> CryptoProvider {
    static KEEPER: Keeper = Keeper;
    CryptoProvider { dtls_provider: &KEEPER, ..of.clone() }
}

/// The slot of the session that was built last on this thread, with [`keeping_keys`].
pub(super) fn slot() -> Option<KeySlot> {
    LATEST.take()
}

struct Keeper;

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl DtlsProvider for Keeper {
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
        let inner = from_feature_flags().dtls_provider.new_dtls(cert, now, version, mtu)?;
        let keys = KeySlot::default();
        LATEST.set(Some(keys.clone()));
        Ok(Box::new(Kept { inner, keys }))
    }
}

#[derive(Debug)]
struct Kept {
    inner: Box<dyn DtlsInstance>,
    keys: KeySlot,
}

impl DtlsInstance for Kept {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.inner.poll_output(buf) {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let _ = self.keys.set(Keys::new(profile, &material, self.inner.is_active()));
                // Something has to be said instead. It is known already, and known twice it is no news.
                DtlsOutput::Connected
            }
            output => output,
        }
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
