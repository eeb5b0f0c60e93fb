//! What is read before there is a session: offers, fragments, datagrams, frames of TCP.

use super::{
    super::{demux::*, framing::*},
    *,
};

#[test]
fn what_cannot_be_played_is_said_in_words() {
    let now = Instant::now();
    let (_, offer) = Client::new(Direction::RecvOnly, now);
    let only_vp8 = offer.replace("H264/90000", "X264/90000");
    let offer = Offer::parse(&only_vp8, &Limits::default()).unwrap();
    let played = [PlayedCodec { codec: Codec::H264, profile: 100 }];
    let error = Session::play(&settings(), offer, &played, PlayOptions::default(), now).unwrap_err();
    assert!(matches!(error, WebRtcError::Unsupported { .. }), "{error}");
    assert!(error.to_string().starts_with("the stream has H264, and the offer receives only"), "{error}");
}

/// As webrtcbin bundles: all sections but the first are without a port of their own (RFC 9143 §6).
#[test]
fn a_section_without_a_port_of_its_own_is_asked_for() {
    let (_, offer) = Client::new(Direction::RecvOnly, Instant::now());
    let asks_for = |offer: &str| {
        let offer = Offer::parse(offer, &Limits::default()).unwrap();
        [arcly_codec::MediaKind::Video, arcly_codec::MediaKind::Audio].map(|kind| offer.asks_for(kind))
    };
    assert_eq!(asks_for(&offer), [true, true]);
    for (kind, without) in [("video", [false, true]), ("audio", [true, false])] {
        let refused = offer.replace(&format!("m={kind} 9 "), &format!("m={kind} 0 "));
        assert_eq!(asks_for(&refused), without);
        let at = refused.find(&format!("m={kind} 0 ")).unwrap();
        let (front, section) = refused.split_at(at);
        let bundled = format!("{front}{}", section.replacen("\r\n", "\r\na=bundle-only\r\n", 1));
        assert_eq!(asks_for(&bundled), [true, true]);
    }
}

/// RFC 6184 §5.6: single NAL units alone. A bug it had: such a viewer was sent fragments all the same.
#[test]
fn who_takes_h264_in_single_units_alone_is_told_that_it_cannot_be() {
    let now = Instant::now();
    let (_, offer) = Client::new(Direction::RecvOnly, now);
    let play = |offer: &str, played: &[PlayedCodec]| {
        let offer = Offer::parse(offer, &Limits::default()).unwrap();
        Session::play(&settings(), offer, played, PlayOptions::default(), now).map(|(_, answer)| answer)
    };
    let pictures = PlayedCodec { codec: Codec::H264, profile: 66 };
    let sound = PlayedCodec { codec: Codec::Opus, profile: 0 };
    let mode_0 = offer.replace("packetization-mode=1", "packetization-mode=0");
    assert!(mode_0 != offer, "the client offers both modes");
    let refused = play(&mode_0, &[pictures]).unwrap_err().to_string();
    assert!(refused.contains("packetization-mode=0 only"), "{refused}");
    let answer = play(&mode_0, &[pictures, sound]).unwrap();
    assert!(answer.notes.iter().any(|note| note.contains("packetization-mode=0 only")), "{:?}", answer.notes);
    assert!(answer.sdp.contains("m=video 0 ") && !answer.sdp.contains("m=audio 0 "), "{}", answer.sdp);
    // With the other mode beside it, or without a word of it, pictures come.
    assert_eq!(play(&offer, &[pictures]).unwrap().notes, Vec::<String>::new());
    let silent = mode_0.replace("packetization-mode=0;", "");
    assert_eq!(play(&silent, &[pictures]).unwrap().notes, Vec::<String>::new());
}

#[test]
fn an_offer_to_receive_is_none_to_publish() {
    let now = Instant::now();
    let (_, offer) = Client::new(Direction::RecvOnly, now);
    let error = Session::publish(&settings(), Offer::parse(&offer, &Limits::default()).unwrap(), now).unwrap_err();
    assert!(error.to_string().contains("sent by the peer (a=sendonly)"), "{error}");
}

