//! PES packets (§2.4.3.6) out of the payloads of one PID.

use bytes::{Buf, Bytes};

use super::{super::BODY_BYTES, ending::Ending};

/// Up to and with `PES_packet_length`.
const PREFIX_BYTES: usize = 6;
/// Up to and with `PES_header_data_length`.
const HEADER_BYTES: usize = 9;

/// Puts the PES packets of one PID together. Holds one, never more bytes than its limit.
#[derive(Debug)]
pub(super) struct Assembler {
    bytes: Vec<u8>,
    is_open: bool,
    /// Bytes of the whole PES packet when it says them; 0 is unbounded (§2.4.3.7).
    declared_bytes: usize,
    /// With fewer bytes than these nothing has happened: the end has not come, nor the limit. 0 while the length is not read.
    quiet_bytes: usize,
    max_bytes: usize,
    is_video: bool,
    /// Memory to take at once for the next one: what the newest one had, and an eighth.
    expected_bytes: usize,
    /// Of pictures.
    ending: Ending,
}

/// What comes of more bytes.
#[derive(Debug)]
pub(super) enum Added {
    /// Nothing yet.
    Nothing,
    /// A PES packet is complete by its length.
    Packet(PesPacket),
    /// The PES packet is no such thing, or larger than the limit; it is dropped.
    Dropped,
}

/// A PES packet.
#[derive(Debug)]
pub(super) struct PesPacket {
    /// `PES_packet_data_byte`s.
    pub(super) content: Bytes,
    pub(super) pts: Option<i64>,
    pub(super) dts: Option<i64>,
    /// `PES_scrambling_control` is not 0.
    pub(super) is_scrambled: bool,
}

impl Assembler {
    pub(super) fn new(max_bytes: usize, is_video: bool) -> Self {
        Self {
            bytes: Vec::new(),
            is_open: false,
            declared_bytes: 0,
            quiet_bytes: 0,
            max_bytes,
            is_video,
            expected_bytes: 0,
            ending: Ending::default(),
        }
    }

    /// Begins a PES packet; what came of the one before is to be taken by [`Self::close`] first.
    pub(super) fn begin(&mut self, payload: &[u8]) -> Added {
        self.bytes.reserve(self.expected_bytes);
        (self.is_open, self.declared_bytes, self.quiet_bytes) = (true, 0, 0);
        self.ending.begin();
        if self.append(payload) { self.settle() } else { Added::Nothing }
    }

    /// Takes more of it. Bytes behind its end, or without a beginning, are passed over. Whether there is something to
    /// [`settle`](Self::settle).
    #[inline]
    pub(super) fn append(&mut self, payload: &[u8]) -> bool {
        if !self.is_open {
            return self.ending.has_ended() && !payload.is_empty();
        }
        self.bytes.extend_from_slice(payload);
        self.bytes.len() >= self.quiet_bytes
    }

    /// Takes more of it if nothing comes of that. Whether it did.
    #[inline]
    pub(super) fn append_quietly(&mut self, payload: &[u8; BODY_BYTES]) -> bool {
        let is_quiet = self.is_open && self.bytes.len() + BODY_BYTES < self.quiet_bytes;
        if is_quiet {
            self.bytes.extend_from_slice(payload);
        }
        is_quiet
    }

    /// What came of the bytes that were appended.
    pub(super) fn settle(&mut self) -> Added {
        if !self.is_open {
            // It goes on, and was given out already.
            self.ending.refuse();
            return Added::Dropped;
        }
        if self.quiet_bytes == 0 && !self.read_prefix() || self.bytes.len() > self.max_bytes {
            self.drop_open();
            return Added::Dropped;
        }
        if self.declared_bytes == 0 || self.bytes.len() < self.declared_bytes {
            return Added::Nothing;
        }
        // A PES packet fills its transport packets to the end. Where there is more, the 16 bits of its length have wrapped, as
        // some encoders let them with large pictures: it ends where the next one begins.
        if self.is_video && self.bytes.len() > self.declared_bytes {
            (self.declared_bytes, self.quiet_bytes) = (0, self.max_bytes.saturating_add(1));
            return Added::Nothing;
        }
        self.bytes.truncate(self.declared_bytes);
        self.take().map_or(Added::Dropped, Added::Packet)
    }

