//! Action Message Format: the values of RTMP commands and of FLV script data, after *AMF 0* and *AMF 3* of Adobe.
//!
//! A body is a sequence of AMF0 values without a count. [`Decoder`] reads them one at a time, so that a command's name can
//! be judged before its arguments are read. An AMF0 value may hold one of AMF3 (`avmplus-object-marker`), which is read
//! into the same [`Value`]; only AMF0 is written.

mod amf0;
mod amf3;
#[cfg(test)]
mod tests;

pub use amf0::{Decoder, encode};

/// What one body may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of objects and arrays; 32. Stops a body of nested objects from exhausting the stack of a reader that
    /// recurses.
    pub depth: usize,
    /// Values in one body; 1024 (`connect` has about 15). Stops one-byte values that each cost us tens.
    pub values: usize,
    /// Length of one string, and of all that are repeated by reference; 16 KiB. Stops names that are copied into replies
    /// and logs.
    pub string_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, values: 1024, string_bytes: 16 << 10 }
    }
}

/// The properties of an object, in the order of the wire; a name may come twice.
pub type Properties = Vec<(String, Value)>;

/// One value. Text that is not UTF-8 is read with U+FFFD in the place of what is wrong:
/// some encoders write names in their locale's encoding.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// AMF0 §2.2; AMF3 `integer` and `double`.
    Number(f64),
    /// §2.3.
    Boolean(bool),
    /// §2.4 and, above 65 535 bytes, §2.14.
    String(String),
    /// §2.5.
    Object(Properties),
    /// §2.7.
    Null,
    /// §2.8.
    Undefined,
    /// §2.9: the number of an object earlier in the message; not resolved.
    Reference(u16),
    /// §2.10. The count on the wire is only a hint; it is written as the number of properties.
    EcmaArray(Properties),
    /// §2.12.
    StrictArray(Vec<Value>),
    /// §2.13.
    Date {
        /// Milliseconds since 1970-01-01 00:00 UTC.
        unix_ms: f64,
        /// Reserved by the specification, should be 0.
        zone_min: i16,
    },
    /// §2.15.
    Unsupported,
    /// §2.17.
    XmlDocument(String),
    /// §2.18.
    TypedObject {
        /// The name of the class.
        class: String,
        /// As of an object.
        properties: Properties,
    },
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number of a number.
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The first property called `name`, of whatever has properties.
    pub fn property(&self, name: &str) -> Option<&Value> {
        let (Self::Object(properties) | Self::EcmaArray(properties) | Self::TypedObject { properties, .. }) = self
        else {
            return None;
        };
        properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}
