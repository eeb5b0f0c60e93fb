//! The units of which a recorded stream is made, one behind the other: packets (ISO/IEC 13818-1 §2.4.3.2), tags (FLV §E.4.1).

use arcly_bus::{Track, TrackId};
use arcly_codec::{Codec, MediaKind};
use bytes::Bytes;

use super::sets;
use crate::{
    PackError,
    container::Container,
    flv::{TagKind, TagRole, role_of},
    mpegts::{PACKET_BYTES, TsDemuxer, TsOptions},
};

/// Bytes of a tag in front of its body, and behind it.
const TAG_HEADER_BYTES: usize = 11;
const TAG_TRAILER_BYTES: usize = 4;
/// Bytes of the header of an FLV file with its first `PreviousTagSize` (§E.2, §E.3).
const FLV_HEADER_BYTES: usize = 13;
/// The track of the first pictures of a transport stream.
const FIRST_VIDEO: TrackId = TrackId(0);
/// `TypeFlagsVideo` (§E.2).
const HAS_VIDEO: u8 = 0x01;

/// More packets than a demuxer wants to see in a row before it believes that they are packets.
const SYNC_PACKETS: usize = 8;
/// A packet with nothing in it (ISO/IEC 13818-1 §2.4.1).
const NULL_PACKET: [u8; PACKET_BYTES] = {
    let mut packet = [0xFF; PACKET_BYTES];
    (packet[0], packet[1], packet[3]) = (0x47, 0x1F, 0x10);
    packet
};

/// What a unit is to somebody who wants to begin in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Needed in front of everything.
    Head,
    /// With it begins a frame with which decoding can begin.
    Entry,
    /// With it begins another frame, of the same stream.
    Start,
    /// With it begins a frame of another stream, at that time, if it says one: in ticks of 90 kHz, modulo the period of the container.
    Beside(Option<i64>),
    /// It goes on with what is before it, or holds nothing.
    Inner,
}

/// Splits a recording of ours into its units: whole, in their order, from its beginning.
#[derive(Debug)]
pub(super) enum Units {
    MpegTs(Box<Packets>),
    Flv(Tags),
}

impl Units {
    pub fn new(container: Container) -> Result<Self, PackError> {
        match container {
            Container::MpegTs => Ok(Self::MpegTs(Box::default())),
            Container::Flv => Ok(Self::Flv(Tags::default())),
            Container::Mp4 => Err(PackError::Misuse { what: "MP4 is no stream of units" }),
        }
    }

    /// What else a part needs in front of it, once these tracks are known.
    pub fn sets(&self, tracks: &[Track]) -> Bytes {
        match self {
            Self::MpegTs(packets) => packets.sets(tracks),
            Self::Flv(_) => Bytes::new(),
        }
    }

    /// The size of the unit with which `bytes` begin; `None` when too few have come to know it.
    pub fn size(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::MpegTs(_) => Some(PACKET_BYTES),
            Self::Flv(tags) => tags.size(bytes),
        }
    }

    /// The size and role of the unit with which `bytes` begin; `None` when it is not whole. `offset` is for error messages.
    pub fn next(&mut self, bytes: &Bytes, offset: u64) -> Result<Option<(usize, Role)>, PackError> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        match self {
            Self::MpegTs(packets) => packets.next(bytes, offset),
            Self::Flv(tags) => tags.next(bytes, offset),
        }
    }
}

/// Packets of a transport stream.
#[derive(Debug, Default)]
pub(super) struct Packets {
    /// Reads the tables.
    tables: TsDemuxer,
    /// PID of the stream whose frames say where to begin, and whether it is pictures: of sound, every frame will do.
    lead: Option<(u16, bool)>,
    pids: Vec<u16>,
}

impl Packets {
    fn next(&mut self, bytes: &Bytes, offset: usize) -> Result<Option<(usize, Role)>, PackError> {
        let Some(packet) = bytes.first_chunk::<PACKET_BYTES>() else { return Ok(None) };
        let [sync, b1, b2, b3, length, flags, ..] = *packet;
        if sync != 0x47 {
            return Err(PackError::Malformed { what: "sync_byte", offset });
        }
        let Some((lead, is_picture)) = self.lead else {
            self.read_tables(packet);
            return Ok(Some((PACKET_BYTES, Role::Head)));
        };
        let (pid, begins) = (u16::from_be_bytes([b1 & 0x1F, b2]), b1 & 0x40 != 0);
        // `random_access_indicator` (§2.4.3.5).
        let is_random_access = b3 & 0x20 != 0 && length > 0 && flags & 0x40 != 0;
        let role = match begins {
            true if pid == lead && (is_random_access || !is_picture) => Role::Entry,
            true if pid == lead => Role::Start,
            true if self.pids.contains(&pid) => Role::Beside(pts_90k(packet)),
            _ => Role::Inner,
        };
        Ok(Some((PACKET_BYTES, role)))
    }

    /// The parameter sets that pictures of the stream with which parts begin need.
    fn sets(&self, tracks: &[Track]) -> Bytes {
        let Some((pid, true)) = self.lead else { return Bytes::new() };
        let video = tracks.iter().find(|track| track.id == FIRST_VIDEO);
        video.map_or(Bytes::new(), |track| sets::packets(pid, &track.config))
    }

