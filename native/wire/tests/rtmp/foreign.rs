//! A real ffmpeg publishes to the machine over a socket; what comes out is what it read from its file.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use arcly_wire::rtmp::{Event, Limits, MediaKind, PublishRejection, ServerConn};

/// ffmpeg from PATH, which the test cannot do without.
fn ffmpeg(arguments: &[&str]) -> Child {
    let command = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn();
    command.expect("this test needs `ffmpeg` on PATH")
}

/// Two seconds of H.264 with B-frames and AAC at 44.1 kHz.
fn make_clip(path: &Path) {
    let source = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-f", "lavfi", "-i", "sine=r=44100", "-t", "2"];
    let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-c:a", "aac"];
    let arguments = [&source[..], &coding, &["-f", "flv", path.to_str().unwrap()]].concat();
    assert!(ffmpeg(&arguments).wait().unwrap().success());
}

/// The tags of an FLV file as (type, timestamp, body).
fn tags(file: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut rest = &file[9 + 4..];
    let mut tags = Vec::new();
    while let Some((header, body)) = rest.split_at_checked(11) {
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let timestamp_ms = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        tags.push((header[0], timestamp_ms, body[..length].to_vec()));
        rest = &body[length + 4..];
    }
    tags
}

/// Serves one connection until its end; `decide` answers each publish.
fn serve(mut socket: TcpStream, decide: impl Fn(&mut ServerConn, u32)) -> Vec<Event> {
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let started = Instant::now();
    let mut conn = ServerConn::new(Limits::default(), 42, started.elapsed());
    let (mut events, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        // A client that leaves may reset the connection.
        let Ok(count @ 1..) = socket.read(&mut buffer) else { return events };
        conn.handle_input(started.elapsed(), &buffer[..count]).unwrap();
        while let Some(event) = conn.poll_event() {
            if let Event::PublishRequested(request) = &event {
                decide(&mut conn, request.stream_id);
            }
            events.push(event);
        }
        while let Some(bytes) = conn.poll_output() {
            let _ = socket.write_all(&bytes);
        }
    }
}

fn publish(clip: &Path, decide: impl Fn(&mut ServerConn, u32)) -> (Vec<Event>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtmp://{}/live/inst/cam?token=x", listener.local_addr().unwrap());
    let client = ffmpeg(&["-i", clip.to_str().unwrap(), "-map", "0", "-c", "copy", "-f", "flv", &url]);
    let events = serve(listener.accept().unwrap().0, decide);
    (events, String::from_utf8(client.wait_with_output().unwrap().stderr).unwrap())
}

#[test]
fn ffmpeg_publishes_its_file_tag_by_tag_and_shows_a_rejection() {
    let clip = std::env::temp_dir().join(format!("arcly-wire-{}.flv", std::process::id()));
    make_clip(&clip);
    let file = std::fs::read(&clip).unwrap();

    let (events, errors) = publish(&clip, |conn, stream_id| conn.accept_publish(stream_id));
    let (rejected, reason) = publish(&clip, |conn, stream_id| {
        conn.reject_publish(stream_id, PublishRejection::Unauthorized, "wrong token");
    });
    std::fs::remove_file(&clip).unwrap();

    assert_eq!(errors, "");
    let Some(Event::PublishRequested(request)) = events.get(1) else { panic!("{:?}", events.get(1)) };
    assert_eq!(
        (request.app.as_str(), request.stream.as_str(), request.query.as_str()),
        ("live/inst", "cam", "token=x")
    );
    let received: Vec<_> = events.iter().filter_map(av_tag).collect();
    let sent: Vec<_> = tags(&file).into_iter().filter(|(type_id, ..)| *type_id != 18).collect();
    assert!(sent.len() > 130, "{}", sent.len());
    assert_eq!(received.len(), sent.len());
    for kind in [8, 9] {
        let of = |tags: &[(u8, u32, Vec<u8>)]| tags.iter().filter(|tag| tag.0 == kind).cloned().collect::<Vec<_>>();
        assert!(of(&received) == of(&sent), "tags of type {kind} differ");
    }
    assert_eq!(events.last(), Some(&Event::PublishEnded { stream_id: 1 }));

    assert!(reason.contains("wrong token"), "{reason:?}");
    assert!(!rejected.iter().any(|event| matches!(event, Event::Media(_))));
}

fn av_tag(event: &Event) -> Option<(u8, u32, Vec<u8>)> {
    let Event::Media(media) = event else { return None };
    let type_id = match media.kind {
        MediaKind::Audio => 8,
        MediaKind::Video => 9,
        MediaKind::Script => return None,
    };
    Some((type_id, media.timestamp_ms, media.body.to_vec()))
}
