//! As much of an RTSP client as a bench needs.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A server that does not answer for so long is none.
const ANSWER_TIME: Duration = Duration::from_secs(20);

pub struct Client {
    reader: BufReader<TcpStream>,
    url: String,
    session: Option<String>,
    sequence: u32,
}

/// How packets come.
#[derive(Clone, Copy)]
pub enum Transport {
    Tcp,
    /// To this port.
    Udp(u16),
}

impl Client {
    pub fn connect(server: SocketAddr, name: &str) -> Result<Self, String> {
        let socket = TcpStream::connect(server).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(ANSWER_TIME)).map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        let url = format!("rtsp://{server}/live/{name}");
        // No buffer: what follows the last answer stays in the socket.
        Ok(Self { reader: BufReader::with_capacity(1, socket), url, session: None, sequence: 0 })
    }

    /// Plays the first track. Returns the socket, which packets come from when they come by TCP.
    pub fn play(mut self, transport: Transport) -> Result<TcpStream, String> {
        let description = self.request("DESCRIBE", "", &["Accept: application/sdp".to_owned()], "")?;
        let media = description.find("m=video").and_then(|at| description.get(at..)).ok_or("no video")?;
        let control = media.lines().find_map(|line| line.strip_prefix("a=control:")).ok_or("no control")?.to_owned();
        let transport = match transport {
            Transport::Tcp => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
            Transport::Udp(port) => format!("RTP/AVP;unicast;client_port={port}-{}", port + 1),
        };
        self.request("SETUP", &control, &[format!("Transport: {transport}")], "")?;
        self.request("PLAY", "", &[], "")?;
        Ok(self.reader.into_inner())
    }

    /// Begins to publish a track with this description, over TCP.
    pub fn publish(mut self, media: &str) -> Result<TcpStream, String> {
        let description = format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{media}a=control:streamid=0\r\n");
        self.request("ANNOUNCE", "", &["Content-Type: application/sdp".to_owned()], &description)?;
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record".to_owned();
        self.request("SETUP", "streamid=0", &[transport], "")?;
        self.request("RECORD", "", &[], "")?;
        Ok(self.reader.into_inner())
    }

    fn request(&mut self, method: &str, control: &str, headers: &[String], body: &str) -> Result<String, String> {
        self.sequence += 1;
        let url = match control {
            "" => self.url.clone(),
            absolute if absolute.starts_with("rtsp://") => absolute.to_owned(),
            relative => format!("{}/{relative}", self.url),
        };
        let mut text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n", self.sequence);
        headers.iter().for_each(|header| text += &format!("{header}\r\n"));
        self.session.iter().for_each(|session| text += &format!("Session: {session}\r\n"));
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += &format!("\r\n{body}");
        self.reader.get_mut().write_all(text.as_bytes()).map_err(|error| format!("{method}: {error}"))?;
        self.answer().map_err(|reason| format!("{method}: {reason}"))
    }

    /// The body of the answer.
    fn answer(&mut self) -> Result<String, String> {
        let status = self.line()?;
        let mut length = 0;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(|_| "Content-Length")?,
                "session" => self.session = value.split(';').next().map(|session| session.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).map_err(|error| error.to_string())?;
        if status.split(' ').nth(1) != Some("200") {
            return Err(status);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim_end().to_owned())
    }
}
