//! Where streams are called for: `srt://host:8890?streamid=read:live/cam&latency=200000`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use arcly_wire::srt::{Bandwidth, CipherMode, KeySize, Passphrase, SrtOptions as Settings, StreamId};
use percent_encoding::percent_decode_str;

/// A listener of somebody else's, and how it is called.
#[derive(Debug, Clone)]
pub struct SrtUrl {
    /// An IP address or a name.
    pub host: String,
    /// Its port, never 0.
    pub port: u16,
    /// `streamid`: what is asked for; may be empty.
    pub stream_id: String,
    /// `passphrase`: none for the clear.
    pub passphrase: Option<Passphrase>,
    /// `mode`: both sides call each other (`rendezvous`).
    pub rendezvous: bool,
    /// `adapter`: the address of ours that is called from; none for the system's choice.
    pub adapter: Option<IpAddr>,
    /// `latency`, `pbkeylen`, `cryptomode`, `maxbw`, `inputbw`, `oheadbw`, `tlpktdrop`.
    pub settings: Settings,
}

/// The port where the URL names none.
const PORT: u16 = 8890;

impl SrtUrl {
    /// Reads a URL. Parameters have the names and units of FFmpeg: `latency` in microseconds; `latency_ms` is ours.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, without a secret in it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("srt://").ok_or("the URL does not begin with srt://")?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (address, path) = address.split_once('/').unwrap_or((address, ""));
        let (host, port) = split_port(address)?;
        if host.is_empty() {
            return Err("the URL has no host: srt://HOST:PORT".into());
        }
        let (rendezvous, settings) = (false, Settings::default());
        let stream_id = path.trim_end_matches('/').to_owned();
        let mut parsed = Self { host, port, stream_id, passphrase: None, rendezvous, adapter: None, settings };
        query.split('&').filter(|pair| !pair.is_empty()).try_for_each(|pair| parsed.set(pair))?;
        Ok(parsed)
    }

    fn set(&mut self, pair: &str) -> Result<(), String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("{name} is not UTF-8"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name}={value}: this is no number"));
        match name {
            "streamid" | "srt_streamid" => self.stream_id = value.into_owned(),
            "passphrase" => {
                self.passphrase = Some(Passphrase::new(&value).ok_or("a passphrase has 10 to 79 bytes")?);
            }
            "pbkeylen" => {
                let bytes = usize::try_from(number()?).unwrap_or(0);
                // 0: the listener chooses.
                let size = if bytes == 0 { Some(KeySize::default()) } else { KeySize::from_bytes(bytes) };
                self.settings.key_size = size.ok_or("pbkeylen is 16, 24 or 32")?;
            }
            "cryptomode" => {
                self.settings.cipher = match number()? {
                    0 | 1 => CipherMode::Ctr,
                    2 => CipherMode::Gcm,
                    _ => return Err("cryptomode is 0 (ours to choose), 1 (AES-CTR) or 2 (AES-GCM)".into()),
                };
            }
            "latency" => self.set_latency(Duration::from_micros(number()?)),
            "latency_ms" => self.set_latency(Duration::from_millis(number()?)),
            "rcvlatency" => self.settings.receive_latency = Duration::from_micros(number()?),
            "peerlatency" => self.settings.send_latency = Duration::from_micros(number()?),
            "maxbw" if value.starts_with('-') => {}
            "maxbw" => {
                self.settings.bandwidth = match number()? {
                    0 => Bandwidth::Estimated,
                    bytes => Bandwidth::Fixed(bytes),
                };
            }
            "inputbw" => self.settings.bandwidth = Bandwidth::Input(number()?),
            "oheadbw" => self.settings.overhead_percent = u32::try_from(number()?).unwrap_or(100).clamp(5, 100),
            "tlpktdrop" => self.settings.too_late_drop = number()? != 0,
            "connect_timeout" => self.settings.limits.connect_time = Duration::from_millis(number()?),
            "adapter" | "localaddr" => {
                self.adapter = Some(value.parse().map_err(|_| format!("{name}={value}: this is no IP address"))?);
            }
            "mode" => return self.set_mode(&value),
            // Of FFmpeg and srt-live-transmit, and of no meaning here.
            "pkt_size" | "transtype" | "mss" | "ffs" | "timeout" | "listen_timeout" | "nakreport" | "payload_size" => {}
            _ => {
                return Err(format!(
                    "{name} is not known: streamid, passphrase, pbkeylen, cryptomode, latency, mode, adapter, maxbw are"
                ));
            }
        }
        Ok(())
    }

    fn set_latency(&mut self, latency: Duration) {
        (self.settings.receive_latency, self.settings.send_latency) = (latency, latency);
    }

    fn set_mode(&mut self, mode: &str) -> Result<(), String> {
        match mode {
            "caller" | "client" | "" => Ok(()),
            "rendezvous" => {
                self.rendezvous = true;
                Ok(())
            }
            "listener" | "server" => Err("mode=listener: SrtHandler and arcly serve --srt listen".into()),
            other => Err(format!("mode={other}: caller and rendezvous are known")),
        }
    }

    /// The addresses that its name stands for and that can be called from its `adapter`, never none.
    ///
    /// # Errors
    /// A sentence.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|error| format!("{} is not known: {error}", self.host))?;
        let found: Vec<_> = found.filter(|peer| self.can_call(peer.ip())).collect();
        match (found.is_empty(), self.adapter) {
            (false, _) => Ok(found),
            (true, None) => Err(format!("{} has no address", self.host)),
            (true, Some(ours)) => Err(format!("{} has no address that {ours} can call", self.host)),
        }
    }

    /// Whether `adapter` is of the family of that address; `::` is of both.
    fn can_call(&self, peer: IpAddr) -> bool {
        let is_same = |ours: IpAddr| ours.is_ipv4() == peer.is_ipv4() || ours == Ipv6Addr::UNSPECIFIED;
        self.adapter.is_none_or(is_same)
    }
}

