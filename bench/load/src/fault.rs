//! Why a connection is of no more use.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server ended the connection.
    Closed,
    /// What came cannot be taken apart.
    Framing(&'static str),
    /// The server said no, in its words.
    Refused(String),
    Io(std::io::ErrorKind),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(out, "the server closed the connection"),
            Self::Framing(what) => write!(out, "broken framing: {what}"),
            Self::Refused(why) => write!(out, "refused: {why}"),
            Self::Io(kind) => write!(out, "{kind}"),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.kind())
    }
}
