//! Media that the server sends.

use arcly_codec::cursor::Cursor;

use super::{
    super::{
        Media, MediaKind, Message, RtmpError,
        conn::media::{media_of, read_part},
    },
    ClientConn, ClientEvent, ClientUse, State,
};

impl ClientConn {
    pub(super) fn on_media(&mut self, message: Message) {
        if self.config.purpose != ClientUse::Play || !matches!(self.state, State::Starting | State::Started) {
            return;
        }
        let Message { type_id, stream_id, timestamp_ms, body } = message;
        let Some((kind, body)) = media_of(type_id, body) else { return };
        // What servers say to players in data messages is no script of the stream.
        let is_notice = kind == MediaKind::Script && is_notice(&body);
        if stream_id == self.stream_id && !body.is_empty() && !is_notice {
            self.events.push_back(ClientEvent::Media(Media { stream_id, kind, timestamp_ms, body }));
        }
    }

    pub(super) fn on_aggregate(&mut self, message: &Message) -> Result<(), RtmpError> {
        let mut rest = Cursor::new(&message.body);
        let mut shift_ms = None;
        while !rest.is_empty() {
            let offset = rest.offset();
            let part = read_part(&mut rest, &message.body).ok_or(RtmpError::malformed("aggregate message", offset))?;
            let shift_ms = *shift_ms.get_or_insert(message.timestamp_ms.wrapping_sub(part.timestamp_ms));
            let timestamp_ms = part.timestamp_ms.wrapping_add(shift_ms);
            self.on_media(Message { stream_id: message.stream_id, timestamp_ms, ..part });
            self.check_pending()?;
        }
        Ok(())
    }
}

fn is_notice(body: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"\x02\x00\x11|RtmpSampleAccess", b"\x02\x00\x08onStatus", b"\x02\x00\x0conPlayStatus"];
    names.iter().any(|name| body.starts_with(name))
}
