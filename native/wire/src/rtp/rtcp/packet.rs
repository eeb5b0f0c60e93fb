//! The packets of a datagram (RFC 3550 §6.1).

use arcly_codec::{CodecError, cursor::Cursor};
use bytes::{BufMut, Bytes, BytesMut};

use super::{
    description::{self, Chunk},
    feedback::{self, FullIntraRequest, Nack, Remb},
    report::{self, ReportBlock, SenderInfo},
    transport::TransportFeedback,
};

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const APPLICATION: u8 = 204;
pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
pub(super) const PAYLOAD_FEEDBACK: u8 = 206;

/// Bytes of a header.
const HEADER_BYTES: usize = 4;
/// The five bits that count what is in a packet.
pub(super) const MAX_COUNT: usize = 31;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtcpPacket {
    /// What a sender says of its stream (RFC 3550 §6.4.1).
    SenderReport {
        /// The sender.
        ssrc: u32,
        /// Its clock and its counts.
        info: SenderInfo,
        /// What it receives.
        reports: Vec<ReportBlock>,
    },
    /// What a receiver says (§6.4.2).
    ReceiverReport {
        /// The receiver.
        ssrc: u32,
        /// What it receives.
        reports: Vec<ReportBlock>,
    },
    /// Names (§6.5).
    SourceDescription(Vec<Chunk>),
    /// Sources that end (§6.6).
    Goodbye {
        /// The sources.
        ssrcs: Vec<u32>,
        /// Why, for people.
        reason: String,
    },
    /// Something of an application (§6.7).
    Application {
        /// 0 to 31.
        subtype: u8,
        /// Who sends it.
        ssrc: u32,
        /// Whose it is.
        name: [u8; 4],
        /// Whatever; a multiple of four bytes.
        data: Bytes,
    },
    /// Packets to be sent again (RFC 4585 §6.2.1).
    Nack(Nack),
    /// A picture is lost: a key frame is asked for (RFC 4585 §6.3.1).
    PictureLoss {
        /// Who asks.
        sender: u32,
        /// Of whom.
        media: u32,
    },
    /// A key frame is asked for (RFC 5104 §4.3.1).
    FullIntra(FullIntraRequest),
    /// How much may be sent (draft-alvestrand-rmcat-remb-03).
    Remb(Remb),
    /// When packets came (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
    Transport(TransportFeedback),
    /// Something else: extended reports (RFC 3611) among them.
    Other {
        /// The packet type.
        packet_type: u8,
    },
}

/// The packets of a datagram, in order. One that is malformed is an error, and those behind it come all the same; one that is
/// longer than the datagram ends it.
pub fn packets(datagram: &[u8]) -> impl Iterator<Item = Result<RtcpPacket, CodecError>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = datagram.get(offset..).filter(|rest| !rest.is_empty())?;
        let begin = offset;
        let Some((head, body, bytes)) = split(rest) else {
            offset = datagram.len();
            return Some(Err(CodecError::Malformed { what: "RTCP header", offset: begin }));
        };
        offset += bytes;
        Some(RtcpPacket::read(head, body).map_err(|error| error.shifted(begin)))
    })
}

/// What the first byte counts and the packet type, what is behind the header, and the bytes of the whole.
fn split(datagram: &[u8]) -> Option<((u8, u8), &[u8], usize)> {
    let mut fields = Cursor::new(datagram);
    let first = fields.u8().filter(|first| first >> 6 == 2)?;
    let packet_type = fields.u8()?;
    let body_bytes = 4 * usize::from(fields.u16()?);
    let body = fields.take(body_bytes)?;
    let padding = if first & 0x20 == 0 { 0 } else { usize::from(body.last().copied().unwrap_or_default()) };
    // Padding that is not there: the packet is what it is without.
    let body = body.get(..body.len().saturating_sub(padding)).unwrap_or(body);
    Some(((first & 0x1f, packet_type), body, HEADER_BYTES + body_bytes))
}

