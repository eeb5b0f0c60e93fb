//! `arcly serve`, as users run it.

use std::path::PathBuf;
use std::process::Command;

use super::process::{Server, new_directory};
use super::{Flush, free_address};

/// The installed command, and what it can be told.
pub struct Arcly {
    command: PathBuf,
    help: String,
}

impl Arcly {
    /// `None` when the command cannot be run.
    pub fn find(command: PathBuf) -> Option<Self> {
        let output = Command::new(&command).args(["serve", "--help"]).output().ok()?;
        output.status.success().then(|| Self { command, help: String::from_utf8_lossy(&output.stdout).into_owned() })
    }

    pub fn start(&self, flush: Flush) -> Result<Server, String> {
        let (rtmp, http) = (free_address()?, free_address()?);
        let mut command = self.serve(&rtmp.to_string(), &http.to_string());
        command.args(self.flags(flush)?);
        Server::start(command, rtmp, http, new_directory()?)
    }

    /// With RTMP and nothing else.
    pub fn start_alone(&self) -> Result<Server, String> {
        let rtmp = free_address()?;
        Server::start(self.serve(&rtmp.to_string(), "off"), rtmp, rtmp, new_directory()?)
    }

    fn serve(&self, rtmp: &str, http: &str) -> Command {
        let mut command = Command::new(&self.command);
        command.args(["serve", "--log-level", "warning", "--rtmp", rtmp, "--http", http]);
        for other in ["--rtsp", "--srt", "--webrtc"] {
            command.args([other, "off"]);
        }
        command
    }

    fn flags(&self, flush: Flush) -> Result<Vec<String>, String> {
        let (flag, value) = match flush {
            Flush::Default => return Ok(Vec::new()),
            Flush::EveryPacket => ("--flush", "packet".to_owned()),
            Flush::MergeMs(window_ms) => ("--merge-ms", window_ms.to_string()),
        };
        if !self.help.contains(flag) {
            return Err(format!("this arcly serve has no {flag}"));
        }
        Ok(vec![flag.to_owned(), value])
    }
}
