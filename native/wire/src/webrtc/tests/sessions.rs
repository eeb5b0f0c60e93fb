//! What flows between a peer and its session.

use super::{super::session::CHANNEL_BYTES_MAX, *};

/// The numbers that a client has written and that came, each once.
pub(super) fn numbers(pair: &Pair) -> Vec<u64> {
    let number = |packet: &&ArrivedPacket| u64::from_be_bytes(packet.payload[..8].try_into().unwrap());
    let mut numbers: Vec<_> = pair.packets().iter().map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[test]
fn what_a_publisher_sends_comes_with_its_codec_and_its_times() {
    let mut pair = Pair::publishing(1);
    assert!(pair.connect());
    for number in 0..100 {
        pair.client.write(number, pair.now);
        pair.run(10);
    }
    pair.run(50);
    assert_eq!(numbers(&pair), (0..100).collect::<Vec<_>>());
    let last = *pair.packets().last().unwrap();
    assert_eq!((last.codec, last.clock_rate_hz, last.timestamp, last.marker), (Codec::Vp8, 90_000, 99 * 3000, true));
    assert!(last.track.rid().is_none());
}

#[test]
fn a_publisher_is_asked_for_a_key_frame() {
    let mut pair = Pair::publishing(1);
    assert!(pair.connect());
    pair.client.write(0, pair.now);
    pair.run(50);
    let track = pair.packets()[0].track;
    pair.session.request_key_frame(track).unwrap();
    pair.run(50);
    assert_eq!(pair.client.key_frame_requests, 1);
}

#[test]
fn a_viewer_gets_every_packet_under_one_clock() {
    let mut pair = Pair::playing(&[Codec::H264, Codec::Opus], 3);
    assert!(pair.session.plays(Lane::Video) && pair.session.plays(Lane::Audio));
    assert!(pair.connect());
    let payload: Arc<[u8]> = vec![7; 900].into();
    for number in 0..200u32 {
        for lane in [Lane::Video, Lane::Audio] {
            let packet =
                OutgoingPacket { timestamp: number * 960, marker: true, payload: payload.clone(), wall: pair.now };
            pair.send(lane, packet).unwrap();
        }
        pair.run(20);
    }
    assert_eq!(pair.client.arrived.len(), 400);
    // Its own beginning is added to the times, and the same for all.
    let video: Vec<_> = pair.client.arrived.iter().filter(|packet| packet.header.marker).collect();
    let ticks = |a: usize, b: usize| video[b].header.timestamp.wrapping_sub(video[a].header.timestamp);
    assert_eq!(ticks(0, 2) % 960, 0);
    // A report comes when its time has come, which chance sets, and is told with the packets behind it.
    let has_report = pair.client.arrived.iter().any(|packet| packet.last_sender_info.is_some());
    assert!(has_report, "no sender report came");
}

#[test]
fn a_viewer_that_lost_something_asks_again_and_gets_it() {
    for seed in 1..=40 {
        let mut pair = Pair::playing(&[Codec::Vp8], seed * 7919);
        assert!(pair.connect(), "seed {seed}");
        pair.lose(seed % 15);
        let payload: Arc<[u8]> = vec![7; 900].into();
        for number in 0..300u32 {
            let packet =
                OutgoingPacket { timestamp: number * 900, marker: true, payload: payload.clone(), wall: pair.now };
            pair.send(Lane::Video, packet).unwrap();
            pair.run(5);
        }
        pair.lose(0);
        pair.run(600);
        let mut arrived: Vec<_> = pair.client.arrived.iter().map(|packet| *packet.seq_no).collect();
        arrived.sort_unstable();
        arrived.dedup();
        assert!(arrived.len() >= 290, "seed {seed}: {} of 300 came", arrived.len());
    }
}

#[test]
fn a_publisher_that_loses_packets_is_asked_for_them() {
    for seed in 1..=20 {
        let mut pair = Pair::publishing(seed * 104_729);
        assert!(pair.connect(), "seed {seed}");
        pair.lose(seed % 10);
        for number in 0..300 {
            pair.client.write(number, pair.now);
            pair.run(5);
        }
        pair.lose(0);
        pair.run(600);
        assert!(numbers(&pair).len() >= 290, "seed {seed}: {} of 300 came", numbers(&pair).len());
    }
}

#[test]
fn a_link_that_loses_a_tenth_still_connects() {
    for seed in 1..=20 {
        let mut pair = Pair::publishing(seed * 15_485_863);
        pair.lose(10);
        assert!(pair.connect(), "seed {seed}");
    }
}

#[test]
fn goodbye_is_heard() {
    let mut pair = Pair::playing(&[Codec::Opus], 5);
    assert!(pair.connect());
    pair.session.close();
    pair.poll_session();
    (0..50).for_each(|_| {
        pair.now += Duration::from_millis(1);
        while let Some(bytes) = pair.down.poll(pair.now) {
            let receive = Receive::new(Protocol::Udp, addr(SERVER), addr(CLIENT), &bytes).unwrap();
            pair.client.rtc.handle_input(Input::Receive(pair.now, receive)).unwrap();
            while !matches!(pair.client.rtc.poll_output().unwrap(), RtcOutput::Timeout(_)) {}
        }
    });
    assert!(pair.session.is_over());
    assert!(!pair.client.rtc.is_alive());
}

#[test]
fn the_goodbye_of_a_viewer_is_heard() {
    for seed in 1..=4 {
        let mut pair = Pair::playing(&[Codec::Opus], seed);
        assert!(pair.connect());
        pair.run(3000);
        pair.client.rtc.close().unwrap();
        pair.run(100);
        assert!(pair.events.iter().any(|event| matches!(event, Event::Closed)), "seed {seed}");
    }
}

/// Its checks are answered long after the handshake, and packets follow them to where they come from.
#[test]
fn a_viewer_restarts_ice_and_packets_go_on() {
    let mut pair = Pair::playing(&[Codec::Vp8], 15);
    let answer = pair.answer.clone();
    assert!(pair.connect());
    pair.run(2000);
    let mut change = pair.client.rtc.sdp_api();
    change.ice_restart(true);
    let (offer, pending) = change.apply().unwrap();
    let fragment = Fragment::parse(&offer.to_sdp_string(), &Limits::default()).unwrap();
    let restarted = pair.session.trickle(&fragment).unwrap().expect("a restart is answered");
    assert_eq!(pair.session.trickle(&fragment).unwrap(), None, "the same again is no restart");
    // The client has the whole answer, with the new lines in it.
    let line = |text: &str, prefix: &str| text.lines().find(|line| line.starts_with(prefix)).unwrap().to_owned();
    let renewed = ["a=ice-ufrag:", "a=ice-pwd:"].into_iter().fold(answer, |answer, prefix| {
        let (old, new) = (line(&answer, prefix), line(&restarted.sdp, prefix));
        assert_ne!(old, new);
        answer.replace(&old, &new)
    });
    assert!(restarted.sdp.contains(&format!("a=ice-ufrag:{}\r\n", restarted.user_name)), "{}", restarted.sdp);
    assert!(restarted.sdp.contains("a=candidate:"), "{}", restarted.sdp);
    pair.client.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&renewed).unwrap()).unwrap();
    pair.run(5_000);
    let before = pair.client.arrived.len();
    for number in 0..20 {
        let packet =
            OutgoingPacket { timestamp: number * 900, marker: true, payload: vec![1; 900].into(), wall: pair.now };
        pair.send(Lane::Video, packet).unwrap();
        pair.run(20);
    }
    assert_eq!(pair.client.arrived.len() - before, 20);
}

