//! As much of AMF0 as players and publishers need.

/// A value of AMF0 §2.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Boolean(bool),
    String(String),
    Object(Vec<(String, Value)>),
    Null,
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::String(text.to_owned())
    }

    /// The property `name` as text, of an object that has it.
    pub fn property(&self, name: &str) -> Option<&str> {
        let Self::Object(properties) = self else { return None };
        properties.iter().find_map(|(key, value)| match value {
            Self::String(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }
}

pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| encode_one(value, &mut out));
    out
}

fn encode_one(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(0);
            out.extend(number.to_be_bytes());
        }
        Value::Boolean(value) => out.extend([1, u8::from(*value)]),
        Value::String(text) => {
            out.push(2);
            encode_key(text, out);
        }
        Value::Object(properties) => {
            out.push(3);
            for (key, value) in properties {
                encode_key(key, out);
                encode_one(value, out);
            }
            out.extend([0, 0, 9]);
        }
        Value::Null => out.push(5),
    }
}

fn encode_key(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// All values in `bytes`; `None` when they are broken or of a type that no server sends here.
pub fn decode(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        values.push(decode_one(&mut bytes, 8)?);
    }
    Some(values)
}

fn decode_one(bytes: &mut &[u8], depth: u32) -> Option<Value> {
    match take(bytes, 1)?[0] {
        0 => Some(Value::Number(f64::from_be_bytes(take(bytes, 8)?.try_into().ok()?))),
        1 => Some(Value::Boolean(take(bytes, 1)?[0] != 0)),
        2 => Some(Value::String(decode_key(bytes)?)),
        3 => decode_properties(bytes, depth.checked_sub(1)?),
        5 | 6 => Some(Value::Null),
        // The count of an ECMA array is a hint (§2.10): its end is marked like that of an object.
        8 => take(bytes, 4).and_then(|_| decode_properties(bytes, depth.checked_sub(1)?)),
        _ => None,
    }
}

fn decode_properties(bytes: &mut &[u8], depth: u32) -> Option<Value> {
    let mut properties = Vec::new();
    loop {
        let key = decode_key(bytes)?;
        if key.is_empty() && bytes.first() == Some(&9) {
            take(bytes, 1)?;
            return Some(Value::Object(properties));
        }
        properties.push((key, decode_one(bytes, depth)?));
    }
}

fn decode_key(bytes: &mut &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?);
    String::from_utf8(take(bytes, length.into())?.to_vec()).ok()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let values = vec![
            Value::text("onStatus"),
            Value::Number(1.5),
            Value::Boolean(true),
            Value::Null,
            Value::Object(vec![("code".into(), Value::text("NetStream.Play.Start"))]),
        ];
        let bytes = encode(&values);
        assert_eq!(decode(&bytes), Some(values));
        (1..bytes.len()).for_each(|end| assert!(decode(&bytes[..end]).is_none_or(|values| values.len() < 5)));
    }
}
