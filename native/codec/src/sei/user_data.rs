//! User data: registered by ITU-T T.35 (captions as ATSC A/53 Part 4 §6.2 and SCTE 128 §8 put them, active format, HDR10+) and
//! behind a UUID.

/// User data registered by ITU-T T.35, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisteredUserData<'a> {
    /// `cc_data()` of `ATSC1_data()`: CEA-608 and CEA-708 captions.
    Captions(Captions<'a>),
    /// `active_format` (ATSC A/53 Part 4 §6.2.4, ETSI TS 101 154 Annex B.3): 8 is the whole frame, 9 is 4:3, 10 is 16:9;
    /// `None` when the message says that there is none.
    ActiveFormat(Option<u8>),
    /// Dynamic metadata for tone mapping (SMPTE ST 2094-40).
    Hdr10Plus,
    /// Everything else.
    Other {
        /// `itu_t_t35_country_code`; 0xB5 is the United States.
        country_code: u8,
        /// What follows it.
        data: &'a [u8],
    },
}

impl<'a> RegisteredUserData<'a> {
    /// Reads the payload of a message; `None` when it is empty.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (&country_code, data) = payload.split_first()?;
        let known = if country_code == COUNTRY_UNITED_STATES { Self::of_united_states(data) } else { None };
        Some(known.unwrap_or(Self::Other { country_code, data }))
    }

    fn of_united_states(data: &'a [u8]) -> Option<Self> {
        match data {
            [0x00, 0x31, b'G', b'A', b'9', b'4', CC_DATA, rest @ ..] => Captions::parse(rest).map(Self::Captions),
            [0x00, 0x31, b'D', b'T', b'G', b'1', rest @ ..] => active_format(rest).map(Self::ActiveFormat),
            // Samsung; application 4 in versions 0 and 1 (ST 2094-40, CTA-861-H Annex S).
            [0x00, 0x3c, 0x00, 0x01, 4, ..] => Some(Self::Hdr10Plus),
            _ => None,
        }
    }
}

/// The UUID and the bytes behind it of an unregistered message (H.264 §D.1.7); `None` when it is shorter than a UUID.
pub fn unregistered_user_data(payload: &[u8]) -> Option<(&[u8; 16], &[u8])> {
    payload.split_first_chunk()
}

/// `afd_data()`: a flag, and the format in the four lowest bits of the next byte.
fn active_format(data: &[u8]) -> Option<Option<u8>> {
    match data {
        [flags, ..] if flags & 0x40 == 0 => Some(None),
        [_, format, ..] => Some(Some(format & 0x0f)),
        _ => None,
    }
}

/// `cc_data()` (CTA-708 §4.3): pairs of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captions<'a> {
    constructs: &'a [u8],
}

impl<'a> Captions<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        // Flags and cc_count, em_data.
        let (&[head, _], constructs) = data.split_first_chunk()?;
        let process_cc_data = head & 0x40 != 0;
        let count = if process_cc_data { usize::from(head & 0x1f) } else { 0 };
        Some(Self { constructs: constructs.get(..3 * count)? })
    }

    /// The pairs that are valid, in transmission order.
    pub fn pairs(&self) -> impl Iterator<Item = CaptionPair> + 'a {
        self.constructs.chunks_exact(3).filter_map(|construct| match construct {
            &[head, first, second] if head & 0x04 != 0 => {
                Some(CaptionPair { kind: CaptionKind::of(head), data: [first, second] })
            }
            _ => None,
        })
    }
}

/// A pair of caption bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptionPair {
    /// What it belongs to.
    pub kind: CaptionKind,
    /// The bytes; those of CEA-608 with their parity bits.
    pub data: [u8; 2],
}

/// `cc_type` (CTA-708 Table 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptionKind {
    /// CEA-608, line 21, field 1 (CC1, CC2).
    Field1,
    /// CEA-608, line 21, field 2 (CC3, CC4).
    Field2,
    /// CEA-708: continuation of a packet.
    PacketData,
    /// CEA-708: beginning of a packet.
    PacketStart,
}

impl CaptionKind {
    fn of(head: u8) -> Self {
        match head & 0b11 {
            0 => Self::Field1,
            1 => Self::Field2,
            2 => Self::PacketData,
            _ => Self::PacketStart,
        }
    }
}

/// `itu_t_t35_country_code`.
const COUNTRY_UNITED_STATES: u8 = 0xb5;
/// `user_data_type_code` of `cc_data()` (ATSC A/53 Part 4 Table 6.9).
const CC_DATA: u8 = 3;