#[test]
fn new_credentials_restart_ice_and_media_go_on() {
    let mut pair = Pair::publishing(9);
    assert!(pair.connect());
    let before = pair
        .session
        .trickle(&Fragment::parse("a=candidate:1 1 udp 1 198.51.100.7 9 typ host", &Limits::default()).unwrap());
    assert_eq!(before.unwrap(), None);
    let offer = pair.client.rtc.sdp_api();
    let mut offer = offer;
    offer.ice_restart(true);
    let (offer, pending) = offer.apply().unwrap();
    let fragment = Fragment::parse(&offer.to_sdp_string(), &Limits::default()).unwrap();
    let answer = pair.session.trickle(&fragment).unwrap().expect("a restart is answered");
    assert!(answer.sdp.contains(&format!("a=ice-ufrag:{}", answer.user_name)), "{}", answer.sdp);
    drop(pending);
    assert_eq!(pair.session.trickle(&fragment).unwrap(), None, "the same again is no restart");
}

#[test]
fn what_a_publisher_says_on_a_data_channel_is_heard() {
    let mut pair = Pair::publishing_with_data(19);
    assert!(pair.connect());
    pair.run(2000);
    let id = pair.client.channel.expect("the channel opens");
    pair.client.rtc.channel(id).unwrap().write(true, b"{\"score\":1}").unwrap();
    pair.run(500);
    let is_heard = |event: &Event| matches!(event, Event::Message(bytes) if &bytes[..] == b"{\"score\":1}");
    assert_eq!(pair.events.iter().filter(|event| is_heard(event)).count(), 1);
}

