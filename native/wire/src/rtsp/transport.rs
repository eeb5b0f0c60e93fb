//! The `Transport` header (RFC 2326 §12.39): how a track travels.

use std::fmt;

/// Bytes of one value that are read; real ones have a hundred.
const VALUE_BYTES_MAX: usize = 1024;
/// Alternatives that are read; clients offer up to three.
const ALTERNATIVES_MAX: usize = 8;

/// What is beneath RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// A datagram for each packet.
    Udp,
    /// Packets between the messages of the connection (RFC 2326 §10.12).
    Tcp,
}

/// One way to travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// `RTP/SAVP`: encrypted (RFC 3711).
    pub secure: bool,
    /// What is beneath RTP.
    pub lower: Lower,
    /// To whoever listens to a group address.
    pub multicast: bool,
    /// Channels of RTP and RTCP on the connection.
    pub interleaved: Option<(u8, u8)>,
    /// Ports of the client for RTP and RTCP.
    pub client_port: Option<(u16, u16)>,
    /// Ports of the server for RTP and RTCP.
    pub server_port: Option<(u16, u16)>,
    /// Ports of the group for RTP and RTCP.
    pub port: Option<(u16, u16)>,
    /// Where it is sent to: of use for groups only. What a client says here is never obeyed.
    pub destination: Option<String>,
    /// Where it is sent from, when that is not where the server is.
    pub source: Option<String>,
    /// How far datagrams to a group may go.
    pub ttl: Option<u8>,
    /// The source of the packets.
    pub ssrc: Option<u32>,
    /// The client sends.
    pub record: bool,
}

impl Transport {
    /// RTP in datagrams to one receiver.
    pub fn udp(client_port: (u16, u16)) -> Self {
        Self { lower: Lower::Udp, client_port: Some(client_port), ..Self::bare() }
    }

    /// RTP on these channels of the connection.
    pub fn tcp(interleaved: (u8, u8)) -> Self {
        Self { lower: Lower::Tcp, interleaved: Some(interleaved), ..Self::bare() }
    }

    fn bare() -> Self {
        Self {
            secure: false,
            lower: Lower::Udp,
            multicast: false,
            interleaved: None,
            client_port: None,
            server_port: None,
            port: None,
            destination: None,
            source: None,
            ttl: None,
            ssrc: None,
            record: false,
        }
    }

    /// The alternatives of a header, best first; those that are not understood are left out.
    pub fn parse_all(value: &str) -> Vec<Self> {
        let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
        value.split(',').filter_map(Self::parse).take(ALTERNATIVES_MAX).collect()
    }

    /// Reads one alternative; none when it is not RTP.
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split(';').map(str::trim);
        let mut transport = Self::bare();
        let protocol = fields.next()?.to_ascii_uppercase();
        let mut parts = protocol.split('/');
        if parts.next()? != "RTP" {
            return None;
        }
        transport.secure = match parts.next()? {
            "AVP" | "AVPF" => false,
            "SAVP" | "SAVPF" => true,
            _ => return None,
        };
        transport.lower = match parts.next() {
            None | Some("UDP") => Lower::Udp,
            Some("TCP") => Lower::Tcp,
            Some(_) => return None,
        };
        // Without a word (RFC 2326 §12.39) it would be multicast; whoever leaves the word out today means the opposite.
        fields.for_each(|field| transport.set(field));
        Some(transport)
    }

    fn set(&mut self, field: &str) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "multicast" => self.multicast = true,
            "interleaved" => self.interleaved = pair(value),
            "client_port" => self.client_port = pair(value),
            "server_port" => self.server_port = pair(value),
            "port" => self.port = pair(value),
            "destination" => self.destination = Some(value.to_owned()).filter(|text| !text.is_empty()),
            "source" => self.source = Some(value.to_owned()).filter(|text| !text.is_empty()),
            "ttl" => self.ttl = value.parse().ok(),
            "ssrc" => self.ssrc = u32::from_str_radix(value.trim(), 16).ok(),
            // FFmpeg writes "record", others "RECORD".
            "mode" => self.record = value.eq_ignore_ascii_case("record") || value.eq_ignore_ascii_case("receive"),
            _ => {}
        }
    }
}

