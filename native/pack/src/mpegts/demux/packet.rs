//! The transport packet (§2.4.3.2) and its adaptation field (§2.4.3.4), read.

use super::super::PACKET_BYTES;

/// What a packet says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// `transport_error_indicator`: some bit is wrong, and nothing here can be trusted.
    pub(super) is_broken: bool,
    /// `payload_unit_start_indicator`.
    pub(super) unit_start: bool,
    /// `transport_scrambling_control` is not 0.
    pub(super) is_scrambled: bool,
    pub(super) counter: u8,
    /// `discontinuity_indicator`.
    pub(super) discontinuity: bool,
    /// `program_clock_reference_base`.
    pub(super) pcr_90k: Option<i64>,
    /// Whether the adaptation field is longer than what is in it: there were not bytes enough to fill the packet (§2.4.3.5).
    pub(super) is_stuffed: bool,
    /// `None` when the packet is all adaptation field.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// `None` when the adaptation field does not fit.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8; PACKET_BYTES]) -> Option<Self> {
        let [_, b1, b2, b3, body @ ..] = bytes;
        let (has_field, has_payload) = (b3 & 0x20 != 0, b3 & 0x10 != 0);
        let mut packet = Self {
            pid: u16::from_be_bytes([b1 & 0x1F, *b2]),
            is_broken: b1 & 0x80 != 0,
            unit_start: b1 & 0x40 != 0,
            is_scrambled: b3 & 0xC0 != 0,
            counter: b3 & 0x0F,
            discontinuity: false,
            pcr_90k: None,
            is_stuffed: false,
            payload: has_payload.then_some(body),
        };
        if has_field {
            packet.read_adaptation(body)?;
        }
        Some(packet)
    }

    fn read_adaptation(&mut self, body: &'a [u8]) -> Option<()> {
        let (length, rest) = body.split_first()?;
        let (field, payload) = rest.split_at_checked(usize::from(*length))?;
        if let Some(flags) = field.first() {
            self.discontinuity = flags & 0x80 != 0;
            self.pcr_90k = if flags & 0x10 != 0 { clock_base(field) } else { None };
        }
        self.is_stuffed = field.len() != content_bytes(field);
        self.payload = self.payload.map(|_| payload);
        Some(())
    }
}

/// `program_clock_reference_base`, which stands behind the flags.
fn clock_base(field: &[u8]) -> Option<i64> {
    let &[_, a, b, c, d, e] = field.first_chunk()?;
    Some(i64::from(u32::from_be_bytes([a, b, c, d])) << 1 | i64::from(e >> 7))
}

/// What an adaptation field has besides stuffing; an empty one stuffs a single byte.
fn content_bytes(field: &[u8]) -> usize {
    let Some(flags) = field.first() else { return 1 };
    let fixed = 1 + [(0x10, 6), (0x08, 6), (0x04, 1)]
        .iter()
        .map(|(flag, bytes)| if flags & flag != 0 { *bytes } else { 0 })
        .sum::<usize>();
    let counted = |at: usize, flag: u8| match field.get(at) {
        Some(bytes) if flags & flag != 0 => at + 1 + usize::from(*bytes),
        _ => at,
    };
    counted(counted(fixed, 0x02), 0x01)
}

/// The next counter of a PID, and what it says (§2.4.3.3).
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// Of the newest packet with a payload, and whether that was a repetition already.
    newest: Option<(u8, bool)>,
}

/// What a counter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The next packet.
    Next,
    /// The counter of the packet before: the same packet again, which is allowed once, or fifteen that are missing.
    Same,
    /// Something is missing.
    Gap,
}

impl Continuity {
    /// Whether the next packet should have this counter.
    #[inline]
    pub(super) fn is_next(&self, counter: u8) -> bool {
        self.newest.is_some_and(|(newest, _)| counter == (newest + 1) & 0x0F)
    }

    /// Takes a packet that [`is_next`](Self::is_next).
    #[inline]
    pub(super) fn follow(&mut self, counter: u8) {
        self.newest = Some((counter, false));
    }

    /// Judges the next packet with a payload.
    #[inline]
    pub(super) fn step(&mut self, counter: u8, discontinuity: bool) -> Step {
        let step = match self.newest {
            _ if discontinuity => Step::Next,
            None => Step::Next,
            Some((newest, _)) if counter == (newest + 1) & 0x0F => Step::Next,
            Some((newest, false)) if counter == newest => Step::Same,
            Some(_) => Step::Gap,
        };
        self.newest = Some((counter, step == Step::Same));
        step
    }
}
