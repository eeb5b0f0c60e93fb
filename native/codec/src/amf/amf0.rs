//! AMF0 values: decoding under limits, encoding.

use super::{Limits, Properties, Value, amf3::Amf3};
use crate::{CodecError, cursor::Cursor};

/// Type markers (AMF0 §2.1).
mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const REFERENCE: u8 = 0x07;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0a;
    pub const DATE: u8 = 0x0b;
    pub const LONG_STRING: u8 = 0x0c;
    pub const UNSUPPORTED: u8 = 0x0d;
    pub const XML_DOCUMENT: u8 = 0x0f;
    pub const TYPED_OBJECT: u8 = 0x10;
    pub const AVMPLUS_OBJECT: u8 = 0x11;
}

/// Reads the values of one message body.
#[derive(Debug)]
pub struct Decoder<'a> {
    pub(super) body: Cursor<'a>,
    pub(super) limits: Limits,
    values: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder in front of the first value of `body`.
    pub fn new(body: &'a [u8], limits: Limits) -> Self {
        Self { body: Cursor::new(body), limits, values: 0 }
    }

    /// The next value, or `None` at the end of the body.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] with the offset in the body, also for reserved types; [`CodecError::LimitExceeded`] for
    /// `amf_depth`, `amf_values` and `amf_string_bytes`; [`CodecError::Unsupported`] for AMF3 classes that encode themselves.
    pub fn next_value(&mut self) -> Result<Option<Value>, CodecError> {
        if self.body.is_empty() { Ok(None) } else { self.value(0).map(Some) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, CodecError> {
        self.count_value(depth)?;
        match self.field("AMF0 marker", Cursor::u8)? {
            marker::NUMBER => self.field("AMF0 number", Cursor::f64).map(Value::Number),
            marker::BOOLEAN => self.field("AMF0 boolean", Cursor::u8).map(|byte| Value::Boolean(byte != 0)),
            marker::STRING => self.short_string().map(Value::String),
            marker::OBJECT => self.properties(depth).map(Value::Object),
            marker::NULL => Ok(Value::Null),
            marker::UNDEFINED => Ok(Value::Undefined),
            marker::REFERENCE => self.field("AMF0 reference", Cursor::u16).map(Value::Reference),
            marker::ECMA_ARRAY => self.ecma_array(depth),
            marker::STRICT_ARRAY => self.strict_array(depth),
            marker::DATE => self.date(),
            marker::LONG_STRING => self.long_string().map(Value::String),
            marker::UNSUPPORTED => Ok(Value::Unsupported),
            marker::XML_DOCUMENT => self.long_string().map(Value::XmlDocument),
            marker::TYPED_OBJECT => self.typed_object(depth),
            marker::AVMPLUS_OBJECT => Amf3::new(self).value(depth),
            // movieclip and recordset are reserved (§2.6, §2.16); an object's end has no place here.
            _ => Err(CodecError::Malformed { what: "AMF0 marker", offset: self.body.offset().saturating_sub(1) }),
        }
    }

    pub(super) fn count_value(&mut self, depth: usize) -> Result<(), CodecError> {
        if depth > self.limits.depth {
            return Err(limit("amf_depth", self.limits.depth, depth));
        }
        self.values = self.values.saturating_add(1);
        if self.values > self.limits.values {
            return Err(limit("amf_values", self.limits.values, self.values));
        }
        Ok(())
    }

    pub(super) fn field<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Cursor<'a>) -> Option<T>,
    ) -> Result<T, CodecError> {
        let offset = self.body.offset();
        read(&mut self.body).ok_or(CodecError::Malformed { what, offset })
    }

    fn short_string(&mut self) -> Result<String, CodecError> {
        let length = self.field("AMF0 string", Cursor::u16)?;
        self.text(usize::from(length))
    }

    fn long_string(&mut self) -> Result<String, CodecError> {
        let length = self.field("AMF0 long string", Cursor::u32)?;
        self.text(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn text(&mut self, length: usize) -> Result<String, CodecError> {
        if length > self.limits.string_bytes {
            return Err(limit("amf_string_bytes", self.limits.string_bytes, length));
        }
        let bytes = self.field("AMF0 string", |body| body.take(length))?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Name and value pairs up to an empty name and the end marker (§2.5, §2.11).
    fn properties(&mut self, depth: usize) -> Result<Properties, CodecError> {
        let mut properties = Properties::new();
        loop {
            let name = self.short_string()?;
            if name.is_empty() && self.object_ends() {
                return Ok(properties);
            }
            properties.push((name, self.value(depth.saturating_add(1))?));
        }
    }

    fn object_ends(&mut self) -> bool {
        let mut ahead = self.body;
        let ends = ahead.u8() == Some(marker::OBJECT_END);
        if ends {
            self.body = ahead;
        }
        ends
    }

    /// The count is not trusted for anything (§2.10): encoders write 0 and are right to.
    fn ecma_array(&mut self, depth: usize) -> Result<Value, CodecError> {
        self.field("AMF0 ECMA array", Cursor::u32)?;
        self.properties(depth).map(Value::EcmaArray)
    }

    /// Nothing is reserved for the announced count: it may be 2^32 - 1.
    fn strict_array(&mut self, depth: usize) -> Result<Value, CodecError> {
        let count = self.field("AMF0 strict array", Cursor::u32)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth.saturating_add(1))?);
        }
        Ok(Value::StrictArray(values))
    }

    fn date(&mut self) -> Result<Value, CodecError> {
        let unix_ms = self.field("AMF0 date", Cursor::f64)?;
        let zone_min = self.field("AMF0 date", Cursor::u16)?.cast_signed();
        Ok(Value::Date { unix_ms, zone_min })
    }

    fn typed_object(&mut self, depth: usize) -> Result<Value, CodecError> {
        let class = self.short_string()?;
        let properties = self.properties(depth)?;
        Ok(Value::TypedObject { class, properties })
    }
}

