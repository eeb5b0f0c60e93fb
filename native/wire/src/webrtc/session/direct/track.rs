//! One source: pictures or sound.

use std::time::{Duration, Instant};

use str0m::{
    Rtc,
    media::{Media, Mid, Pt},
    rtp::Extension,
};

use super::recent::{Recent, Sent};
use crate::{
    rtp::Header,
    srtp::TAG_BYTES_MAX,
    webrtc::{
        session::{Lane, OutgoingPacket, PlayOptions},
        srtp::Srtp,
    },
};

/// Header and extensions at most: 12, and 4 in front of one byte each and 3, 3 and 16.
const HEADER_BYTES_MAX: usize = 12 + 4 + 28;

/// Packets that nobody has taken count as lost, so that the viewer sees the gap and asks for a key frame. So many in a row at most: behind a gap
/// of 2¹⁵ it would take the numbers for old ones, and could read nothing any more (RFC 3711 §3.3.1).
const LOST_IN_A_ROW_MAX: u16 = 1 << 12;

/// Numbers of one source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    /// Of the next packet, unrolled: from a random beginning (RFC 3550 §5.1) below 2¹⁴, for a receiver's rollover counter begins with 0.
    pub(super) next: u64,
}

impl Source {
    fn new(ssrc: u32, payload_type: Pt) -> Self {
        Self { ssrc, payload_type: *payload_type, next: u64::from(ssrc & 0x3fff) }
    }
}

/// What the answer has agreed on for headers: the identifiers (RFC 8285).
#[derive(Debug, Clone, Copy)]
struct Extensions {
    mid: Option<u8>,
    send_time: Option<u8>,
    playout_delay: Option<u8>,
}

/// Packets of one lane.
#[derive(Debug)]
pub(in crate::webrtc::session) struct Track {
    lane: Lane,
    mid: Mid,
    pub(super) cname: String,
    pub(super) source: Source,
    /// Where it is sent again (RFC 4588), when the viewer takes that.
    pub(super) repeats: Option<Source>,
    extensions: Extensions,
    pub(super) clock_rate_hz: u32,
    /// Added to all times.
    begin: u32,
    /// The next packet begins a picture.
    begins_picture: bool,
    /// The viewer has told that it knows the source: to which section it belongs need not be said any more (RFC 8843 §9.2).
    pub(super) is_known: bool,
    /// The time of the newest packet and when it should be seen.
    pub(super) latest: Option<(u32, Instant)>,
    pub(super) packets: u32,
    pub(super) octets: u32,
    pub(super) recent: Recent,
    lost_in_a_row: u16,
}