    /// The transport packet that came last was filled up by stuffing: what comes of that.
    pub(super) fn stuffed(&mut self) -> Added {
        let is_unbounded = self.is_open && self.declared_bytes == 0 && self.bytes.len() >= HEADER_BYTES;
        if !self.is_video || !is_unbounded || !self.ending.stuffed(self.bytes.len()) {
            return Added::Nothing;
        }
        self.take().map_or(Added::Dropped, Added::Packet)
    }

    /// Ends the PES packet where the next one begins: one that is unbounded is complete, one that declared more is not.
    pub(super) fn close(&mut self) -> Added {
        if !self.is_open {
            return Added::Nothing;
        }
        if self.declared_bytes > 0 {
            self.drop_open();
            return Added::Dropped;
        }
        self.ending.closed(self.bytes.len());
        self.take().map_or(Added::Dropped, Added::Packet)
    }

    /// Whether only the next one tells where the one that is open ends.
    pub(super) fn is_unbounded(&self) -> bool {
        self.is_open && self.declared_bytes == 0
    }

    /// Forgets the PES packet that is open. Whether there was one.
    pub(super) fn drop_open(&mut self) -> bool {
        self.bytes.clear();
        self.ending.forget();
        std::mem::take(&mut self.is_open)
    }

    /// Whether `payload` is what came last: then the packet is a repetition.
    pub(super) fn ends_with(&self, payload: &[u8]) -> bool {
        !self.is_open || self.bytes.ends_with(payload)
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it can still become a PES packet.
    fn read_prefix(&mut self) -> bool {
        let prefix = self.bytes.get(..3).unwrap_or(&self.bytes);
        if !b"\0\0\x01".starts_with(prefix) {
            return false;
        }
        if let Some(&[_, _, _, _, high, low]) = self.bytes.first_chunk::<PREFIX_BYTES>() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            self.declared_bytes = if length == 0 { 0 } else { PREFIX_BYTES + length };
            let end = if length == 0 { usize::MAX } else { self.declared_bytes };
            self.quiet_bytes = end.min(self.max_bytes.saturating_add(1));
        }
        true
    }

    fn take(&mut self) -> Option<PesPacket> {
        self.is_open = false;
        let mut bytes = std::mem::take(&mut self.bytes);
        self.expected_bytes = bytes.len() + bytes.len() / 8;
        // It becomes a frame, and frames are kept for seconds: no byte more than they have.
        bytes.shrink_to_fit();
        PesPacket::parse(bytes)
    }
}

impl PesPacket {
    /// `None` when it is none with a header: padding, a program stream map and the like (Table 2-21), or garbage.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let &[_, _, _, stream_id, _, _, control, flags, header_bytes] = bytes.first_chunk::<HEADER_BYTES>()?;
        if !has_header(stream_id) || control & 0xC0 != 0x80 {
            return None;
        }
        let content_at = HEADER_BYTES + usize::from(header_bytes);
        let (pts, dts) = times(flags, bytes.get(HEADER_BYTES..content_at)?);
        // Not a slice, which would be the second one who has these bytes.
        let mut content = Bytes::from(bytes);
        content.advance(content_at);
        Some(Self { pts, dts, is_scrambled: control & 0x30 != 0, content })
    }
}

/// Whether PES packets with this `stream_id` have a header behind `PES_packet_length` (Table 2-21).
fn has_header(stream_id: u8) -> bool {
    !matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF)
}

/// PTS and DTS. Marker bits are not judged: some encoders forget them, and what is read is the same.
fn times(flags: u8, fields: &[u8]) -> (Option<i64>, Option<i64>) {
    let (pts, rest) = fields.split_first_chunk::<5>().map_or((None, fields), |(pts, rest)| (Some(pts), rest));
    let dts = rest.first_chunk::<5>();
    match flags & 0xC0 {
        0x80 => (pts.map(time), None),
        0xC0 => (pts.map(time), dts.map(time)),
        _ => (None, None),
    }
}

/// 33 bits in three groups, each closed by a marker bit.
fn time(&[a, b, c, d, e]: &[u8; 5]) -> i64 {
    i64::from(a >> 1 & 7) << 30 | i64::from(b) << 22 | i64::from(c >> 1) << 15 | i64::from(d) << 7 | i64::from(e >> 1)
}