fn split_port(address: &str) -> Result<(String, u16), String> {
    let is_bare_v6 = address.ends_with(']');
    let (host, port) = match address.rsplit_once(':').filter(|_| !is_bare_v6) {
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, port.ok_or_else(|| format!("{address:?} ends with no port"))?)
        }
        None => (address, PORT),
    };
    let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'));
    Ok((host.ok_or("the [ of an IPv6 address has no ]")?.to_owned(), port))
}

/// Without what may be secret: passphrase, credentials.
impl fmt::Display for SrtUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = self.host.contains(':');
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        write!(f, "srt://{open}{}{close}:{}", self.host, self.port)?;
        match StreamId::parse(self.stream_id.as_bytes()) {
            Ok(id) => write!(f, "/{}/{}", id.app, id.stream),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_as_ffmpeg_writes_it() {
        let text = "srt://[::1]:9000?streamid=publish:live/cam:ann:secret&passphrase=a%20passphrase&pbkeylen=32&latency=200000&pkt_size=1316&mode=caller";
        let url = SrtUrl::parse(text).unwrap();
        assert_eq!((&*url.host, url.port, &*url.stream_id), ("::1", 9000, "publish:live/cam:ann:secret"));
        assert_eq!(url.passphrase, Passphrase::new("a passphrase"));
        assert_eq!(url.settings.key_size, KeySize::Aes256);
        assert_eq!(url.settings.receive_latency, Duration::from_millis(200));
        assert_eq!(url.to_string(), "srt://[::1]:9000/live/cam");
        let url = SrtUrl::parse("srt://host?streamid=#!::r=live/cam,m=publish").unwrap();
        assert_eq!((url.port, &*url.stream_id), (8890, "#!::r=live/cam,m=publish"));
    }

    #[tokio::test]
    async fn an_adapter_calls_addresses_of_its_family() {
        let resolved = async |url: &str| SrtUrl::parse(url).unwrap().resolve().await;
        let there = "127.0.0.1:9".parse().unwrap();
        for adapter in ["", "?adapter=127.0.0.2", "?adapter=0.0.0.0", "?adapter=::"] {
            assert_eq!(resolved(&format!("srt://127.0.0.1:9{adapter}")).await.unwrap(), [there], "{adapter}");
        }
        let error = resolved("srt://127.0.0.1:9?adapter=::1").await.unwrap_err();
        assert_eq!(error, "127.0.0.1 has no address that ::1 can call");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        for url in [
            "srt://",
            "srt://:1",
            "srt://h:0",
            "srt://h?passphrase=short",
            "srt://h?latency=x",
            "srt://h?mode=listener",
            "srt://h?pbkeylen=5",
            "srt://h?what=1",
            "rtmp://h",
        ] {
            let error = SrtUrl::parse(url).unwrap_err();
            assert!(!error.contains("short"), "{error}");
        }
    }
}
