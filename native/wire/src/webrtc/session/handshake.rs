//! The keys of a handshake, kept from str0m: who seals packets itself must be the only one that does, for two counters under one key would
//! use a nonce twice. And its DTLS, once str0m is dropped.
//!
//! str0m lets its DTLS be chosen, once for the process, and hands out no handle to the one that a session gets. So ours leaves a handle
//! for whoever has just had one made, on the same thread.

use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use str0m::crypto::{
    CryptoError, CryptoProvider,
    dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion},
};

use super::dtls::Shared;
use crate::webrtc::srtp::Keys;

/// What comes of a handshake.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    keys: Slot<Keys>,
    dtls: Slot<Box<dyn DtlsInstance>>,
}

/// Something that is put in, and taken out once.
#[derive(Debug)]
struct Slot<T>(Mutex<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    /// What it replaces.
    fn set(&self, value: T) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(value)
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Handshake {
    /// The keys, once it is done, and once only: nobody needs them behind that.
    pub(super) fn take_keys(&self) -> Option<Keys> {
        self.keys.take()
    }

    /// The connection, once str0m is dropped.
    pub(super) fn take_dtls(&self) -> Option<Box<dyn DtlsInstance>> {
        self.dtls.take()
    }
}

thread_local! {
    static LATEST: RefCell<Option<Arc<Handshake>>> = const { RefCell::new(None) };
}

/// As everywhere, but with the keys kept.
pub(in crate::webrtc) fn keeping_keys(of: &CryptoProvider) -> CryptoProvider {
    static KEEPER: Keeper = Keeper;
    CryptoProvider { dtls_provider: &KEEPER, ..of.clone() }
}

/// The handshake of the session that was built last on this thread, with [`keeping_keys`].
pub(super) fn latest() -> Option<Arc<Handshake>> {
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
        Shared.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = Shared.new_dtls(cert, now, version, mtu)?;
        let handshake = Arc::<Handshake>::default();
        LATEST.set(Some(handshake.clone()));
        Ok(Box::new(Kept { inner: Some(inner), handshake }))
    }
}

/// Hands all on, but for the keys.
#[derive(Debug)]
struct Kept {
    /// Until it is dropped.
    inner: Option<Box<dyn DtlsInstance>>,
    handshake: Arc<Handshake>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.handshake.dtls.set(inner);
        }
    }
}

impl DtlsInstance for Kept {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let Some(inner) = &mut self.inner else { return DtlsOutput::CloseNotify };
        match inner.poll_output(buf) {
            DtlsOutput::KeyingMaterial(material, profile) => {
                if let Some(keys) = Keys::new(profile, &material, inner.is_active()) {
                    let _ = self.handshake.keys.set(keys);
                }
                // Something has to be said instead. It is known already, and known twice it is no news.
                DtlsOutput::Connected
            }
            output => output,
        }
    }

    fn set_active(&mut self, active: bool) {
        self.inner.as_mut().map(|inner| inner.set_active(active)).unwrap_or_default();
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.as_mut().map_or(Ok(()), |inner| inner.handle_packet(packet))
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.as_mut().map_or(Ok(()), |inner| inner.handle_timeout(now))
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.as_mut().map_or(Ok(0), |inner| inner.send_application_data(data))
    }

    fn is_active(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_active())
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.as_ref().and_then(|inner| inner.protocol_version())
    }

    fn is_closing(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_closing())
    }

    fn is_closed(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_closed())
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.as_mut().map_or(Ok(()), |inner| inner.close())
    }
}
