//! AMF0 values; whatever decodes must encode and decode to the same.

use arcly_codec::amf::{Decoder, Limits, Value, encode};

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "amf0", vectors, edit: None, buffered_bytes_max: 0, run: round_trip };

fn vectors() -> Vec<Vec<u8>> {
    let property = |name: &str, value: Value| (name.to_owned(), value);
    let text = Value::from("rtmp://example.net/live");
    let nested = Value::Object(vec![property("inner", Value::StrictArray(vec![Value::Null, text.clone()]))]);
    let values = vec![
        Value::from("connect"),
        Value::from(1.0),
        Value::Object(vec![property("app", text.clone()), property("fpad", Value::Boolean(false))]),
        Value::EcmaArray(vec![property("width", Value::from(1280.0)), property("nested", nested)]),
        Value::Date { unix_ms: 1.5e12, zone_min: 60 },
        Value::TypedObject { class: "Class".to_owned(), properties: vec![property("reference", Value::Reference(1))] },
        Value::XmlDocument("<a/>".to_owned()),
        Value::Undefined,
        Value::Unsupported,
    ];
    // Each alone, and all in a row.
    let mut vectors: Vec<_> = values.iter().map(|value| encoded(std::slice::from_ref(value))).collect();
    vectors.push(encoded(&values));
    vectors
}

pub fn round_trip(input: &Input) -> usize {
    let values = decoded(&input.bytes);
    let bytes = encoded(&values);
    // Bytes, not values: a number may be a NaN. Text that was not UTF-8 grows and may reach the limit.
    let again = decoded(&bytes);
    assert!(again.len() < values.len() || encoded(&again) == bytes, "the round trip changes the values");
    0
}

/// The values up to the first error.
fn decoded(bytes: &[u8]) -> Vec<Value> {
    let mut decoder = Decoder::new(bytes, Limits::default());
    std::iter::from_fn(|| decoder.next_value().ok().flatten()).collect()
}

fn encoded(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| encode(value, &mut bytes));
    bytes
}
