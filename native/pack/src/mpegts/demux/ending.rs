//! Where a PES packet of unknown length ends, before the next one begins.
//!
//! Encoders need not say how long pictures are (§2.4.3.7), and then each would be complete only with the first packet of the next one:
//! a frame later. But stuffing in an adaptation field stands where data do not suffice to fill a transport packet (§2.4.3.5): at the end
//! of a PES packet, and nowhere else with nearly all encoders. Who has kept to that for long enough is believed. One that sends slices
//! as they are made, each filled up, never gets there; and who goes on behind an end that was believed is not believed any more.

/// PES packets in a row whose end was where stuffing was, before that is believed: more than a second of pictures.
const TRUSTED_AFTER: u8 = 32;

/// What is known of one PID.
#[derive(Debug, Default)]
pub(super) struct Ending {
    trust: Trust,
    /// Bytes of the PES packet that is open with the packet that was filled up.
    stuffed_at: Option<usize>,
    /// It was filled up more than once.
    is_stuffed_within: bool,
    /// The one before was ended by its stuffing, and nothing has come since.
    has_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Learning { kept: u8 },
    Given,
    Refused,
}

impl Default for Trust {
    fn default() -> Self {
        Self::Learning { kept: 0 }
    }
}

impl Ending {
    pub(super) fn begin(&mut self) {
        (self.stuffed_at, self.is_stuffed_within, self.has_ended) = (None, false, false);
    }

    /// A transport packet was filled up, and the PES packet has so many bytes with it: whether it ends here.
    pub(super) fn stuffed(&mut self, bytes: usize) -> bool {
        self.is_stuffed_within |= self.stuffed_at.is_some();
        self.stuffed_at = Some(bytes);
        self.has_ended = self.trust == Trust::Given;
        self.has_ended
    }

    /// The next one begins: this one had so many bytes. One that fills its last packet says nothing.
    pub(super) fn closed(&mut self, bytes: usize) {
        let Some(stuffed_at) = self.stuffed_at else { return };
        let is_kept = stuffed_at == bytes && !self.is_stuffed_within;
        self.trust = match self.trust {
            Trust::Learning { kept } if is_kept && kept + 1 < TRUSTED_AFTER => Trust::Learning { kept: kept + 1 },
            Trust::Learning { .. } if is_kept => Trust::Given,
            trust if is_kept => trust,
            _ => Trust::Refused,
        };
    }

    /// Whether the newest one was ended by its stuffing.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Something is missing: what comes may belong to another one.
    pub(super) fn forget(&mut self) {
        self.has_ended = false;
    }

    /// It went on behind its end.
    pub(super) fn refuse(&mut self) {
        (self.trust, self.has_ended) = (Trust::Refused, false);
    }
}
