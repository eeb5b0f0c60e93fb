use super::*;
use crate::CodecError;

fn decode_all(body: &[u8]) -> Result<Vec<Value>, CodecError> {
    decode_under(body, &Limits::default())
}

fn decode_under(body: &[u8], limits: &Limits) -> Result<Vec<Value>, CodecError> {
    let mut decoder = Decoder::new(body, *limits);
    let mut values = Vec::new();
    while let Some(value) = decoder.next_value()? {
        values.push(value);
    }
    Ok(values)
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out);
    out
}

fn limit_of(result: Result<Vec<Value>, CodecError>) -> &'static str {
    match result {
        Err(CodecError::LimitExceeded { limit, .. }) => limit,
        other => panic!("{other:?}"),
    }
}

/// Bytes put together by hand from the sections of the specification.
fn vectors() -> Vec<(Vec<u8>, Value)> {
    let property = |name: &str, value| (name.to_owned(), value);
    vec![
        (b"\x00\x3f\xf0\0\0\0\0\0\0".to_vec(), Value::Number(1.0)),
        (b"\x01\x01".to_vec(), Value::Boolean(true)),
        (b"\x01\x00".to_vec(), Value::Boolean(false)),
        (b"\x02\x00\x04live".to_vec(), Value::from("live")),
        (b"\x02\x00\x00".to_vec(), Value::from("")),
        (b"\x02\x00\x02\xc3\xa9".to_vec(), Value::from("é")),
        (
            b"\x03\x00\x03app\x02\x00\x04live\x00\x01x\x05\x00\x00\x09".to_vec(),
            Value::Object(vec![property("app", Value::from("live")), property("x", Value::Null)]),
        ),
        (b"\x03\x00\x00\x09".to_vec(), Value::Object(vec![])),
        // A property may have an empty name: only the end marker behind it ends the object.
        (b"\x03\x00\x00\x05\x00\x00\x09".to_vec(), Value::Object(vec![property("", Value::Null)])),
        (b"\x05".to_vec(), Value::Null),
        (b"\x06".to_vec(), Value::Undefined),
        (b"\x07\x01\x02".to_vec(), Value::Reference(0x102)),
        (
            b"\x08\0\0\0\x01\x00\x01w\x00\x40\x50\0\0\0\0\0\0\x00\x00\x09".to_vec(),
            Value::EcmaArray(vec![property("w", Value::Number(64.0))]),
        ),
        (b"\x0a\0\0\0\x02\x05\x06".to_vec(), Value::StrictArray(vec![Value::Null, Value::Undefined])),
        (b"\x0b\x3f\xf0\0\0\0\0\0\0\xff\xc4".to_vec(), Value::Date { unix_ms: 1.0, zone_min: -60 }),
        (b"\x0d".to_vec(), Value::Unsupported),
        (b"\x0f\0\0\0\x04<a/>".to_vec(), Value::XmlDocument("<a/>".to_owned())),
        (
            b"\x10\x00\x01C\x00\x01x\x05\x00\x00\x09".to_vec(),
            Value::TypedObject { class: "C".to_owned(), properties: vec![property("x", Value::Null)] },
        ),
    ]
}

#[test]
fn vectors_decode_and_encode_to_the_same_bytes() {
    for (bytes, value) in vectors() {
        assert_eq!(decode_all(&bytes).unwrap(), std::slice::from_ref(&value), "{bytes:02x?}");
        assert_eq!(encoded(&value), bytes, "{value:?}");
    }
}

#[test]
fn sequence_of_all_vectors_decodes_in_order() {
    let (bytes, values): (Vec<_>, Vec<_>) = vectors().into_iter().unzip();
    assert_eq!(decode_all(&bytes.concat()).unwrap(), values);
}

#[test]
fn every_truncation_of_every_vector_is_malformed_inside_the_body() {
    for (bytes, _) in vectors() {
        for end in 1..bytes.len() {
            match decode_all(&bytes[..end]) {
                Err(CodecError::Malformed { offset, .. }) => assert!(offset <= end),
                other => panic!("{:02x?} gave {other:?}", &bytes[..end]),
            }
        }
    }
}

#[test]
fn string_above_65535_bytes_is_written_long_and_read_back() {
    let limits = Limits { string_bytes: 1 << 20, ..Limits::default() };
    for length in [65_535, 65_536, 70_000] {
        let text = Value::String("a".repeat(length));
        let bytes = encoded(&text);
        assert_eq!(bytes[0], if length > 65_535 { 0x0c } else { 0x02 });
        assert_eq!(decode_under(&bytes, &limits).unwrap(), [text]);
    }
}

#[test]
fn name_above_65535_bytes_is_cut_and_stays_readable() {
    let limits = Limits { string_bytes: 1 << 20, ..Limits::default() };
    let bytes = encoded(&Value::Object(vec![("n".repeat(70_000), Value::Null)]));
    assert_eq!(decode_under(&bytes, &limits).unwrap(), [Value::Object(vec![("n".repeat(65_535), Value::Null)])]);
}

