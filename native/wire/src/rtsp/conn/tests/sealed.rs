//! Encrypted tracks.

use super::*;
use crate::{
    rtsp::keys,
    srtp::{Key, Suite},
};

fn sealed_medias() -> Vec<Media> {
    let key = Key::random(Suite::default()).unwrap();
    let seal = |mut media: Media| {
        keys::describe(&mut media, &key, 0);
        media
    };
    medias().into_iter().map(seal).collect()
}

fn sealing(may_play_bare: bool) -> Talk {
    let udp = Some((8000, 8001));
    let mut talk = Talk::with(ServerConfig { udp, must_seal_udp: true, may_play_bare, ..ServerConfig::default() });
    talk.conn.offer_group(Some(Group { address: [224, 1, 0, 1].into(), port: 8002, ttl: 16 }));
    talk.send("DESCRIBE rtsp://h/live/cam", "", "");
    talk.conn.poll_event().unwrap();
    talk.conn.accept_play(sealed_medias());
    talk.heard();
    talk
}

#[test]
fn encrypted_tracks_go_sealed_whatever_is_asked_for_and_never_to_a_group() {
    for wish in ["RTP/SAVP", "RTP/AVP"] {
        let mut talk = sealing(false);
        let setup = "SETUP rtsp://h/live/cam/trackID=0";
        assert_eq!(talk.status(setup, &format!("Transport: {wish};multicast\r\n")), 461, "a group would share one key");
        talk.session(setup, &format!("Transport: {wish};unicast;client_port=5000-5001\r\n"));
        assert!(talk.conn.setups()[0].transport.secure, "{wish}");
    }
}

#[test]
fn a_player_that_may_choose_gets_what_is_not_sealed_over_the_connection_alone() {
    let [first, second] = [0, 1].map(|at| format!("SETUP rtsp://h/live/cam/trackID={at}"));
    let mut bare = sealing(true);
    assert_eq!(bare.status(&first, UDP), 461, "it would be in the clear");
    assert_eq!(bare.status(&first, "Transport: RTP/AVP;multicast\r\n"), 461);
    bare.session(&first, TCP);
    assert!(!bare.conn.setups()[0].transport.secure);
    assert_eq!(bare.status(&second, "Transport: RTP/SAVP/TCP;unicast;interleaved=2-3\r\n"), 461, "half and half");
    let mut sealed = sealing(true);
    let session = sealed.session(&first, "Transport: RTP/SAVP;unicast;client_port=5000-5001\r\n");
    assert!(sealed.conn.setups()[0].transport.secure);
    let wish = format!("Session: {session}\r\nTransport: RTP/AVP;unicast;client_port=5002-5003\r\n");
    assert_eq!(sealed.status(&second, &wish), 461);
}

#[test]
fn a_player_tells_the_key_of_what_it_says_where_it_sets_a_track_up() {
    let told = Key::random(Suite::Aes256Tag80).unwrap();
    let message = keys::header("rtsp://h/live/cam/trackID=0", &keys::write(&told, 0));
    let wish = format!("Transport: RTP/SAVP;unicast;client_port=5000-5001\r\nKeyMgmt: {message}\r\n");
    let mut talk = sealing(false);
    talk.session("SETUP rtsp://h/live/cam/trackID=0", &wish);
    assert_eq!(talk.conn.told_key(0).map(|it| &it.key), Some(&told));
    assert_eq!(talk.conn.told_key(1), None);
}