impl Track {
    /// The track of a section with the payload type that was chosen.
    pub(in crate::webrtc::session) fn new(rtc: &mut Rtc, lane: Lane, mid: Mid, payload_type: Pt) -> Option<Self> {
        let params = *rtc.codec_config().params().iter().find(|params| params.pt() == payload_type)?;
        let media = rtc.media(mid)?;
        let (cname, extensions) = (media.cname().to_owned(), Extensions::of(media));
        let mut direct = rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None)?;
        let (ssrc, repeated) = (stream.ssrc(), stream.rtx());
        // What it would keep is kept here.
        direct.remove_stream_tx(ssrc);
        let repeats = repeated.zip(params.resend()).map(|(ssrc, payload_type)| Source::new(*ssrc, payload_type));
        Some(Self {
            lane,
            mid,
            cname,
            source: Source::new(*ssrc, payload_type),
            repeats,
            extensions,
            clock_rate_hz: params.spec().clock_rate.get(),
            begin: ssrc.rotate_left(16),
            begins_picture: true,
            is_known: false,
            latest: None,
            packets: 0,
            octets: 0,
            recent: Recent::new(lane.kept_packets()),
            lost_in_a_row: 0,
        })
    }

    pub(in crate::webrtc::session) fn lane(&self) -> Lane {
        self.lane
    }

    /// A number that is another for each viewer.
    pub(super) fn random(&self) -> u32 {
        self.source.ssrc.rotate_left(7) ^ self.packets
    }

    /// Appends a packet. `moment`: when it leaves, as the extension has it. Call [`Self::sent`] behind it.
    pub(super) fn write(
        &self,
        packet: &OutgoingPacket,
        moment: [u8; 3],
        delay: Option<(Duration, Duration)>,
        srtp: &Srtp,
        out: &mut Vec<u8>,
    ) -> bool {
        let header = Header {
            marker: packet.marker,
            payload_type: self.source.payload_type,
            sequence: self.source.next as u16,
            timestamp: packet.timestamp.wrapping_add(self.begin),
            ssrc: self.source.ssrc,
        };
        // Receivers look at the first packet of a picture.
        let delay = delay.filter(|_| self.begins_picture && self.lane == Lane::Video).map(playout_delay);
        let from = out.len();
        out.reserve(HEADER_BYTES_MAX + packet.payload.len() + TAG_BYTES_MAX);
        self.write_header(header, moment, !self.is_known, delay, out);
        let header_bytes = out.len() - from;
        out.extend_from_slice(&packet.payload);
        srtp.seal_rtp(self.source.ssrc, self.source.next, out, from, header_bytes)
    }

    /// A packet has gone, or been lost before it was written: its number is not used again. True when it is the first.
    pub(super) fn sent(&mut self, packet: OutgoingPacket, is_written: bool, now: Instant) -> bool {
        if !is_written && self.lost_in_a_row >= LOST_IN_A_ROW_MAX {
            return false;
        }
        self.lost_in_a_row = if is_written { 0 } else { self.lost_in_a_row + 1 };
        let timestamp = packet.timestamp.wrapping_add(self.begin);
        let is_first = self.latest.replace((timestamp, packet.wall)).is_none();
        self.source.next += 1;
        self.begins_picture = packet.marker;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        if self.repeats.is_some() {
            self.recent.push(timestamp, packet, now);
        }
        is_first
    }

    /// A packet that was sent, to be sent again; `None` when it is not kept, or would be too much.
    pub(super) fn again(&mut self, sequence: u16, now: Instant, moment: [u8; 3], srtp: &Srtp) -> Option<Vec<u8>> {
        let mut source = self.repeats?;
        let (number, Sent { timestamp, marker, payload, .. }) = self.recent.again(sequence, self.source.next, now)?;
        let header = Header {
            marker,
            payload_type: source.payload_type,
            sequence: source.next as u16,
            timestamp,
            ssrc: source.ssrc,
        };
        let mut out = Vec::with_capacity(HEADER_BYTES_MAX + 2 + payload.len() + TAG_BYTES_MAX);
        self.write_header(header, moment, true, None, &mut out);
        let header_bytes = out.len();
        // RFC 4588 §4: the number that it had stands in front.
        out.extend_from_slice(&(number as u16).to_be_bytes());
        out.extend_from_slice(&payload);
        let is_sealed = srtp.seal_rtp(source.ssrc, source.next, &mut out, 0, header_bytes);
        source.next += 1;
        self.repeats = Some(source);
        is_sealed.then_some(out)
    }

    fn write_header(&self, header: Header, moment: [u8; 3], with_mid: bool, delay: Option<[u8; 3]>, out: &mut Vec<u8>) {
        let mid = self.extensions.mid.filter(|_| with_mid).map(|id| (id, self.mid.as_bytes()));
        let moment = self.extensions.send_time.map(|id| (id, &moment[..]));
        let delay = self.extensions.playout_delay.zip(delay.as_ref()).map(|(id, delay)| (id, &delay[..]));
        let (mut elements, mut count) = ([(0, &[][..]); 3], 0);
        for element in [moment, mid, delay].into_iter().flatten() {
            if let Some(place) = elements.get_mut(count) {
                *place = element;
                count += 1;
            }
        }
        header.write_with_extensions(elements.get(..count).unwrap_or_default(), out);
    }
}

impl Extensions {
    fn of(media: &Media) -> Self {
        let id = |extension| media.remote_extmap().id_of(extension);
        Self {
            mid: id(Extension::RtpMid),
            send_time: id(Extension::AbsoluteSendTime),
            playout_delay: id(Extension::PlayoutDelay),
        }
    }
}

/// The least and the most, of twelve bits each.
fn playout_delay((min, max): (Duration, Duration)) -> [u8; 3] {
    let steps = |delay: Duration| u32::from(PlayOptions::delay_steps(delay));
    let [_, bytes @ ..] = (steps(min) << 12 | steps(max)).to_be_bytes();
    bytes
}
