//! Frames to packets: cut once, for all viewers of a stream, by TCP and by UDP, with the same source and the same numbers.
//!
//! In front of each key picture, and every few seconds, a track says by RTCP what its times are in those of the wall clock: so a viewer who
//! begins there knows from the first packets on how its tracks belong together (RFC 3550 §6.4.1). A stream that ends says so by a BYE.

use std::time::Duration;

use arcly_bus::{Frame, FrameFlags, TrackId, TrackSet};
use arcly_pack::PackError;
use arcly_wire::{
    rtp::{
        HEADER_BYTES, Header, Packetizer,
        rtcp::{Chunk, RtcpPacket, SenderInfo, ntp_of_unix},
    },
    rtsp::frame_header,
};
use bytes::BytesMut;

use super::{
    sealed::FIRST_SEQUENCE,
    tracks::{Outgoing, PACKET_BYTES_MAX, can_follow, outgoing},
};
use crate::{
    clock::unix_time,
    egress::{Draft, Format, Framing, Headers},
};

/// How often a track tells its times when no key picture does.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Writes the packets of a stream, each behind the header of RTSP (RFC 2326 §10.12) on the usual channel of its track.
#[derive(Default)]
pub(crate) struct Packets {
    senders: Vec<Sender>,
    video: Option<TrackId>,
    anchor: Option<Anchor>,
}

/// One track: a source of RTP.
struct Sender {
    outgoing: Outgoing,
    packetizer: Packetizer,
    channel: u8,
    header: Header,
    /// The time 0 of the track, so that two streams have nothing in common (RFC 3550 §5.1).
    origin: u32,
    packets: u32,
    bytes: u32,
    /// When it last told its times, in nanoseconds of the stream; none when it has to.
    reported_ns: Option<i64>,
    /// Presentation and decoding time of its last frame.
    last: Option<(i64, i64)>,
}

/// A time of the stream and the same by the wall clock.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    stream_ns: i64,
    unix_ns: i64,
}

impl Packets {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Every track tells its times with its next frame.
    fn report_soon(&mut self) {
        self.senders.iter_mut().for_each(|sender| sender.reported_ns = None);
    }

    /// Appends the packets of one frame.
    ///
    /// # Errors
    /// [`PackError`] for a frame that cannot be cut; nothing is appended then.
    pub(crate) fn put(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), PackError> {
        if frame.is_discontinuity() {
            self.anchor = None;
        }
        if self.anchor.is_none() || (frame.is_key() && self.video == Some(frame.track)) {
            self.report_soon();
        }
        let Some(sender) = self.senders.iter_mut().find(|sender| sender.outgoing.track == frame.track) else {
            return Ok(());
        };
        let anchor = *self.anchor.get_or_insert_with(|| Anchor::now(sender.stream_ns(frame.dts)));
        sender.write(frame, anchor, out)
    }
}

impl Format for Packets {
    fn configure(&mut self, tracks: &TrackSet) -> Result<Headers, PackError> {
        let mut before = std::mem::take(&mut self.senders);
        for (place, outgoing) in outgoing(tracks).into_iter().enumerate() {
            let is_same =
                |it: &Sender| it.outgoing.track == outgoing.track && it.outgoing.format.is_like(&outgoing.format);
            let known = before.iter().position(is_same).map(|at| before.swap_remove(at));
            self.senders.extend(Sender::of(outgoing, place, known));
        }
        let is_video = |sender: &&Sender| sender.outgoing.config.video().is_some();
        self.video = self.senders.iter().find(is_video).map(|sender| sender.outgoing.track);
        if self.senders.is_empty() {
            return Err(PackError::Unsupported { what: "tracks for RTP" });
        }
        Ok(Headers::default())
    }

    fn carries(&self, track: TrackId) -> bool {
        self.senders.iter().any(|sender| sender.outgoing.track == track)
    }

    fn write(&mut self, frame: &Frame, _: &[Frame], out: &mut Draft) -> Result<(), PackError> {
        self.put(frame, &mut out.own)
    }

    fn can_go_on(&self, tracks: &TrackSet, _framing: Framing) -> bool {
        can_follow(self.senders.iter().map(|sender| &sender.outgoing), &outgoing(tracks))
    }

    fn end(&mut self) -> Vec<Frame> {
        let Some(anchor) = self.anchor else { return Vec::new() };
        self.senders.iter().filter_map(|sender| sender.goodbye(anchor)).collect()
    }
}

impl Anchor {
    fn now(stream_ns: i64) -> Self {
        let unix = unix_time();
        Self { stream_ns, unix_ns: i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX) }
    }

    /// The wall clock at a time of the stream.
    fn unix_ns(self, stream_ns: i64) -> u64 {
        self.unix_ns.saturating_add(stream_ns.saturating_sub(self.stream_ns)).max(0).unsigned_abs()
    }
}

