//! Audio, video and data messages, alone and in aggregates (RTMP §7.1.2-7.1.6).

use arcly_codec::cursor::Cursor;
use bytes::Bytes;

use super::{
    super::{Event, Media, MediaKind, Message, RtmpError, message::type_id},
    ServerConn,
    streams::Use,
};

/// AMF0 string in front of metadata, addressed to the server and no part of the script tag.
pub(in super::super) const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";

impl ServerConn {
    /// Passes on what belongs to an accepted publish and is not empty, keeps what belongs to one that is asked for, and drops the rest.
    pub(super) fn on_media(&mut self, message: Message) {
        let Message { type_id, stream_id, timestamp_ms, body } = message;
        let Some((kind, body)) = media_of(type_id, body).filter(|(_, body)| !body.is_empty()) else { return };
        let media = Media { stream_id, kind, timestamp_ms, body };
        if self.streams.is(stream_id, Use::Publishing) {
            self.events.push_back(Event::Media(media));
        } else {
            self.streams.hold(media);
        }
    }

    /// Splits an aggregate into its parts. The parts' timestamps are moved so that the first one's is the message's (RTMP §7.1.6).
    pub(super) fn on_aggregate(&mut self, message: &Message) -> Result<(), RtmpError> {
        let mut rest = Cursor::new(&message.body);
        let mut shift_ms = None;
        while !rest.is_empty() {
            let offset = rest.offset();
            let mut part =
                read_part(&mut rest, &message.body).ok_or(RtmpError::malformed("aggregate message", offset))?;
            let shift_ms = *shift_ms.get_or_insert(message.timestamp_ms.wrapping_sub(part.timestamp_ms));
            part.timestamp_ms = part.timestamp_ms.wrapping_add(shift_ms);
            self.on_media(Message { stream_id: message.stream_id, ..part });
            self.check_pending()?;
        }
        Ok(())
    }
}

/// One tag and the back pointer behind it; librtmp leaves out the last back pointer.
pub(in super::super) fn read_part(rest: &mut Cursor<'_>, aggregate: &Bytes) -> Option<Message> {
    // An FLV tag header (RTMP §7.1.6).
    let type_id = rest.u8()?;
    let length = rest.u24()? as usize;
    // 24 low bits, then the high ones, as in an FLV tag.
    let timestamp_ms = rest.u24()? | u32::from(rest.u8()?) << 24;
    let stream_id = rest.u24()?;
    let begin = rest.offset();
    let end = begin.checked_add(rest.take(length)?.len())?;
    if !rest.is_empty() {
        rest.u32()?;
    }
    // A part that is kept keeps all that it is cut out of: a byte of sound would cost a megabyte.
    let is_most = length >= aggregate.len() / 2;
    let body = aggregate.slice(begin..end);
    let body = if is_most { body } else { Bytes::copy_from_slice(&body) };
    Some(Message { type_id, stream_id, timestamp_ms, body })
}

pub(in super::super) fn media_of(type_id: u8, body: Bytes) -> Option<(MediaKind, Bytes)> {
    match type_id {
        type_id::AUDIO => Some((MediaKind::Audio, body)),
        type_id::VIDEO => Some((MediaKind::Video, body)),
        type_id::DATA_AMF0 => Some((MediaKind::Script, script_of(body))),
        type_id::DATA_AMF3 => Some((MediaKind::Script, script_of(body.slice_ref(behind_format_byte(&body))))),
        _ => None,
    }
}

fn script_of(body: Bytes) -> Bytes {
    match body.strip_prefix(SET_DATA_FRAME) {
        Some(script) => body.slice_ref(script),
        None => body,
    }
}

/// AMF3 messages begin with a 0 byte and go on in AMF0; some encoders leave the byte out. No
/// command or data message begins with the number that 0 would mean in AMF0.
pub(in super::super) fn behind_format_byte(body: &[u8]) -> &[u8] {
    body.strip_prefix(&[0]).unwrap_or(body)
}