#[test]
fn text_in_another_encoding_is_read_with_replacement() {
    assert_eq!(decode_all(b"\x02\x00\x02\xe9t").unwrap(), [Value::from("\u{fffd}t")]);
}

#[test]
fn ecma_array_with_a_wrong_count_is_read_to_its_end_marker() {
    for count in [0_u32, 7, u32::MAX] {
        let bytes = [b"\x08", &count.to_be_bytes()[..], b"\x00\x01x\x05\x00\x00\x09"].concat();
        assert_eq!(decode_all(&bytes).unwrap(), [Value::EcmaArray(vec![("x".to_owned(), Value::Null)])]);
    }
}

#[test]
fn strict_array_of_four_billion_costs_only_what_is_there() {
    let result = decode_all(b"\x0a\xff\xff\xff\xff\x05\x05");
    assert_eq!(result, Err(CodecError::Malformed { what: "AMF0 marker", offset: 7 }));
    let many = [&b"\x0a\xff\xff\xff\xff"[..], &[0x05; 5000]].concat();
    assert_eq!(limit_of(decode_all(&many)), "amf_values");
}

#[test]
fn nesting_stops_at_the_limit_for_each_container() {
    let deepest = Limits::default().depth;
    for opening in [&b"\x03\x00\x01x"[..], b"\x08\0\0\0\x01\x00\x01x", b"\x0a\0\0\0\x01", b"\x10\x00\x01C\x00\x01x"] {
        let closing: &[u8] = if opening[0] == 0x0a { b"" } else { b"\x00\x00\x09" };
        let nested = |depth| [opening.repeat(depth), vec![0x05], closing.repeat(depth)].concat();
        assert!(decode_all(&nested(deepest)).is_ok());
        assert_eq!(limit_of(decode_all(&nested(deepest + 1))), "amf_depth");
        assert_eq!(limit_of(decode_all(&opening.repeat(900))), "amf_depth");
    }
}

#[test]
fn values_and_strings_stop_at_their_limits() {
    let limits = Limits { values: 3, string_bytes: 4, ..Limits::default() };
    assert!(decode_under(b"\x05\x05\x05", &limits).is_ok());
    assert_eq!(limit_of(decode_under(b"\x05\x05\x05\x05", &limits)), "amf_values");
    assert!(decode_under(b"\x02\x00\x04live", &limits).is_ok());
    assert_eq!(limit_of(decode_under(b"\x02\x00\x05", &limits)), "amf_string_bytes");
    assert_eq!(limit_of(decode_under(b"\x0c\xff\xff\xff\xff", &limits)), "amf_string_bytes");
}

#[test]
fn reserved_markers_are_refused() {
    for marker in [0x04, 0x09, 0x0e, 0x12, 0xff] {
        assert_eq!(decode_all(&[0x05, marker]), Err(CodecError::Malformed { what: "AMF0 marker", offset: 1 }));
    }
    assert_eq!(decode_all(&[0x11, 0x0d]), Err(CodecError::Malformed { what: "AMF3 marker", offset: 1 }));
}

/// AMF3 values behind the marker that AMF0 puts in front, by hand from the sections of the specification.
fn amf3_vectors() -> Vec<(&'static [u8], Value)> {
    let property = |name: &str, value| (name.to_owned(), value);
    let text = Value::from;
    vec![
        (b"\x00", Value::Undefined),
        (b"\x01", Value::Null),
        (b"\x02", Value::Boolean(false)),
        (b"\x03", Value::Boolean(true)),
        (b"\x04\x7f", Value::Number(127.0)),
        (b"\x04\x81\x00", Value::Number(128.0)),
        (b"\x04\xff\xff\xff\xff", Value::Number(-1.0)),
        (b"\x04\xc0\x80\x80\x00", Value::Number(-268_435_456.0)),
        (b"\x05\x3f\xf0\0\0\0\0\0\0", Value::Number(1.0)),
        (b"\x06\x09live", text("live")),
        (b"\x06\x01", text("")),
        (b"\x07\x09<a/>", Value::XmlDocument("<a/>".to_owned())),
        (b"\x08\x01\x3f\xf0\0\0\0\0\0\0", Value::Date { unix_ms: 1.0, zone_min: 0 }),
        (b"\x0c\x05ab", Value::Unsupported),
        (b"\x09\x05\x01\x01\x03", Value::StrictArray(vec![Value::Null, Value::Boolean(true)])),
        (
            b"\x09\x03\x03x\x01\x01\x02",
            Value::EcmaArray(vec![property("x", Value::Null), property("0", Value::Boolean(false))]),
        ),
        // A dynamic object without a class; its second name repeats a string that was a value.
        (
            b"\x0a\x0b\x01\x03a\x06\x03b\x02\x01\x01",
            Value::Object(vec![property("a", text("b")), property("b", Value::Null)]),
        ),
        // A class of one member, twice, the second time by reference to its traits and its name.
        (
            b"\x09\x05\x01\x0a\x13\x03C\x03m\x02\x0a\x01\x03",
            Value::StrictArray(vec![
                Value::TypedObject { class: "C".to_owned(), properties: vec![property("m", Value::Boolean(false))] },
                Value::TypedObject { class: "C".to_owned(), properties: vec![property("m", Value::Boolean(true))] },
            ]),
        ),
        // An array that holds itself.
        (b"\x09\x03\x01\x09\x00", Value::StrictArray(vec![Value::Reference(0)])),
        (b"\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x01", Value::StrictArray(vec![Value::Null])),
    ]
}

