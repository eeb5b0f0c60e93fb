//! How many sessions there are, and how many of an address that has not shown yet that it is there.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use super::WebRtcOptions;
use crate::lock;

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// [`WebRtcOptions::sessions_max`], or [`WebRtcOptions::unconnected_max`].
    Everywhere,
    /// [`WebRtcOptions::unconnected_per_address_max`].
    ForAddress,
}

/// Counts sessions.
#[derive(Debug)]
pub(crate) struct Door {
    counts: Mutex<Counts>,
    sessions_max: usize,
    unconnected_max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: usize,
    unconnected: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Door {
    pub(crate) fn new(options: &WebRtcOptions) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::default(),
            sessions_max: options.sessions_max,
            unconnected_max: options.unconnected_max,
            per_address_max: options.unconnected_per_address_max,
        })
    }

    /// The same for connections of TCP, which connect by the check of a session.
    pub(crate) fn of_tcp(options: &WebRtcOptions) -> Arc<Self> {
        let most = options.tcp_connections_max;
        Self::new(&WebRtcOptions { sessions_max: most, unconnected_max: most, ..options.clone() })
    }

    /// Lets somebody in who has not connected yet.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let mut counts = self.lock();
        if counts.sessions >= self.sessions_max || counts.unconnected >= self.unconnected_max {
            return Err(Full::Everywhere);
        }
        let here = counts.by_address.entry(address).or_default();
        if *here >= self.per_address_max {
            return Err(Full::ForAddress);
        }
        *here += 1;
        counts.sessions += 1;
        counts.unconnected += 1;
        Ok(Place { door: self.clone(), address, is_connected: false })
    }

    /// Sessions now.
    pub(crate) fn sessions(&self) -> usize {
        self.lock().sessions
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }
}

impl Counts {
    fn connect(&mut self, address: IpAddr) {
        self.unconnected -= 1;
        if let Some(here) = self.by_address.get_mut(&address) {
            *here -= 1;
            if *here == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// A session that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    door: Arc<Door>,
    address: IpAddr,
    is_connected: bool,
}

impl Place {
    /// It has shown that it is there.
    pub(crate) fn connect(&mut self) {
        if !std::mem::replace(&mut self.is_connected, true) {
            self.door.lock().connect(self.address);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.door.lock();
        counts.sessions -= 1;
        if !self.is_connected {
            counts.connect(self.address);
        }
    }
}
