//! ffmpeg itself against the machines, over a socket that the test drives.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use arcly_wire::rtmp::{Event, Limits, MediaKind, ServerConn, egress};

/// Longest that a test waits for ffmpeg.
const DEADLINE: Duration = Duration::from_secs(30);

struct Server {
    machine: ServerConn,
    socket: TcpStream,
    started: Instant,
    buffer: Vec<u8>,
}

impl Server {
    fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let machine = ServerConn::new(Limits::default(), 7, Duration::ZERO);
        Self { machine, socket, started: Instant::now(), buffer: vec![0; 64 << 10] }
    }

    fn flush(&mut self) {
        while let Some(bytes) = self.machine.poll_output() {
            self.socket.write_all(&bytes).unwrap();
        }
    }

    /// One read; the events that came of it, or `None` at the end.
    fn read(&mut self) -> Option<Vec<Event>> {
        self.flush();
        let read = self.socket.read(&mut self.buffer).unwrap_or(0);
        if read == 0 {
            return None;
        }
        self.machine.handle_input(self.started.elapsed(), &self.buffer[..read]).unwrap();
        Some(std::iter::from_fn(|| self.machine.poll_event()).collect())
    }
}

fn ffmpeg(arguments: &[&str]) -> Child {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("this test needs ffmpeg on the PATH: {error}"))
}

/// The digests of our S1 and S2 are those that ffmpeg checks; then its whole publish comes, and is played to another ffmpeg.
#[test]
fn ffmpeg_publishes_and_plays_what_was_cut_once_for_all() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtmp://{}/live/cam", listener.local_addr().unwrap());
    let clip = "testsrc2=size=64x48:rate=10:duration=2";
    let publisher = ffmpeg(&["-f", "lavfi", "-i", clip, "-c:v", "libx264", "-bf", "0", "-g", "10", "-f", "flv", &url]);
    let mut server = Server::accept(&listener);
    let mut messages = Vec::new();
    while let Some(events) = server.read() {
        for event in events {
            match event {
                Event::PublishRequested(request) => server.machine.accept_publish(request.stream_id),
                Event::Media(media) => messages.push(media),
                _ => {}
            }
        }
    }
    let output = publisher.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pictures = messages.iter().filter(|media| media.kind == MediaKind::Video && media.body.get(1) == Some(&1));
    assert_eq!(pictures.count(), 20);

    let player = ffmpeg(&["-i", &url, "-c", "copy", "-f", "framecrc", "-"]);
    let mut server = Server::accept(&listener);
    'play: while let Some(events) = server.read() {
        for event in events {
            if let Event::PlayRequested(request) = event {
                server.machine.accept_play(request.stream_id);
                server.flush();
                for media in &messages {
                    let message = egress::chunked(media.kind, media.timestamp_ms, b"", &media.body);
                    server.socket.write_all(&message).unwrap();
                }
                server.machine.end_play(request.stream_id, "over");
                server.flush();
                break 'play;
            }
        }
    }
    drop(server);
    let output = player.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let frames = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(frames, 20, "{text}{}", String::from_utf8_lossy(&output.stderr));
}