impl RtcpPacket {
    fn read((count, packet_type): (u8, u8), body: &[u8]) -> Result<Self, CodecError> {
        let mut fields = Cursor::new(body);
        let read = match packet_type {
            SENDER_REPORT => Self::read_sender_report(&mut fields, count),
            RECEIVER_REPORT => Self::read_receiver_report(&mut fields, count),
            SOURCE_DESCRIPTION => description::read_chunks(&mut fields, count).map(Self::SourceDescription),
            GOODBYE => description::read_goodbye(&mut fields, count),
            APPLICATION => Self::read_application(&mut fields, count),
            TRANSPORT_FEEDBACK | PAYLOAD_FEEDBACK => feedback::read(&mut fields, packet_type, count)?,
            _ => Some(Self::Other { packet_type }),
        };
        read.ok_or(CodecError::Malformed { what: "RTCP packet", offset: HEADER_BYTES + fields.offset() })
    }

    fn read_sender_report(fields: &mut Cursor<'_>, count: u8) -> Option<Self> {
        let ssrc = fields.u32()?;
        let info = SenderInfo::read(fields)?;
        Some(Self::SenderReport { ssrc, info, reports: report::read_blocks(fields, count)? })
    }

    fn read_receiver_report(fields: &mut Cursor<'_>, count: u8) -> Option<Self> {
        Some(Self::ReceiverReport { ssrc: fields.u32()?, reports: report::read_blocks(fields, count)? })
    }

    fn read_application(fields: &mut Cursor<'_>, subtype: u8) -> Option<Self> {
        let (ssrc, name) = (fields.u32()?, fields.array()?);
        // In whole words: what padding leaves over is none of it.
        let data = fields.rest().as_chunks::<4>().0.as_flattened();
        Some(Self::Application { subtype, ssrc, name, data: Bytes::copy_from_slice(data) })
    }

    /// Writes the packet; several behind each other are a datagram. The first should be a report, the second a description
    /// with the canonical name (RFC 3550 §6.1). What does not fit into a packet is left out, and so is
    /// [`Self::Other`], of which nothing is known.
    pub fn write(&self, into: &mut BytesMut) {
        match self {
            Self::SenderReport { ssrc, info, reports } => write(into, SENDER_REPORT, reports.len(), |body| {
                body.put_u32(*ssrc);
                info.write(body);
                reports.iter().take(MAX_COUNT).for_each(|report| report.write(body));
            }),
            Self::ReceiverReport { ssrc, reports } => write(into, RECEIVER_REPORT, reports.len(), |body| {
                body.put_u32(*ssrc);
                reports.iter().take(MAX_COUNT).for_each(|report| report.write(body));
            }),
            Self::SourceDescription(chunks) => write(into, SOURCE_DESCRIPTION, chunks.len(), |body| {
                chunks.iter().take(MAX_COUNT).for_each(|chunk| chunk.write(body));
            }),
            Self::Goodbye { ssrcs, reason } => write(into, GOODBYE, ssrcs.len(), |body| {
                ssrcs.iter().take(MAX_COUNT).for_each(|ssrc| body.put_u32(*ssrc));
                description::write_reason(reason, body);
            }),
            Self::Application { subtype, ssrc, name, data } => {
                write(into, APPLICATION, usize::from(*subtype & 0x1f), |body| {
                    body.put_u32(*ssrc);
                    body.put_slice(name);
                    body.put_slice(data);
                });
            }
            Self::Nack(nack) => nack.write(into),
            Self::PictureLoss { sender, media } => {
                write(into, PAYLOAD_FEEDBACK, feedback::PICTURE_LOSS, |body| {
                    body.put_u32(*sender);
                    body.put_u32(*media);
                });
            }
            Self::FullIntra(request) => request.write(into),
            Self::Remb(remb) => remb.write(into),
            Self::Transport(feedback) => feedback.write(into),
            Self::Other { .. } => {}
        }
    }
}

/// Writes a header, and the body that `fill` makes, filled up to a multiple of four bytes.
pub(super) fn write(into: &mut BytesMut, packet_type: u8, count: usize, fill: impl FnOnce(&mut BytesMut)) {
    let begin = into.len();
    into.put_u8(0x80 | count.min(MAX_COUNT) as u8);
    into.put_u8(packet_type);
    into.put_u16(0);
    fill(into);
    let body_bytes = into.len() - begin - HEADER_BYTES;
    into.put_bytes(0, body_bytes.next_multiple_of(4) - body_bytes);
    // Bodies are far from 256 KiB: their parts are counted in five bits, or cut.
    let words = u16::try_from(body_bytes.div_ceil(4)).unwrap_or(u16::MAX);
    if let Some(length) = into.get_mut(begin + 2..begin + 4) {
        length.copy_from_slice(&words.to_be_bytes());
    }
}
