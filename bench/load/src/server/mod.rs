//! The servers that are measured, each a process of its own with ports of its own.

mod arcly;
mod floor;
mod nginx;
mod process;

use std::net::{SocketAddr, TcpListener};

pub use arcly::Arcly;
pub use process::Server;

use crate::floor::WriteEvery;
use crate::players::Source;
use crate::stream::Shape;

/// When a server writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flush {
    /// As it does when nothing is said.
    Default,
    /// Every packet at once.
    EveryPacket,
    /// What has come within so many milliseconds, together.
    MergeMs(u32),
}

/// How viewers get the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Rtmp,
    Flv,
}

/// A server in one of its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contestant {
    Arcly(Protocol, Flush),
    /// Over RTMP and with nothing else: without HTTP nothing is packaged.
    ArclyAlone,
    Nginx,
    FloorPerMessage,
    FloorPerPicture,
    FloorPerWindow(u32),
}

/// Starts contestants.
pub struct Starter {
    pub arcly: Option<Arcly>,
}

impl Starter {
    /// The server, running and listening. `shape` is that of the stream, which floors make themselves.
    pub fn start(&self, contestant: Contestant, shape: Shape) -> Result<Server, String> {
        match contestant {
            Contestant::Arcly(_, flush) => self.arcly()?.start(flush),
            Contestant::ArclyAlone => self.arcly()?.start_alone(),
            Contestant::Nginx => nginx::start(),
            Contestant::FloorPerMessage => floor::start(WriteEvery::Message, shape),
            Contestant::FloorPerPicture => floor::start(WriteEvery::Picture, shape),
            Contestant::FloorPerWindow(window_ms) => {
                floor::start(WriteEvery::Window(std::time::Duration::from_millis(window_ms.into())), shape)
            }
        }
    }

    fn arcly(&self) -> Result<&Arcly, String> {
        self.arcly.as_ref().ok_or_else(|| "arcly is not installed".to_owned())
    }
}

impl Contestant {
    /// Whether it is arcly, which has no excuse for a fault.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Arcly(..) | Self::ArclyAlone)
    }

    /// Whether the stream has to be published to it.
    pub fn wants_publisher(self) -> bool {
        self.is_ours() || self == Self::Nginx
    }

    /// Where viewers find the stream `name`.
    pub fn source(self, server: &Server, name: &str) -> Source {
        match self {
            Self::Arcly(Protocol::Rtmp, _) | Self::ArclyAlone | Self::Nginx => {
                Source::Rtmp(server.rtmp, name.to_owned())
            }
            _ => Source::Flv(server.http, format!("/{name}.flv")),
        }
    }

    /// For people.
    pub fn name(self) -> String {
        match self {
            Self::Arcly(protocol, flush) => {
                let protocol = if protocol == Protocol::Rtmp { "RTMP" } else { "HTTP-FLV" };
                match flush {
                    Flush::Default => format!("arcly {protocol}"),
                    Flush::EveryPacket => format!("arcly {protocol}, every packet"),
                    Flush::MergeMs(window_ms) => format!("arcly {protocol}, {window_ms} ms"),
                }
            }
            Self::ArclyAlone => "arcly RTMP, no HTTP".into(),
            Self::Nginx => "nginx-rtmp".into(),
            Self::FloorPerMessage => "floor, a send per message".into(),
            Self::FloorPerPicture => "floor, a writev per picture".into(),
            Self::FloorPerWindow(window_ms) => format!("floor, a writev per {window_ms} ms"),
        }
    }
}

/// An address that nobody listens on now.
fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(|error| error.to_string())
}