    fn read_tables(&mut self, packet: &[u8]) {
        self.tables.push(packet);
        // It looks at a packet when it has seen that others follow.
        (0..SYNC_PACKETS).for_each(|_| self.tables.push(&NULL_PACKET));
        let programs = self.tables.programs();
        let streams = programs.iter().filter(|program| program.is_chosen).flat_map(|program| &program.streams);
        let media: Vec<(u16, Codec)> = streams.filter_map(|stream| Some((stream.pid, stream.codec?))).collect();
        let of_kind = |kind| media.iter().find(|(_, codec)| codec.kind() == kind).map(|(pid, _)| *pid);
        let video = of_kind(MediaKind::Video).map(|pid| (pid, true));
        self.lead = video.or(of_kind(MediaKind::Audio).map(|pid| (pid, false)));
        self.pids = media.into_iter().map(|(pid, _)| pid).collect();
        if self.lead.is_some() {
            self.tables = TsDemuxer::new(TsOptions::default());
        }
    }
}

/// The PTS in the header of a PES packet (ISO/IEC 13818-1 §2.4.3.6) that begins in that packet.
fn pts_90k(packet: &[u8; PACKET_BYTES]) -> Option<i64> {
    let &[_, _, _, b3, length, ..] = packet;
    let field_bytes = if b3 & 0x20 != 0 { 1 + usize::from(length) } else { 0 };
    let pes = packet.get(4 + field_bytes..)?;
    let &[0, 0, 1, _, _, _, _, flags, _, a, b, c, d, e] = pes.first_chunk()? else { return None };
    // 33 bits in three groups, each closed by a marker bit.
    let pts = i64::from(a >> 1 & 7) << 30
        | i64::from(b) << 22
        | i64::from(c >> 1) << 15
        | i64::from(d) << 7
        | i64::from(e >> 1);
    (flags & 0x80 != 0).then_some(pts)
}

/// Tags of FLV.
#[derive(Debug, Default)]
pub(super) struct Tags {
    has_header: bool,
    has_video: bool,
    has_frame: bool,
}

impl Tags {
    fn size(&self, bytes: &[u8]) -> Option<usize> {
        if !self.has_header {
            return Some(FLV_HEADER_BYTES);
        }
        let &[_, s0, s1, s2, ..] = bytes.first_chunk::<TAG_HEADER_BYTES>()?;
        Some(TAG_HEADER_BYTES + u32::from_be_bytes([0, s0, s1, s2]) as usize + TAG_TRAILER_BYTES)
    }

    fn next(&mut self, bytes: &Bytes, offset: usize) -> Result<Option<(usize, Role)>, PackError> {
        if !self.has_header {
            return self.header(bytes, offset);
        }
        let Some((size, unit)) = self.size(bytes).and_then(|size| Some((size, bytes.get(..size)?))) else {
            return Ok(None);
        };
        let Some((&[kind, _, _, _, t1, t2, t3, t0, ..], rest)) = unit.split_first_chunk::<TAG_HEADER_BYTES>() else {
            return Ok(None);
        };
        // `TimestampExtended` and `Timestamp`.
        let time_90k = i64::from(u32::from_be_bytes([t0, t1, t2, t3])) * 90;
        let body = rest.get(..rest.len() - TAG_TRAILER_BYTES).unwrap_or_default();
        let kind = match kind & 0x1F {
            8 => TagKind::Audio,
            9 => TagKind::Video,
            18 => TagKind::Script,
            _ => return Err(PackError::Malformed { what: "TagType", offset }),
        };
        Ok(Some((size, self.role(kind, time_90k, bytes.slice_ref(body)))))
    }

    fn header(&mut self, bytes: &Bytes, offset: usize) -> Result<Option<(usize, Role)>, PackError> {
        let Some(&[f, l, v, _, flags, ..]) = bytes.first_chunk::<FLV_HEADER_BYTES>() else { return Ok(None) };
        if [f, l, v] != *b"FLV" {
            return Err(PackError::Malformed { what: "FLV signature", offset });
        }
        (self.has_header, self.has_video) = (true, flags & HAS_VIDEO != 0);
        Ok(Some((FLV_HEADER_BYTES, Role::Head)))
    }

    fn role(&mut self, kind: TagKind, time_90k: i64, body: Bytes) -> Role {
        let role = match role_of(kind, body) {
            TagRole::KeyFrame => Role::Entry,
            // Of sound alone every frame will do.
            TagRole::Frame if kind == TagKind::Audio && !self.has_video => Role::Entry,
            TagRole::Frame if kind == TagKind::Audio => Role::Beside(Some(time_90k)),
            TagRole::Frame => Role::Start,
            TagRole::Metadata | TagRole::Configuration | TagRole::End if self.has_frame => Role::Inner,
            TagRole::Metadata | TagRole::Configuration | TagRole::End => Role::Head,
        };
        self.has_frame |= matches!(role, Role::Entry | Role::Start | Role::Beside(_));
        role
    }
}