pub(super) fn limit(limit: &'static str, max: usize, seen: usize) -> CodecError {
    CodecError::LimitExceeded { limit, max, seen }
}

/// Appends `value` to `out`. Property and class names are cut to 65 535 bytes, strings to 2^32 - 1, arrays likewise: AMF0 has no longer ones.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => put(out, marker::NUMBER, &number.to_be_bytes()),
        Value::Boolean(boolean) => put(out, marker::BOOLEAN, &[u8::from(*boolean)]),
        Value::String(text) => encode_string(text, out),
        Value::Object(properties) => {
            out.push(marker::OBJECT);
            encode_properties(properties, out);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::Reference(number) => put(out, marker::REFERENCE, &number.to_be_bytes()),
        Value::EcmaArray(properties) => {
            put(out, marker::ECMA_ARRAY, &clamp_u32(properties.len()).to_be_bytes());
            encode_properties(properties, out);
        }
        Value::StrictArray(values) => encode_strict_array(values, out),
        Value::Date { unix_ms, zone_min } => {
            put(out, marker::DATE, &unix_ms.to_be_bytes());
            out.extend_from_slice(&zone_min.to_be_bytes());
        }
        Value::Unsupported => out.push(marker::UNSUPPORTED),
        Value::XmlDocument(text) => put_long_text(out, marker::XML_DOCUMENT, text),
        Value::TypedObject { class, properties } => {
            out.push(marker::TYPED_OBJECT);
            put_name(out, class);
            encode_properties(properties, out);
        }
    }
}

fn encode_string(text: &str, out: &mut Vec<u8>) {
    if text.len() > usize::from(u16::MAX) {
        return put_long_text(out, marker::LONG_STRING, text);
    }
    out.push(marker::STRING);
    put_name(out, text);
}

fn encode_properties(properties: &Properties, out: &mut Vec<u8>) {
    for (name, value) in properties {
        put_name(out, name);
        encode(value, out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn encode_strict_array(values: &[Value], out: &mut Vec<u8>) {
    let count = clamp_u32(values.len());
    put(out, marker::STRICT_ARRAY, &count.to_be_bytes());
    for (value, _) in values.iter().zip(0..count) {
        encode(value, out);
    }
}

fn put(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

fn put_name(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(text.bytes().take(usize::from(length)));
}

fn put_long_text(out: &mut Vec<u8>, marker: u8, text: &str) {
    let length = clamp_u32(text.len());
    put(out, marker, &length.to_be_bytes());
    out.extend_from_slice(text.as_bytes().get(..length as usize).unwrap_or_default());
}

fn clamp_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