#[test]
fn a_viewer_is_told_messages_on_the_channel_that_it_opens_text_as_text() {
    let mut pair = Pair::playing_with_data(&[Codec::Vp8], 20);
    assert!(pair.session.has_channels() && !Pair::playing(&[Codec::Vp8], 20).session.has_channels());
    let say = |pair: &mut Pair, text: &[u8]| {
        let packet = OutgoingPacket { timestamp: 0, marker: true, payload: text.into(), wall: pair.now };
        pair.send(Lane::Data, packet).unwrap();
    };
    say(&mut pair, b"too soon");
    assert!(pair.connect());
    pair.run(2000);
    say(&mut pair, "{\"goal\":\"für uns\"}".as_bytes());
    say(&mut pair, &[0xff, 0, 1]);
    pair.run(500);
    let told = [(false, "{\"goal\":\"für uns\"}".as_bytes().to_vec()), (true, vec![0xff, 0, 1])];
    assert_eq!(pair.client.messages, told);
    assert!(!pair.session.is_over());
}

/// Found by reading: a message that is larger than a peer takes ended its session, pictures and all.
#[test]
fn a_message_too_large_for_a_viewer_is_not_sent_and_harms_nothing() {
    // Where nothing is said it is 64 KiB (RFC 8841 §6.1).
    let client = |direction, now| {
        let (client, offer) = Client::build(direction, true, now);
        let lines = offer.split_inclusive('\n').filter(|line| !line.starts_with("a=max-message-size"));
        (client, lines.collect())
    };
    let mut pair = Pair::play(client, &[Codec::Vp8], PlayOptions::default(), 22);
    assert!(pair.connect());
    pair.run(2000);
    for bytes in [65_537, CHANNEL_BYTES_MAX, CHANNEL_BYTES_MAX + 1] {
        assert_eq!(pair.session.send_message(&vec![7; bytes]), Ok(false), "{bytes}");
    }
    assert_eq!(pair.session.send_message(b"small"), Ok(true));
    pair.run(500);
    assert_eq!(pair.client.messages, [(false, b"small".to_vec())]);
    assert!(!pair.session.is_over());
}

/// Who reads nothing is not written to without end.
#[test]
fn messages_for_a_viewer_that_does_not_take_them_are_bounded() {
    let mut pair = Pair::playing_with_data(&[Codec::Vp8], 21);
    assert!(pair.connect());
    pair.run(2000);
    pair.lose(100);
    let taken = (0..1000).filter(|_| pair.session.send_message(&[7; 1000]).unwrap()).count();
    assert_eq!(taken, CHANNEL_BYTES_MAX / 1000);
    assert!(!pair.session.is_over());
}
