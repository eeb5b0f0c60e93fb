//! AMF3 values inside AMF0 (`avmplus-object-marker`), read into the same [`Value`]s.

use super::{
    Limits, Properties, Value,
    amf0::{Decoder, limit},
};
use crate::{CodecError, cursor::Cursor};

/// Type markers (AMF3 §3.1).
mod marker {
    pub const UNDEFINED: u8 = 0x00;
    pub const NULL: u8 = 0x01;
    pub const FALSE: u8 = 0x02;
    pub const TRUE: u8 = 0x03;
    pub const INTEGER: u8 = 0x04;
    pub const DOUBLE: u8 = 0x05;
    pub const STRING: u8 = 0x06;
    pub const XML_DOC: u8 = 0x07;
    pub const DATE: u8 = 0x08;
    pub const ARRAY: u8 = 0x09;
    pub const OBJECT: u8 = 0x0a;
    pub const XML: u8 = 0x0b;
    pub const BYTE_ARRAY: u8 = 0x0c;
}

/// The one class that encodes itself and that servers are sent: a list around one array.
const ARRAY_COLLECTION: &str = "flex.messaging.io.ArrayCollection";

/// The traits of a class (AMF3 §3.12): its members come in this order.
#[derive(Debug, Clone, Default)]
struct Traits {
    class: String,
    members: Vec<String>,
    is_dynamic: bool,
    is_externalizable: bool,
}

/// One AMF3 value: its tables of what can be referred to begin empty (AMF3 §4.1).
pub(super) struct Amf3<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    strings: Vec<String>,
    traits: Vec<Traits>,
    /// Values that can be referred to; only counted, as references to them are not resolved.
    objects: usize,
    /// Bytes of strings that came by reference.
    repeated_bytes: usize,
}

/// What the first number of a value says: its place in a table, or what follows.
enum Head {
    Reference(usize),
    Inline(usize),
}

impl<'d, 'a> Amf3<'d, 'a> {
    pub(super) fn new(decoder: &'d mut Decoder<'a>) -> Self {
        Self { decoder, strings: Vec::new(), traits: Vec::new(), objects: 0, repeated_bytes: 0 }
    }

    /// The value in front of the decoder, which stands `depth` deep.
    pub(super) fn value(&mut self, depth: usize) -> Result<Value, CodecError> {
        self.decoder.count_value(depth)?;
        match self.decoder.field("AMF3 marker", Cursor::u8)? {
            marker::UNDEFINED => Ok(Value::Undefined),
            marker::NULL => Ok(Value::Null),
            marker::FALSE => Ok(Value::Boolean(false)),
            marker::TRUE => Ok(Value::Boolean(true)),
            marker::INTEGER => self.u29().map(integer),
            marker::DOUBLE => self.decoder.field("AMF3 double", Cursor::f64).map(Value::Number),
            marker::STRING => self.string().map(Value::String),
            marker::XML_DOC | marker::XML => self.xml(),
            marker::DATE => self.date(),
            marker::ARRAY => self.array(depth),
            marker::OBJECT => self.object(depth),
            marker::BYTE_ARRAY => self.byte_array(),
            _ => Err(self.malformed("AMF3 marker")),
        }
    }

    fn malformed(&self, what: &'static str) -> CodecError {
        CodecError::Malformed { what, offset: self.decoder.body.offset().saturating_sub(1) }
    }

