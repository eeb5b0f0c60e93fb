//! The bodies of what a server answers (RTMP §7.2).
//!
//! The texts a client looks at are the `code` and `level` of an information object; the
//! description is for its user.

use super::{
    PublishRejection,
    amf::{self, Value},
};

/// A description is a line for a person; a longer one is cut.
const DESCRIPTION_CHARS: usize = 512;

/// `level`, `code` and `description` of an onStatus (RTMP §7.2.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Status<'a> {
    level: &'static str,
    code: &'static str,
    description: &'a str,
}

impl<'a> Status<'a> {
    pub(super) fn publish_start() -> Self {
        Self { level: "status", code: "NetStream.Publish.Start", description: "publishing" }
    }

    pub(super) fn unpublished(description: &'a str) -> Self {
        Self { level: "status", code: "NetStream.Unpublish.Success", description }
    }

    /// Codes that librtmp, and with it OBS, knows as the end; ffmpeg looks at the level.
    pub(super) fn publish_rejected(reason: PublishRejection, description: &'a str) -> Self {
        let code = match reason {
            PublishRejection::BadName => "NetStream.Publish.BadName",
            PublishRejection::Unauthorized => "NetStream.Publish.Denied",
            PublishRejection::Failed => "NetStream.Failed",
        };
        Self { level: "error", code, description }
    }

    pub(super) fn play_rejected(description: &'a str) -> Self {
        Self { level: "error", code: "NetStream.Play.StreamNotFound", description }
    }

    fn object(self) -> Value {
        let description = self.description.chars().take(DESCRIPTION_CHARS).collect::<String>();
        object([
            ("level", Value::from(self.level)),
            ("code", Value::from(self.code)),
            ("description", Value::String(description)),
        ])
    }

    /// `onStatus`, transaction 0, null, the information object.
    pub(super) fn on_status(self) -> Vec<u8> {
        body([Value::from("onStatus"), Value::from(0.0), Value::Null, self.object()])
    }
}

/// `_result` of `connect` (RTMP §7.2.1.1). Encoding 0: AMF0, whatever was asked for.
pub(super) fn connected(transaction: f64) -> Vec<u8> {
    // Encoders look for "FMS/3" before they send FCPublish and the like.
    let properties = object([("fmsVer", Value::from("FMS/3,5,7,7009")), ("capabilities", Value::from(31.0))]);
    let information = object([
        ("level", Value::from("status")),
        ("code", Value::from("NetConnection.Connect.Success")),
        ("description", Value::from("connected")),
        ("objectEncoding", Value::from(0.0)),
    ]);
    body([Value::from("_result"), Value::from(transaction), properties, information])
}

/// `_result` with null in the place of the command object, and one value.
pub(super) fn result(transaction: f64, value: Value) -> Vec<u8> {
    body([Value::from("_result"), Value::from(transaction), Value::Null, value])
}

/// `onFCPublish` and `onFCUnpublish`: in no specification, but FMLE waits for them.
pub(super) fn on_fc(method: &'static str, code: &'static str, stream: &str) -> Vec<u8> {
    let information = Status { level: "status", code, description: stream }.object();
    body([Value::from(method), Value::from(0.0), Value::Null, information])
}

fn object<const N: usize>(properties: [(&str, Value); N]) -> Value {
    Value::Object(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn body<const N: usize>(values: [Value; N]) -> Vec<u8> {
    let mut body = Vec::new();
    values.iter().for_each(|value| amf::encode(value, &mut body));
    body
}