#[test]
fn amf3_values_are_read_into_the_same_values() {
    for (bytes, value) in amf3_vectors() {
        // What follows is AMF0 again.
        let body = [&[0x11], bytes, &[0x01, 0x01]].concat();
        assert_eq!(decode_all(&body).unwrap(), [value, Value::Boolean(true)], "{bytes:02x?}");
    }
}

#[test]
fn every_truncation_of_an_amf3_value_is_malformed_inside_the_body() {
    for (bytes, _) in amf3_vectors() {
        for end in 0..bytes.len() {
            let body = [&[0x11], &bytes[..end]].concat();
            match decode_all(&body) {
                Err(CodecError::Malformed { offset, .. }) => assert!(offset <= body.len()),
                other => panic!("{body:02x?} gave {other:?}"),
            }
        }
    }
}

#[test]
fn amf3_references_to_nothing_are_malformed() {
    for bytes in [&b"\x11\x06\x00"[..], b"\x11\x09\x00", b"\x11\x0a\x01", b"\x11\x0a\x05", b"\x11\x08\x02"] {
        assert!(matches!(decode_all(bytes), Err(CodecError::Malformed { .. })), "{bytes:02x?}");
    }
}

#[test]
fn amf3_that_costs_more_than_it_weighs_meets_a_limit() {
    // Objects in objects.
    assert_eq!(limit_of(decode_all(&[&[0x11][..], &b"\x09\x03\x01".repeat(10_000)].concat())), "amf_depth");
    // One string, repeated by two bytes.
    let long = [&b"\x11\x09\x8f\x7f\x01\x06\xbf\x7f"[..], &[b'a'; 4095], &b"\x06\x00".repeat(900)].concat();
    assert_eq!(limit_of(decode_all(&long)), "amf_string_bytes");
    // One class of many members without names.
    let class = [&b"\x11\x0a\x81\xbb\x43\x01"[..], &[1; 1500]].concat();
    assert_eq!(limit_of(decode_all(&class)), "amf_values");
    let announced = [&b"\x11\x0a\xff\xff\xff\xf3\x01"[..], &[1; 5000]].concat();
    assert_eq!(limit_of(decode_all(&announced)), "amf_values");
}

#[test]
fn amf3_classes_that_encode_themselves_are_unsupported() {
    assert!(matches!(decode_all(b"\x11\x0a\x07\x03C\x01"), Err(CodecError::Unsupported { .. })));
}

/// A value of any shape from a seed.
fn random_value(random: &mut impl FnMut() -> u64, depth: usize) -> Value {
    let text = |random: &mut dyn FnMut() -> u64| "aé漢".chars().cycle().take((random() % 9) as usize).collect();
    let containers = if depth == 0 { 9 } else { 13 };
    match random() % containers {
        0 => Value::Number((random() % 1_000_000) as f64 / 8.0),
        1 => Value::Boolean(random().is_multiple_of(2)),
        2 => Value::String(text(random)),
        3 => Value::Null,
        4 => Value::Undefined,
        5 => Value::Reference(random() as u16),
        6 => Value::Date { unix_ms: random() as u32 as f64, zone_min: random() as i16 },
        7 => Value::Unsupported,
        8 => Value::XmlDocument(text(random)),
        9 => Value::StrictArray((0..random() % 4).map(|_| random_value(random, depth - 1)).collect()),
        kind => {
            let properties = (0..random() % 4).map(|_| (text(random), random_value(random, depth - 1))).collect();
            match kind {
                10 => Value::Object(properties),
                11 => Value::EcmaArray(properties),
                _ => Value::TypedObject { class: text(random), properties },
            }
        }
    }
}

#[test]
fn random_values_survive_the_round_trip() {
    for seed in 1..5_000_u64 {
        let mut state = seed;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 8
        };
        let value = random_value(&mut random, 4);
        assert_eq!(decode_all(&encoded(&value)).as_deref(), Ok(&[value][..]), "seed {seed}");
    }
}
