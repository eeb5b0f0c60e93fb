//! What each PID is.

use super::psi::MAX_STREAMS;

/// What a PID is to the demuxer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Nowhere,
    Association,
    Map,
    /// Carries the clock and nothing that is read.
    Clock,
    /// The index of a stream of the chosen program.
    Stream(u8),
}

const PID_COUNT: usize = 0x2000;

const NOWHERE: u8 = 0;
const ASSOCIATION: u8 = 1;
const MAP: u8 = 2;
const CLOCK: u8 = 3;
const FIRST_STREAM: u8 = 4;

const _: () = assert!(MAX_STREAMS <= (u8::MAX - FIRST_STREAM) as usize, "every stream has a code");

/// The routes of all PIDs. A byte each, so that they are cleared at once: a hostile stream brings a new table in every packet.
#[derive(Debug)]
pub(super) struct Routes(Vec<u8>);

impl Default for Routes {
    fn default() -> Self {
        Self(vec![NOWHERE; PID_COUNT])
    }
}

impl Routes {
    pub(super) fn of(&self, pid: u16) -> Route {
        match self.0.get(usize::from(pid)) {
            None | Some(&NOWHERE) => Route::Nowhere,
            Some(&ASSOCIATION) => Route::Association,
            Some(&MAP) => Route::Map,
            Some(&CLOCK) => Route::Clock,
            Some(&code) => Route::Stream(code.saturating_sub(FIRST_STREAM)),
        }
    }

    pub(super) fn set(&mut self, pid: u16, route: Route) {
        let code = match route {
            Route::Nowhere => NOWHERE,
            Route::Association => ASSOCIATION,
            Route::Map => MAP,
            Route::Clock => CLOCK,
            Route::Stream(index) => FIRST_STREAM.saturating_add(index),
        };
        if let Some(at) = self.0.get_mut(usize::from(pid)) {
            *at = code;
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(NOWHERE);
    }
}
