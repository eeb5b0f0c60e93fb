//! Names of streams, from a peer's URL; what is accepted must be fit for a path, a URL, a page and a log line.

use arcly_bus::StreamKey;

use super::Target;
use crate::{mutate::Input, random::Random};

pub const TARGET: Target = Target { name: "names", vectors, edit: Some(edit), buffered_bytes_max: 0, run };

/// What `StreamKey::new` promises to keep out, and letters that have cost others dearly.
const SPECIAL: [char; 24] = [
    '\\', '/', '?', '#', '%', '"', '<', '>', ':', '*', '.', '~', '\0', '\n', '\r', '\u{7f}', '\u{85}', '\u{a0}',
    '\u{2028}', '\u{3000}', '\u{feff}', '\u{202e}', 'é', '猫',
];

/// The first byte is the length of the application's name.
fn vectors() -> Vec<Vec<u8>> {
    let vector = |app: &str, stream: &str| [&[app.len() as u8], app.as_bytes(), stream.as_bytes()].concat();
    vec![
        vector("live", "cam"),
        vector("live/eu/studio", "a~720p_1.b-c"),
        vector("a/b/c/d/e/f/g/h", "Ü猫"),
        vector(&"x".repeat(255), &"y".repeat(255)),
        vector("..", "."),
    ]
}

fn edit(random: &mut Random, bytes: &mut Vec<u8>) {
    let special = random.pick(&SPECIAL).copied().unwrap_or_default();
    let at = random.below(bytes.len());
    let end = at.saturating_add(random.below(3)).min(bytes.len());
    bytes.splice(at..end, special.encode_utf8(&mut [0; 4]).bytes());
}

fn run(input: &Input) -> usize {
    let (app_bytes, names) = input.bytes.split_first().unwrap_or((&0, &[]));
    let (app, stream) = names.split_at_checked(usize::from(*app_bytes)).unwrap_or((names, &[]));
    let (app, stream) = (String::from_utf8_lossy(app), String::from_utf8_lossy(stream));
    let good = app.split('/').count() <= 8 && app.split('/').all(is_good) && is_good(&stream);
    let key = StreamKey::new(&app, &stream);
    // There are more invisible characters than this target lists: a refusal of a good-looking name is no fault by itself.
    assert!(good || key.is_err(), "{app:?} {stream:?}: {key:?}");
    assert!(key.is_ok() || !good || !(app.is_ascii() && stream.is_ascii()), "{app:?} {stream:?}: {key:?}");
    if let Ok(key) = key {
        assert_eq!((key.app(), key.stream()), (&*app, &*stream));
        let text = key.to_string();
        let again = text.rsplit_once('/').map(|(app, stream)| StreamKey::new(app, stream));
        assert_eq!(again, Some(Ok(key)), "{text:?} is read as another key");
    }
    0
}

/// What the documentation of `StreamKey::new` says.
fn is_good(name: &str) -> bool {
    // The best known of general category Cf.
    let is_format = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}');
    let is_bad = |c: char| is_format(c) || c.is_control() || c.is_whitespace() || "\\/?#%\"<>:*".contains(c);
    (1..=255).contains(&name.len()) && name != "." && name != ".." && !name.chars().any(is_bad)
}