#[test]
fn what_is_no_offer_is_refused_with_its_line() {
    let limits = Limits::default();
    let refused = |text: &str| Offer::parse(text, &limits).unwrap_err().to_string();
    assert_eq!(refused(""), "the body is no SDP: it does not begin with v=0");
    assert_eq!(refused("v=0\r\nhello"), "not a line of SDP (line 2)");
    assert_eq!(refused("v=0\r\ns=-"), "the offer has no media section");
    assert_eq!(refused("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96"), "the offer has no a=ice-ufrag");
    let lite = "v=0\na=ice-lite\nm=video 9 X 96\na=ice-ufrag:abcd\na=ice-pwd:x\na=fingerprint:sha-256 x";
    assert!(refused(lite).contains("a=ice-lite"));
    assert_eq!(refused(&format!("v=0\n{}", "m=video 9 X 96\n".repeat(9))), "more than 8 media sections");
    assert_eq!(refused(&"v=0\r\n".repeat(3000)), "more than 2048 offer lines");
    assert_eq!(refused(&"v".repeat(70_000)), "more than 65536 offer bytes");
}

#[test]
fn every_prefix_and_every_mutation_of_an_offer_ends_well() {
    let now = Instant::now();
    let settings = settings();
    let (_, offer) = Client::new(Direction::SendOnly, now);
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..300 {
        let mut bytes = offer.clone().into_bytes();
        for _ in 0..=round % 8 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            match random >> 32 & 3 {
                0 => bytes[at] = (random >> 40) as u8 & 0x7f,
                1 => drop(bytes.drain(at..(at + 7).min(bytes.len()))),
                2 => bytes.truncate(at.max(200)),
                _ => bytes.splice(at..at, *b"a=rtpmap:0 ").for_each(drop),
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if let Ok(offer) = Offer::parse(&text, &Limits::default())
            && let Err(error) = Session::publish(&settings, offer, now)
        {
            assert!(!matches!(error, WebRtcError::Bug(_)), "{text}");
        }
    }
}

#[test]
fn datagrams_are_told_apart_and_requests_say_whose_they_are() {
    // RFC 5769 §2.1: a request with SOFTWARE, PRIORITY, ICE-CONTROLLED and USERNAME evtj:h6vY.
    let request = hex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1\
         51263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf",
    );
    let ours = |bytes: &[u8]| match classify(bytes) {
        Some(Datagram::Stun(message)) => message.ours().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    assert_eq!(ours(&request).as_deref(), Some("evtj"));
    for length in 0..request.len() {
        assert_eq!(classify(&request[..length]), None, "{length} bytes");
    }
    assert_eq!(classify(&[22; 13]), Some(Datagram::Dtls));
    assert_eq!(classify(&[0x80; 12]), Some(Datagram::Media));
    assert_eq!(classify(&[64; 20]), None, "TURN channels are not ours");
    // Past faults elsewhere: a STUN message that is shorter than its header, attributes that end behind it.
    assert_eq!(classify(&[0, 1, 0, 0]), None);
    let mut cut = request.clone();
    cut[3] = 0x10;
    cut.truncate(36);
    cut[22..24].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(ours(&cut), None);
}

#[test]
fn frames_of_tcp_come_whole_however_they_are_split() {
    let datagrams: Vec<Vec<u8>> = vec![vec![1; 20], Vec::new(), vec![2; 1300], vec![3]];
    let mut stream = Vec::new();
    datagrams.iter().for_each(|datagram| frame(datagram, &mut stream));
    for split in 0..stream.len() {
        let mut frames = Frames::new(2000);
        let mut came = Vec::new();
        for part in [&stream[..split], &stream[split..]] {
            frames.push(part);
            while let Some(datagram) = frames.poll().unwrap() {
                came.push(datagram.to_vec());
            }
        }
        assert_eq!(came, datagrams, "split at {split}");
    }
    let mut frames = Frames::new(2000);
    frames.push(&[0xff, 0xff]);
    assert!(matches!(frames.poll(), Err(WebRtcError::LimitExceeded { max: 2000, .. })));
}

/// A bug it had: who named more was refused.
#[test]
fn candidates_are_bounded_over_all_fragments_and_the_rest_is_passed_over() {
    let mut pair = Pair::publishing(1);
    let lines = |count| -> String {
        (0..count).map(|port| format!("a=candidate:1 1 udp 1 198.51.100.7 {} typ host\r\n", 1000 + port)).collect()
    };
    let fragment = Fragment::parse(&lines(40), &Limits::default()).unwrap();
    assert_eq!(fragment.candidate_count(), 32);
    for _ in 0..2 {
        assert_eq!(pair.session.trickle(&fragment), Ok(None));
    }
    let now = Instant::now();
    let offer = Client::new(Direction::SendOnly, now).1 + &lines(40);
    let offer = Offer::parse(&offer, &Limits::default()).unwrap();
    assert_eq!(offer.values("a=candidate:").count(), 32);
    assert!(Session::publish(&settings(), offer, now).is_ok());
}

/// A bug it had: browsers published in mono, for nobody had told them otherwise.
#[test]
fn opus_is_answered_in_stereo() {
    let now = Instant::now();
    let opus = [PlayedCodec { codec: Codec::Opus, profile: 0 }];
    let offer = |way| Offer::parse(&Client::new(way, now).1, &Limits::default()).unwrap();
    let published = Session::publish(&settings(), offer(Direction::SendOnly), now).unwrap().1;
    let played = Session::play(&settings(), offer(Direction::RecvOnly), &opus, PlayOptions::default(), now).unwrap().1;
    for sdp in [published.sdp, played.sdp] {
        let opus = sdp.lines().find_map(|line| line.strip_suffix(" opus/48000/2")?.strip_prefix("a=rtpmap:")).unwrap();
        let told = sdp.lines().find_map(|line| line.strip_prefix(&format!("a=fmtp:{opus} "))).unwrap();
        assert!(["stereo=1", "sprop-stereo=1"].iter().all(|wish| told.split(';').any(|it| it == *wish)), "{told}");
    }
}

/// GStreamer's whepsrc offers sound in front of the pictures, and leaves the channels of Opus out.
#[test]
fn opus_without_its_channels_is_opus() {
    let (_, offer) = Client::new(Direction::RecvOnly, Instant::now());
    let bare = offer.replace("opus/48000/2", "OPUS/48000");
    assert_ne!(bare, offer);
    let offer = Offer::parse(&bare, &Limits::default()).unwrap();
    let opus = [PlayedCodec { codec: Codec::Opus, profile: 0 }];
    let (session, answer) = Session::play(&settings(), offer, &opus, PlayOptions::default(), Instant::now()).unwrap();
    assert!(session.plays(Lane::Audio) && answer.notes.is_empty());
    assert!(answer.sdp.contains("opus/48000/2\r\n"), "{}", answer.sdp);
}

/// A bug it had: the candidates stood in a section that was refused, and a peer whose bundle was another one found no way.
#[test]
fn candidates_stand_in_a_section_that_is_taken_also_behind_a_restart() {
    let (_, offer) = Client::new(Direction::RecvOnly, Instant::now());
    let offer = Offer::parse(&offer, &Limits::default()).unwrap();
    // The first section is of pictures, and there are none.
    let opus = [PlayedCodec { codec: Codec::Opus, profile: 0 }];
    let (mut session, answer) =
        Session::play(&settings(), offer, &opus, PlayOptions::default(), Instant::now()).unwrap();
    let sections: Vec<_> = answer.sdp.split("m=").skip(1).collect();
    assert!(sections[0].starts_with("video 0 ") && sections[1].starts_with("audio 9 "), "{}", answer.sdp);
    assert_eq!(sections.iter().map(|it| it.matches("a=candidate:").count()).collect::<Vec<_>>(), [0, 2]);
    let fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
    let restarted = session.trickle(&Fragment::parse(fragment, &Limits::default()).unwrap()).unwrap().unwrap();
    assert!(restarted.sdp.contains("m=audio 9 ") && !restarted.sdp.contains("m=video"), "{}", restarted.sdp);
    assert_eq!(restarted.sdp.matches("a=candidate:").count(), 2, "{}", restarted.sdp);
    assert_eq!(restarted.sdp.matches("a=ice-pwd:").count(), 1, "{}", restarted.sdp);
}

/// RFC 6184 §8.1: without the parameter the mode is 0, and the answer names no other; both ways.
#[test]
fn h264_without_a_packetization_mode_is_taken() {
    for direction in [Direction::RecvOnly, Direction::SendOnly] {
        let (_, offer) = Client::new(direction, Instant::now());
        let bare: String = offer
            .lines()
            .map(|line| match line.split_once("packetization-mode=") {
                // What GStreamer offers: the name, and no parameters.
                Some(_) => String::new(),
                None => format!("{line}\r\n"),
            })
            .collect();
        assert!(bare.contains("H264/90000"));
        let offer = Offer::parse(&bare, &Limits::default()).unwrap();
        let (settings, now) = (settings(), Instant::now());
        let answer = if direction == Direction::RecvOnly {
            let h264 = [PlayedCodec { codec: Codec::H264, profile: 77 }];
            let (session, answer) = Session::play(&settings, offer, &h264, PlayOptions::default(), now).unwrap();
            assert!(session.plays(Lane::Video));
            answer
        } else {
            Session::publish(&settings, offer, now).unwrap().1
        };
        assert!(answer.sdp.contains("H264/90000"), "{}", answer.sdp);
        assert!(!answer.sdp.contains("packetization-mode=1"), "{}", answer.sdp);
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
