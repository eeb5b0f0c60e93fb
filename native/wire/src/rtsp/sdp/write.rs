//! Writing descriptions.

use std::{fmt::Write as _, net::IpAddr};

use super::{Description, Direction, Media};

impl Description {
    /// The text, for a peer that reaches us at `address`; `id` differs between descriptions (RFC 8866 §5.2).
    pub fn write(&self, address: IpAddr, id: u64) -> String {
        let family = if address.is_ipv6() { "IP6" } else { "IP4" };
        let name = if self.name.is_empty() { " " } else { &self.name };
        let mut text = format!("v=0\r\no=- {id} 1 IN {family} {address}\r\ns={}\r\n", one_line(name));
        // Who receives is said by SETUP.
        let any = if address.is_ipv6() { "::" } else { "0.0.0.0" };
        let _ = write!(text, "c=IN {family} {any}\r\nt=0 0\r\n");
        for (key, value) in [("control", &self.control), ("range", &self.range)] {
            if !value.is_empty() {
                let _ = write!(text, "a={key}:{}\r\n", one_line(value));
            }
        }
        self.medias.iter().for_each(|media| media.write(&mut text));
        text
    }
}

impl Media {
    fn write(&self, text: &mut String) {
        let protocol = if self.protocol.is_empty() { "RTP/AVP" } else { &self.protocol };
        let _ = write!(text, "m={} {} {}", one_line(&self.kind), self.port, one_line(protocol));
        for format in &self.formats {
            let _ = write!(text, " {}", format.payload_type);
        }
        text.push_str("\r\n");
        if !self.address.is_empty() {
            let family = if self.address.contains(':') { "IP6" } else { "IP4" };
            let _ = write!(text, "c=IN {family} {}\r\n", one_line(&self.address));
        }
        for format in &self.formats {
            let payload_type = format.payload_type;
            let _ = write!(text, "a=rtpmap:{payload_type} {}\r\n", one_line(&format.rtpmap()));
            if !format.parameters.is_empty() {
                let _ = write!(text, "a=fmtp:{payload_type} {}\r\n", one_line(&format.parameters));
            }
        }
        for (key, value) in [("lang", &self.language), ("control", &self.control)] {
            if !value.is_empty() {
                let _ = write!(text, "a={key}:{}\r\n", one_line(value));
            }
        }
        if !self.key_management.is_empty() {
            let _ = write!(text, "a=key-mgmt:{}\r\n", one_line(&self.key_management));
        }
        for line in &self.crypto {
            let _ = write!(text, "a=crypto:{}\r\n", one_line(line));
        }
        let direction = match self.direction {
            Direction::Unsaid => return,
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::SendRecv => "sendrecv",
            Direction::Inactive => "inactive",
        };
        let _ = write!(text, "a={direction}\r\n");
    }
}

/// A text of somebody within a line of ours.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
