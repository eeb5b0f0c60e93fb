//! Header extensions (RFC 3550 §5.3.1, RFC 8285).

use arcly_codec::cursor::Cursor;
use bytes::{BufMut, Bytes};

use super::packet::slice;

/// `defined by profile` of the form with one byte in front of each element (RFC 8285 §4.2).
const ONE_BYTE: u16 = 0xbede;
/// The same of the form with two bytes (RFC 8285 §4.3), whose lowest four bits are the application's.
const TWO_BYTE: u16 = 0x1000;
/// Largest identifier and most bytes of data in the short form; 15 is reserved.
const ONE_BYTE_MAX: (u8, usize) = (14, 16);
/// Elements that a reader looks at. Real packets have up to ten.
const MAX_ELEMENTS: usize = 64;

/// The header extensions of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    profile: u16,
    data: Bytes,
}

impl Extensions {
    /// Reads them where they begin.
    pub(super) fn read(datagram: &Bytes, fields: &mut Cursor<'_>) -> Option<Self> {
        let profile = fields.u16()?;
        let words = fields.u16()?;
        let data = fields.take(4 * usize::from(words))?;
        Some(Self { profile, data: slice(datagram, data) })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// `defined by profile`: what kind of extension it is when it is none of RFC 8285.
    pub fn profile(&self) -> u16 {
        self.profile
    }

    /// All bytes, as they came: for extensions that are none of RFC 8285 (ONVIF).
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The elements of RFC 8285, identifier and data each. What does not add up ends them.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut fields = Cursor::new(&self.data);
        let profile = self.profile;
        std::iter::from_fn(move || {
            while fields.rest().first() == Some(&0) {
                fields.u8();
            }
            match profile {
                ONE_BYTE => one_byte_element(&mut fields),
                _ if profile & 0xfff0 == TWO_BYTE => two_byte_element(&mut fields),
                _ => None,
            }
        })
        .take(MAX_ELEMENTS)
    }

    /// The data of the first element with this identifier.
    pub fn get(&self, id: u8) -> Option<&[u8]> {
        self.iter().find(|&(found, _)| found == id).map(|(_, data)| data)
    }

    /// Writes elements, in the short form where all fit into it. Those that fit into neither form are left out; nothing for
    /// no elements.
    pub(super) fn write(elements: &[(u8, &[u8])], into: &mut impl BufMut) {
        if elements.is_empty() {
            return;
        }
        let is_short = |&(id, data): &(u8, &[u8])| {
            (1..=ONE_BYTE_MAX.0).contains(&id) && (1..=ONE_BYTE_MAX.1).contains(&data.len())
        };
        let all_short = elements.iter().all(is_short);
        let head_bytes = if all_short { 1 } else { 2 };
        let writable = elements.iter().filter(|(id, data)| *id > 0 && data.len() <= 255);
        let bytes: usize = writable.clone().map(|(_, data)| head_bytes + data.len()).sum();
        into.put_u16(if all_short { ONE_BYTE } else { TWO_BYTE });
        // At most as many elements as a packet has room for.
        into.put_u16(u16::try_from(bytes.div_ceil(4)).unwrap_or(u16::MAX));
        for (id, data) in writable {
            let length = data.len() as u8;
            if all_short {
                into.put_u8(id << 4 | length.wrapping_sub(1) & 0xf);
            } else {
                into.put_slice(&[*id, length]);
            }
            into.put_slice(data);
        }
        into.put_bytes(0, bytes.next_multiple_of(4) - bytes);
    }
}

fn one_byte_element<'a>(fields: &mut Cursor<'a>) -> Option<(u8, &'a [u8])> {
    let head = fields.u8()?;
    let id = head >> 4;
    // 15 ends the processing (RFC 8285 §4.2).
    if id == 15 {
        return None;
    }
    Some((id, fields.take(usize::from(head & 0xf) + 1)?))
}

fn two_byte_element<'a>(fields: &mut Cursor<'a>) -> Option<(u8, &'a [u8])> {
    let id = fields.u8()?;
    let length = fields.u8()?;
    Some((id, fields.take(usize::from(length))?))
}

#[cfg(test)]
mod tests {
    use super::{super::Header, super::Packet, *};

    fn round_trip(elements: &[(u8, &[u8])]) -> (u16, Vec<(u8, Vec<u8>)>) {
        let mut bytes = Vec::new();
        Header::default().write_with_extensions(elements, &mut bytes);
        bytes.extend(b"media");
        let packet = Packet::parse(bytes.into()).unwrap();
        assert_eq!(packet.payload.as_ref(), b"media");
        (packet.extensions.profile(), packet.extensions.iter().map(|(id, data)| (id, data.to_vec())).collect())
    }

    #[test]
    fn elements_take_the_short_form_where_they_can() {
        let short: [(u8, &[u8]); 3] = [(1, &[1, 2, 3]), (14, &[7; 16]), (2, &[9])];
        assert_eq!(round_trip(&short), (ONE_BYTE, short.map(|(id, data)| (id, data.to_vec())).to_vec()));
        for long in [(15, &[1][..]), (1, &[]), (1, &[3; 17]), (255, &[4; 255])] {
            let elements = [(3, &[1][..]), long];
            assert_eq!(round_trip(&elements), (TWO_BYTE, elements.map(|(id, data)| (id, data.to_vec())).to_vec()));
        }
        assert_eq!(round_trip(&[]), (0, Vec::new()));
        assert_eq!(round_trip(&[(0, &[1]), (2, &[0; 256])]).1, []);
    }

    #[test]
    fn padding_is_passed_over_and_what_is_cut_off_ends_the_list() {
        let elements = |profile, data: &[u8]| {
            let extensions = Extensions { profile, data: Bytes::copy_from_slice(data) };
            extensions.iter().map(|(id, data)| (id, data.to_vec())).collect::<Vec<_>>()
        };
        assert_eq!(elements(ONE_BYTE, &[0, 0, 0x10, 5, 0, 0x21, 1, 2]), [(1, vec![5]), (2, vec![1, 2])]);
        assert_eq!(elements(ONE_BYTE, &[0x10, 5, 0xf0, 0x10, 6]), [(1, vec![5])]);
        assert_eq!(elements(ONE_BYTE, &[0x13, 5, 6]), []);
        assert_eq!(elements(TWO_BYTE | 3, &[7, 0, 0, 8, 1, 9]), [(7, vec![]), (8, vec![9])]);
        assert_eq!(elements(0xabac, &[1, 2, 3, 4]), []);
        assert_eq!(elements(TWO_BYTE, &[1, 0].repeat(1000)).len(), MAX_ELEMENTS);
    }
}