    /// A number of 29 bits in one to four bytes (AMF3 §1.3.1).
    fn u29(&mut self) -> Result<u32, CodecError> {
        let mut number = 0_u32;
        for _ in 0..3 {
            let byte = self.decoder.field("AMF3 U29", Cursor::u8)?;
            number = number << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        // The fourth byte has eight bits of the number.
        let byte = self.decoder.field("AMF3 U29", Cursor::u8)?;
        Ok(number << 8 | u32::from(byte))
    }

    fn head(&mut self) -> Result<Head, CodecError> {
        let number = self.u29()?;
        // 28 bits fit into every usize.
        let rest = (number >> 1) as usize;
        Ok(if number & 1 == 0 { Head::Reference(rest) } else { Head::Inline(rest) })
    }

    /// A string, which is never referred to when it is empty (AMF3 §1.3.2).
    fn string(&mut self) -> Result<String, CodecError> {
        match self.head()? {
            Head::Inline(length) => {
                let text = self.decoder.text(length)?;
                if !text.is_empty() {
                    self.strings.push(text.clone());
                }
                Ok(text)
            }
            Head::Reference(index) => {
                let text = self.strings.get(index).cloned().ok_or_else(|| self.malformed("AMF3 string reference"))?;
                self.count_repeated(text.len())?;
                Ok(text)
            }
        }
    }

    /// A reference of two bytes gives a whole string: what it adds up to is bounded.
    fn count_repeated(&mut self, bytes: usize) -> Result<(), CodecError> {
        let Limits { string_bytes, .. } = self.decoder.limits;
        self.repeated_bytes = self.repeated_bytes.saturating_add(bytes);
        if self.repeated_bytes > string_bytes {
            return Err(limit("amf_string_bytes", string_bytes, self.repeated_bytes));
        }
        Ok(())
    }

    /// The first number of a value that can be referred to; a reference is the value.
    fn inline(&mut self) -> Result<Result<usize, Value>, CodecError> {
        match self.head()? {
            Head::Inline(rest) => {
                self.objects = self.objects.saturating_add(1);
                Ok(Ok(rest))
            }
            Head::Reference(index) if index < self.objects => {
                Ok(Err(Value::Reference(u16::try_from(index).unwrap_or(u16::MAX))))
            }
            Head::Reference(_) => Err(self.malformed("AMF3 object reference")),
        }
    }

    fn xml(&mut self) -> Result<Value, CodecError> {
        match self.inline()? {
            Ok(length) => self.decoder.text(length).map(Value::XmlDocument),
            Err(reference) => Ok(reference),
        }
    }

    fn date(&mut self) -> Result<Value, CodecError> {
        match self.inline()? {
            Ok(_) => {
                let unix_ms = self.decoder.field("AMF3 date", Cursor::f64)?;
                Ok(Value::Date { unix_ms, zone_min: 0 })
            }
            Err(reference) => Ok(reference),
        }
    }

    /// Bytes have no place in AMF0: passed over.
    fn byte_array(&mut self) -> Result<Value, CodecError> {
        match self.inline()? {
            Ok(length) => {
                self.decoder.field("AMF3 byte array", |body| body.take(length))?;
                Ok(Value::Unsupported)
            }
            Err(reference) => Ok(reference),
        }
    }

    /// A dense part behind one of names (AMF3 §3.11). With names it is an ECMA array of both.
    fn array(&mut self, depth: usize) -> Result<Value, CodecError> {
        let count = match self.inline()? {
            Ok(count) => count,
            Err(reference) => return Ok(reference),
        };
        let mut named = self.dynamic_members(depth)?;
        let mut dense = Vec::new();
        for _ in 0..count {
            dense.push(self.value(depth.saturating_add(1))?);
        }
        if named.is_empty() {
            return Ok(Value::StrictArray(dense));
        }
        named.extend(dense.into_iter().enumerate().map(|(index, value)| (index.to_string(), value)));
        Ok(Value::EcmaArray(named))
    }

    /// Pairs of name and value up to an empty name.
    fn dynamic_members(&mut self, depth: usize) -> Result<Properties, CodecError> {
        let mut properties = Properties::new();
        loop {
            let name = self.string()?;
            if name.is_empty() {
                return Ok(properties);
            }
            properties.push((name, self.value(depth.saturating_add(1))?));
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, CodecError> {
        let head = match self.inline()? {
            Ok(head) => head,
            Err(reference) => return Ok(reference),
        };
        let traits = self.traits(head)?;
        if traits.is_externalizable {
            if traits.class != ARRAY_COLLECTION {
                return Err(CodecError::Unsupported { what: "AMF3 class that encodes itself" });
            }
            return self.value(depth.saturating_add(1));
        }
        let mut properties = Properties::new();
        for name in traits.members {
            self.count_repeated(name.len())?;
            properties.push((name, self.value(depth.saturating_add(1))?));
        }
        if traits.is_dynamic {
            properties.append(&mut self.dynamic_members(depth)?);
        }
        let Traits { class, .. } = traits;
        Ok(if class.is_empty() { Value::Object(properties) } else { Value::TypedObject { class, properties } })
    }

    /// The class of an object (AMF3 §3.12): `head` is what follows the bit that says "no reference".
    fn traits(&mut self, head: usize) -> Result<Traits, CodecError> {
        if head & 1 == 0 {
            let known = self.traits.get(head >> 1).cloned();
            let traits = known.ok_or_else(|| self.malformed("AMF3 traits reference"))?;
            self.count_repeated(traits.class.len())?;
            return Ok(traits);
        }
        let (is_externalizable, is_dynamic) = (head & 2 != 0, head & 4 != 0);
        let class = self.string()?;
        let mut members = Vec::new();
        // Nothing is reserved for the announced count. Each name is a byte at least, and an externalizable class has none.
        let count = if is_externalizable { 0 } else { head >> 3 };
        for _ in 0..count {
            if members.len() >= self.decoder.limits.values {
                return Err(limit("amf_values", self.decoder.limits.values, count));
            }
            members.push(self.string()?);
        }
        let traits = Traits { class, members, is_dynamic, is_externalizable };
        self.traits.push(traits.clone());
        Ok(traits)
    }
}

/// 29 bits, signed (AMF3 §3.6).
fn integer(number: u32) -> Value {
    Value::Number(f64::from((number << 3).cast_signed() >> 3))
}