/// `8000-8001`, or `8000` alone, which stands for itself and the next.
fn pair<T: std::str::FromStr + Copy + TryFrom<u32> + Into<u32>>(value: &str) -> Option<(T, T)> {
    let (first, second) = value.split_once('-').unwrap_or((value, ""));
    let first: T = first.trim().parse().ok()?;
    let second = match second.trim() {
        "" => T::try_from(first.into() + 1).ok()?,
        text => text.parse().ok()?,
    };
    Some((first, second))
}

/// As it stands in a header.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = if self.secure { "SAVP" } else { "AVP" };
        let lower = if self.lower == Lower::Tcp { "/TCP" } else { "" };
        let delivery = if self.multicast { "multicast" } else { "unicast" };
        write!(f, "RTP/{profile}{lower};{delivery}")?;
        if let Some(destination) = &self.destination {
            write!(f, ";destination={destination}")?;
        }
        if let Some(source) = &self.source {
            write!(f, ";source={source}")?;
        }
        if let Some((rtp, rtcp)) = self.interleaved {
            write!(f, ";interleaved={rtp}-{rtcp}")?;
        }
        for (name, ports) in [("client_port", self.client_port), ("server_port", self.server_port), ("port", self.port)]
        {
            if let Some((rtp, rtcp)) = ports {
                write!(f, ";{name}={rtp}-{rtcp}")?;
            }
        }
        if let Some(ttl) = self.ttl {
            write!(f, ";ttl={ttl}")?;
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        f.write_str(if self.record { ";mode=record" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What FFmpeg, GStreamer, VLC (live555) and cameras write.
    #[test]
    fn headers_of_real_clients_are_read() {
        let ffmpeg = Transport::parse("RTP/AVP/UDP;unicast;client_port=20922-20923;mode=record").unwrap();
        assert_eq!((ffmpeg.lower, ffmpeg.client_port, ffmpeg.record), (Lower::Udp, Some((20922, 20923)), true));
        let all = Transport::parse_all(
            "RTP/AVPF;unicast;client_port=50000-50001,RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1",
        );
        assert_eq!(all.len(), 3, "GStreamer offers them all at once");
        assert!(all[1].multicast && all[2].interleaved == Some((0, 1)));
        let camera = Transport::parse(
            "RTP/AVP/UDP;unicast;destination=192.0.2.1;source=192.0.2.2;client_port=1-2;server_port=3-4;ssrc=6B8B4567;mode=\"PLAY\"",
        );
        let camera = camera.unwrap();
        assert_eq!((camera.server_port, camera.ssrc, camera.record), (Some((3, 4)), Some(0x6b8b_4567), false));
        assert_eq!(Transport::parse("RTP/AVP;unicast;client_port=8000").unwrap().client_port, Some((8000, 8001)));
    }

    #[test]
    fn what_is_no_rtp_or_no_number_is_left_out() {
        for text in ["", "RTP", "MP2T/H2221/UDP;unicast", "RTP/XYZ", "RTP/AVP/SCTP;unicast"] {
            assert_eq!(Transport::parse(text), None, "{text}");
        }
        let odd = Transport::parse("RTP/AVP/TCP;interleaved=255;client_port=65535;ttl=999;ssrc=xyz;=;;").unwrap();
        assert_eq!(odd, Transport { lower: Lower::Tcp, ..Transport::bare() });
    }

    #[test]
    fn what_is_written_is_read_again() {
        let whole = Transport {
            secure: true,
            multicast: true,
            server_port: Some((5, 6)),
            port: Some((7, 8)),
            destination: Some("224.1.0.1".into()),
            source: Some("192.0.2.1".into()),
            ttl: Some(16),
            ssrc: Some(0xab),
            record: true,
            ..Transport::udp((1, 2))
        };
        for transport in [whole, Transport::tcp((2, 3)), Transport::bare()] {
            assert_eq!(Transport::parse(&transport.to_string()), Some(transport));
        }
    }
}
