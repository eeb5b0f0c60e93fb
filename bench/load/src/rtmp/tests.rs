//! A session with a server that is written down here.

use super::amf::{self, Value};
use super::chunk::{self, Header, Reader};
use super::{Purpose, Session};
use crate::fault::Fault;
use crate::inspect::{Inspector, Media, Tally};

fn message(type_id: u8, body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    chunk::write(&mut wire, 3, Header { type_id, bytes: body.len(), ..Header::default() }, body, 128);
    wire
}

fn command(values: &[Value]) -> Vec<u8> {
    message(chunk::COMMAND, &amf::encode(values))
}

fn status(level: &str, code: &str) -> Vec<u8> {
    let info = vec![("level".to_owned(), Value::text(level)), ("code".to_owned(), Value::text(code))];
    command(&[Value::text("onStatus"), Value::Number(0.0), Value::Null, Value::Object(info)])
}

fn agreeing_server() -> Vec<u8> {
    let mut wire = vec![3];
    wire.extend([7; 2 * 1536]);
    wire.extend(message(chunk::WINDOW_ACKNOWLEDGEMENT_SIZE, &4000_u32.to_be_bytes()));
    wire.extend(command(&[Value::text("_result"), Value::Number(1.0), Value::Object(vec![]), Value::Null]));
    wire.extend(message(chunk::SET_CHUNK_SIZE, &4096_u32.to_be_bytes()));
    wire.extend(command(&[Value::text("_result"), Value::Number(2.0), Value::Null, Value::Number(9.0)]));
    wire.extend(message(chunk::USER_CONTROL, &[0, 6, 1, 2, 3, 4]));
    wire.extend(status("status", "NetStream.Play.Start"));
    wire
}

/// What the session says when the server's bytes come in pieces of `size`.
fn said(session: &mut Session, server: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    let (mut inspector, mut tally) = (Inspector::default(), Tally::default());
    for piece in server.chunks(size) {
        session.receive(piece, &mut Media { inspector: &mut inspector, tally: &mut tally, now_ns: 0 })?;
    }
    Ok(std::mem::take(&mut session.output))
}

/// The messages behind a handshake.
fn messages(wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut inspector, mut tally, mut reader) = (Inspector::default(), Tally::default(), Reader::default());
    let (mut rest, mut messages) = (&wire[1 + 2 * 1536..], Vec::new());
    let mut media = Media { inspector: &mut inspector, tally: &mut tally, now_ns: 0 };
    while let (Some(message), left) = reader.read(rest, &mut media).unwrap() {
        messages.push((message.type_id, message.body));
        rest = left;
    }
    messages
}

#[test]
fn a_player_gets_to_play_wherever_reads_end() {
    for size in [1, 2, 3, 7, 100, 100_000] {
        let mut session = Session::new(Purpose::Play, "live/inner/cam");
        let output = said(&mut session, &agreeing_server(), size).unwrap();
        assert!(session.is_going() && session.stream_id == 9);
        assert_eq!(output[1537..3073], [7; 1536], "C2 is S1");
        let messages = messages(&output);
        let commands: Vec<_> = messages
            .iter()
            .filter(|(type_id, _)| *type_id == chunk::COMMAND)
            .map(|(_, body)| amf::decode(body).unwrap())
            .collect();
        assert_eq!(
            commands.iter().map(|values| values[0].clone()).collect::<Vec<_>>(),
            ["connect", "createStream", "play"].map(Value::text)
        );
        assert_eq!((commands[0][2].property("app"), &commands[2][3]), (Some("live/inner"), &Value::text("cam")));
        assert!(messages.contains(&(chunk::USER_CONTROL, vec![0, 7, 1, 2, 3, 4])), "a ping is answered");
    }
}

#[test]
fn what_was_received_is_acknowledged() {
    let mut session = Session::new(Purpose::Play, "live/cam");
    said(&mut session, &agreeing_server(), 100).unwrap();
    let mut data = Vec::new();
    chunk::write(&mut data, 4, Header { type_id: chunk::DATA, bytes: 2000, ..Header::default() }, &[5; 2000], 4096);
    let output = said(&mut session, &data, 64).unwrap();
    assert_eq!(output.len(), 12 + 4);
    assert_eq!(output[7], chunk::ACKNOWLEDGEMENT);
    assert!(u32::from_be_bytes(output[12..].try_into().unwrap()) >= 4000);
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_server() {
    for code in ["NetStream.Play.StreamNotFound", "NetStream.Publish.BadName"] {
        let mut session = Session::new(Purpose::Publish, "live/cam");
        said(&mut session, &agreeing_server(), 1000).unwrap();
        assert_eq!(said(&mut session, &status("error", code), 10), Err(Fault::Refused(code.into())));
    }
}
