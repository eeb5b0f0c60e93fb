use std::time::Duration;

use super::{
    credentials::Challenge,
    digest::{Algorithm, Place, response},
    guard::NONCE_TIME,
    *,
};
use crate::base64;

const URI: &str = "rtsp://h/live/cam";

fn users() -> Option<Users> {
    Some([("me".to_owned(), "pass\"word".to_owned())].into_iter().collect())
}

/// RFC 2617 §3.5.
#[test]
fn the_example_of_the_standard() {
    let place = Place {
        realm: "testrealm@host.com",
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        method: "GET",
        uri: "/dir/index.html",
    };
    let quality = ("auth", "00000001", "0a4f113b");
    let answer = response(Algorithm::Md5, "Mufasa", "Circle Of Life", &place, quality);
    assert_eq!(answer, "6629fae49393a05397450978507c4ef1");
}

/// RFC 7616 §3.9.1.
#[test]
fn the_example_of_the_newer_standard() {
    let place = Place {
        realm: "http-auth@example.org",
        nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        method: "GET",
        uri: "/dir/index.html",
    };
    let quality = ("auth", "00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
    let answer = response(Algorithm::Sha256, "Mufasa", "Circle of Life", &place, quality);
    assert_eq!(answer, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
}

#[test]
fn each_way_of_a_challenge_is_met() {
    let mut guard = Guard::new(users(), "arcly", Duration::ZERO);
    let challenges = guard.challenge(Verdict::Nothing, Duration::ZERO);
    for challenge in &challenges {
        let mut credentials = Credentials::new("me", "pass\"word");
        assert!(credentials.take_challenges([challenge.as_str()].into_iter()));
        let header = credentials.authorization("DESCRIBE", URI).unwrap();
        assert_eq!(guard.check(&header, "DESCRIBE", URI, Duration::ZERO), Verdict::Known, "{header}");
        assert_eq!(guard.as_basic(&header), format!("Basic {}", base64::encode(b"me:pass\"word")));
        assert!(!credentials.take_challenges([challenge.as_str()].into_iter()), "the same again: it is wrong");
        let mut wrong = Credentials::new("me", "password");
        wrong.take_challenges([challenge.as_str()].into_iter());
        let header = wrong.authorization("DESCRIBE", URI).unwrap();
        assert_eq!(guard.check(&header, "DESCRIBE", URI, Duration::ZERO), Verdict::Wrong, "{header}");
        let mut nobody = Credentials::new("nobody", "pass\"word");
        nobody.take_challenges([challenge.as_str()].into_iter());
        let header = nobody.authorization("DESCRIBE", URI).unwrap();
        assert_eq!(guard.check(&header, "DESCRIBE", URI, Duration::ZERO), Verdict::Wrong, "{header}");
    }
    let mut best = Credentials::new("me", "x");
    best.take_challenges(challenges.iter().map(String::as_str));
    assert!(matches!(best.challenge, Some(Challenge::Digest { algorithm: Algorithm::Sha256, .. })));
}

#[test]
fn a_nonce_grows_old_and_is_replaced() {
    let mut guard = Guard::new(users(), "arcly", Duration::ZERO);
    let mut credentials = Credentials::new("me", "pass\"word");
    let challenges = guard.challenge(Verdict::Nothing, Duration::ZERO);
    credentials.take_challenges(challenges.iter().map(String::as_str));
    let header = credentials.authorization("PLAY", URI).unwrap();
    let later = NONCE_TIME + Duration::from_secs(1);
    assert_eq!(guard.check(&header, "PLAY", URI, later), Verdict::Stale);
    assert_eq!(guard.check(&header, "PAUSE", URI, later), Verdict::Wrong, "what is wrong is not called old");
    let challenges = guard.challenge(Verdict::Stale, later);
    assert!(credentials.take_challenges(challenges.iter().map(String::as_str)), "the user is not asked again");
    let header = credentials.authorization("PLAY", URI).unwrap();
    assert_eq!(guard.check(&header, "PLAY", URI, later), Verdict::Known);
}

#[test]
fn what_a_client_makes_up_is_refused() {
    let guard = Guard::new(users(), "arcly", Duration::ZERO);
    for header in ["Basic", "Basic ????", "Digest", "Digest username=\"me\"", "Bearer x", "Digest a=\"", "Digest ,=,=,"]
    {
        assert_eq!(guard.check(header, "PLAY", URI, Duration::ZERO), Verdict::Wrong, "{header}");
    }
    assert_eq!(guard.check("", "PLAY", URI, Duration::ZERO), Verdict::Nothing);
}

/// What cameras send: without an algorithm, with qop, with opaque, with a comma in the realm.
#[test]
fn challenges_of_cameras_are_read() {
    for header in [
        "Digest realm=\"IP Camera(E1234)\", nonce=\"8d2a\", stale=\"FALSE\"",
        "Digest realm=\"Login to 1A2B, 3\",qop=\"auth,auth-int\",nonce=\"17\",opaque=\"5c\"",
        "digest realm=AXIS, nonce=\"00ff\" , algorithm=\"MD5\"",
    ] {
        let mut credentials = Credentials::new("me", "x");
        assert!(credentials.take_challenges([header].into_iter()), "{header}");
        let answer = credentials.authorization("DESCRIBE", URI).unwrap();
        assert!(answer.contains("realm=\""), "{answer}");
    }
    assert!(!Credentials::new("me", "x").take_challenges(["Digest qop=\"auth-int\"", "NTLM"].into_iter()));
    assert!(!Credentials::new("", "").take_challenges(["Basic realm=\"x\""].into_iter()), "nobody is nobody");
}