impl Sender {
    /// A source for a track; it goes on as `known` where that is the same track in the same format.
    fn of(outgoing: Outgoing, place: usize, known: Option<Self>) -> Option<Self> {
        let channel = u8::try_from(2 * place).ok()?;
        if let Some(mut known) = known {
            known.packetizer.reconfigure(&outgoing.config);
            return Some(Self { outgoing, channel, ..known });
        }
        let max = PACKET_BYTES_MAX - HEADER_BYTES;
        let packetizer = Packetizer::new(&outgoing.format, &outgoing.config, max).ok()?;
        let (ssrc, origin) = (random(place), random(place));
        let payload_type = outgoing.format.payload_type;
        let header =
            Header { payload_type, ssrc, sequence: random(place) as u16 & FIRST_SEQUENCE, ..Header::default() };
        Some(Self {
            outgoing,
            packetizer,
            channel,
            header,
            origin,
            packets: 0,
            bytes: 0,
            reported_ns: None,
            last: None,
        })
    }

    fn stream_ns(&self, ticks: i64) -> i64 {
        let rate_hz = i128::from(self.outgoing.config.clock_rate_hz().max(1));
        i64::try_from(i128::from(ticks) * 1_000_000_000 / rate_hz).unwrap_or_default()
    }

    fn timestamp(&self, ticks: i64) -> u32 {
        let ticks = self.outgoing.format.ticks_of_bus(ticks, &self.outgoing.config);
        // Modulo 2^32, as the field has it.
        self.origin.wrapping_add(ticks as u32)
    }

    fn write(&mut self, frame: &Frame, anchor: Anchor, out: &mut Vec<u8>) -> Result<(), PackError> {
        let (time_ns, timestamp) = (self.stream_ns(frame.pts), self.timestamp(frame.pts));
        self.last = Some((frame.pts, frame.dts));
        let is_due = |at: i64| time_ns.saturating_sub(at).unsigned_abs() >= REPORT_EVERY.as_nanos() as u64;
        if self.reported_ns.is_none_or(is_due) {
            self.reported_ns = Some(time_ns);
            put(self.channel + 1, &self.report(anchor.unix_ns(time_ns), timestamp), out);
        }
        let Self { packetizer, header, channel, packets, bytes, .. } = self;
        let begun = out.len();
        let written = packetizer.packetize(&frame.payload, frame.is_key(), &mut |payload| {
            header.marker = payload.marker;
            header.timestamp = timestamp.wrapping_add(payload.timestamp_offset);
            put_header(*channel, HEADER_BYTES + payload.len(), out);
            out.extend_from_slice(&header.to_bytes());
            payload.write(out);
            header.sequence = header.sequence.wrapping_add(1);
            *packets = packets.wrapping_add(1);
            *bytes = bytes.wrapping_add(payload.len() as u32);
        });
        if written.is_err() {
            // A part of a picture is of use to nobody.
            out.truncate(begun);
        }
        written.map_err(|_| PackError::Unsupported { what: "frame for RTP" })
    }

    /// A sender report, and the name that each compound packet has to have (RFC 3550 §6.1).
    fn report(&self, unix_ns: u64, timestamp: u32) -> BytesMut {
        let ssrc = self.header.ssrc;
        let info = SenderInfo {
            ntp: ntp_of_unix(Duration::from_nanos(unix_ns)),
            rtp_timestamp: timestamp,
            packets: self.packets,
            octets: self.bytes,
        };
        let mut compound = BytesMut::new();
        RtcpPacket::SenderReport { ssrc, info, reports: Vec::new() }.write(&mut compound);
        let name = format!("{ssrc:08x}@arcly");
        RtcpPacket::SourceDescription(vec![Chunk { ssrc, cname: name }]).write(&mut compound);
        compound
    }

    /// A report of the last frame, and the BYE of the source (RFC 3550 §6.6); none of one that has sent nothing.
    fn goodbye(&self, anchor: Anchor) -> Option<Frame> {
        let (pts, dts) = self.last?;
        let mut compound = self.report(anchor.unix_ns(self.stream_ns(pts)), self.timestamp(pts));
        RtcpPacket::Goodbye { ssrcs: vec![self.header.ssrc], reason: String::new() }.write(&mut compound);
        let mut packet = Vec::new();
        put(self.channel + 1, &compound, &mut packet);
        let (track, payload) = (self.outgoing.track, packet.into());
        Some(Frame { track, flags: FrameFlags::NONE, pts, dts, duration: 0, payload })
    }
}

fn put(channel: u8, packet: &[u8], out: &mut Vec<u8>) {
    put_header(channel, packet.len(), out);
    out.extend_from_slice(packet);
}

fn put_header(channel: u8, bytes: usize, out: &mut Vec<u8>) {
    // All packets are far below what fits.
    out.extend_from_slice(&frame_header(channel, bytes).unwrap_or_default());
}

/// Numbers that protect nothing and only should differ.
fn random(place: usize) -> u32 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), place) as u32
}
