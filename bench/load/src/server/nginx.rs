//! nginx with its RTMP module, as Debian packages them (nginx, libnginx-mod-rtmp): one worker, which is all that the module can share a
//! stream between.

use std::fs;
use std::process::Command;

use super::free_address;
use super::process::{Server, new_directory};

pub fn start() -> Result<Server, String> {
    let (rtmp, directory) = (free_address()?, new_directory()?);
    let path = directory.display();
    // As root, nginx would change to a user who may not read the directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let configuration = format!(
        "{user} daemon off; worker_processes 1; worker_rlimit_nofile 16384; pid {path}/pid; error_log {path}/error.log warn;
load_module modules/ngx_rtmp_module.so;
events {{ worker_connections 8192; }}
rtmp {{ access_log off; server {{ listen {rtmp}; chunk_size 4096; application live {{ live on; }} }} }}
"
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration).map_err(|error| error.to_string())?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file).arg("-e").arg(directory.join("error.log"));
    Server::start(command, rtmp, rtmp, directory)
}
