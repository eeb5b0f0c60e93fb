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

    pub(super) fn of_play_rejected(description: &'a str) -> Self {
        Self { level: "error", code: "NetStream.Play.StreamNotFound", description }
    }

    /// A status of a play (RTMP §7.2.2.1) by its code behind `NetStream.`.
    pub(super) fn of_play(code: &'static str, description: &'a str) -> Self {
        Self { level: "status", code, description }
    }

    /// A seek in a live stream.
    pub(super) fn seek_failed() -> Self {
        Self { level: "error", code: "NetStream.Seek.Failed", description: "a live stream cannot be sought in" }
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

/// FourCCs of Enhanced RTMP that we pass on.
const FOUR_CCS: [&str; 12] =
    ["avc1", "hvc1", "vvc1", "av01", "vp09", "vp08", "mp4a", "Opus", ".mp3", "ac-3", "ec-3", "fLaC"];
/// `FourCcInfoMask`: we neither decode nor encode.
const CAN_FORWARD: f64 = 4.0;
/// `capsEx`: reconnect, multitrack, ModEx, nanosecond offsets.
const CAPS_EX: f64 = 15.0;

/// `_result` of `connect` (RTMP §7.2.1.1). The encoding is the one that was asked for; we write AMF0, which both mean. What we can do of
/// Enhanced RTMP is said to those who asked: others need not read it.
pub(super) fn connected(transaction: f64, object_encoding: f64, enhanced: bool) -> Vec<u8> {
    // Encoders look for "FMS/3" before they send FCPublish and the like.
    let mut properties =
        vec![("fmsVer".to_owned(), Value::from("FMS/3,5,7,7009")), ("capabilities".to_owned(), Value::from(31.0))];
    let mut information = vec![
        ("level".to_owned(), Value::from("status")),
        ("code".to_owned(), Value::from("NetConnection.Connect.Success")),
        ("description".to_owned(), Value::from("connected")),
        ("objectEncoding".to_owned(), Value::from(object_encoding)),
    ];
    if enhanced {
        properties.extend(capabilities());
        information.extend(capabilities());
    }
    body([Value::from("_result"), Value::from(transaction), Value::Object(properties), Value::Object(information)])
}

/// What we can do of Enhanced RTMP, as both sides say it in `connect`.
pub(super) fn capabilities() -> amf::Properties {
    let (video, audio) = FOUR_CCS.split_at(6);
    let map = |four_ccs: &[&str]| {
        Value::Object(four_ccs.iter().map(|four_cc| ((*four_cc).to_owned(), Value::from(CAN_FORWARD))).collect())
    };
    vec![
        ("fourCcList".to_owned(), Value::StrictArray(FOUR_CCS.map(Value::from).to_vec())),
        ("videoFourCcInfoMap".to_owned(), map(video)),
        ("audioFourCcInfoMap".to_owned(), map(audio)),
        ("capsEx".to_owned(), Value::from(CAPS_EX)),
    ]
}

/// `|RtmpSampleAccess`: players may look at sound and pictures.
pub(super) fn sample_access() -> Vec<u8> {
    body([Value::from("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)])
}

/// A data message with a code and nothing else: `onStatus` with `NetStream.Data.Start`.
pub(super) fn data_status(method: &'static str, code: &'static str) -> Vec<u8> {
    body([Value::from(method), object([("level", Value::from("status")), ("code", Value::from(code))])])
}

/// The request of Enhanced RTMP v2 to come again, to `tc_url` or, when that is empty, to where the peer was.
pub(super) fn reconnect_request(tc_url: &str, description: &str) -> Vec<u8> {
    let mut properties = vec![
        ("level".to_owned(), Value::from("status")),
        ("code".to_owned(), Value::from("NetConnection.Connect.ReconnectRequest")),
        ("description".to_owned(), Value::from(description)),
    ];
    if !tc_url.is_empty() {
        properties.push(("tcUrl".to_owned(), Value::from(tc_url)));
    }
    body([Value::from("onStatus"), Value::from(0.0), Value::Null, Value::Object(properties)])
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
