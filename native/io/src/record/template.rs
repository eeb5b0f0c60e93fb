//! What a recording's files are called: a pattern, filled in. Names of streams are chosen by strangers; whatever they are, the path that comes
//! out is relative, has no `.` or `..` in it, and no name longer than file systems take.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
    time::Duration,
};

use arcly_bus::StreamKey;
use arcly_pack::iso_8601;

/// Bytes of one name in a path, with room for a number and an ending within the 255 that file systems take.
const NAME_MAX_BYTES: usize = 200;
/// Names of a path that a template may have, before the application is put in.
const NAMES_MAX: usize = 16;
/// Any digit, in the shape of a path.
const DIGIT: char = '#';

/// A pattern such as `{app}/{stream}/{date}_{time}`, without an ending.
///
/// | in the pattern | becomes |
/// |---|---|
/// | `{app}` | the application, a directory for each of its segments |
/// | `{stream}` | the stream's id |
/// | `{date}`, `{time}` | `2026-01-31` and `23-59-59`: when the file begins, in UTC |
/// | `{unix_ms}` | the same in milliseconds since 1970 |
/// | `{number}` | the how-manieth file of the recording it is, from `000000` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Names, each of pieces.
    names: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    App,
    Stream,
    Date,
    Time,
    UnixMs,
    Number,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// In words.
    pub what: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for TemplateError {}

impl Default for Template {
    fn default() -> Self {
        let stamp = vec![Piece::Date, Piece::Text("_".to_owned()), Piece::Time];
        Self { names: vec![vec![Piece::App], vec![Piece::Stream], stamp] }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(pattern: &str) -> Result<Self, TemplateError> {
        let names: Vec<&str> = pattern.split('/').collect();
        if names.len() > NAMES_MAX {
            return Err(wrong(format!("a path has at most {NAMES_MAX} names")));
        }
        names.into_iter().map(parse_name).collect::<Result<_, _>>().map(|names| Self { names })
    }
}

fn wrong(what: String) -> TemplateError {
    TemplateError { what }
}

fn parse_name(name: &str) -> Result<Vec<Piece>, TemplateError> {
    if matches!(name, "" | "." | "..") {
        return Err(wrong(format!("{name:?} is no name in a path: the pattern is relative, and stays below its root")));
    }
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some((text, behind)) = rest.split_once('{') {
        let (field, behind) = behind.split_once('}').ok_or_else(|| wrong(format!("{{ without }} in {name:?}")))?;
        pieces.extend(text_piece(text)?);
        pieces.push(parse_field(field)?);
        rest = behind;
    }
    pieces.extend(text_piece(rest)?);
    Ok(pieces)
}

fn text_piece(text: &str) -> Result<Option<Piece>, TemplateError> {
    let is_wrong = |c: char| c.is_control() || matches!(c, '\\' | '}' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    match text.chars().find(|c| is_wrong(*c)) {
        Some(c) => Err(wrong(format!("{c:?} may not be in the name of a file"))),
        None => Ok((!text.is_empty()).then(|| Piece::Text(text.to_owned()))),
    }
}

fn parse_field(field: &str) -> Result<Piece, TemplateError> {
    Ok(match field {
        "app" => Piece::App,
        "stream" => Piece::Stream,
        "date" => Piece::Date,
        "time" => Piece::Time,
        "unix_ms" => Piece::UnixMs,
        "number" => Piece::Number,
        _ => return Err(wrong(format!("{{{field}}} is none of app, stream, date, time, unix_ms, number"))),
    })
}

impl Template {
    /// The path of a file, relative, with `/`, without an ending. `at`: when it begins, since 1970; `number`: the how-manieth of its recording
    /// it is.
    pub fn path(&self, key: &StreamKey, at: Duration, number: u64) -> String {
        self.filled_in(|piece| piece.text(key, at, number))
    }

    /// Whether a file of that stream may have that path, without its ending: at any time, and whatever its number is. One of a name that
    /// was too long cannot be told.
    pub fn fits(&self, key: &StreamKey, path: &str) -> bool {
        let shape = self.filled_in(|piece| piece.shape(key));
        // That of a name which was taken has a number behind it.
        let counted = path.rsplit_once('-').filter(|(_, count)| count.chars().all(|c| c.is_ascii_digit()));
        [Some(path), counted.map(|(path, _)| path)].into_iter().flatten().any(|path| has_shape(path, &shape))
    }

    fn filled_in(&self, text: impl Fn(&Piece) -> String) -> String {
        let mut path: Vec<String> = Vec::new();
        for pieces in &self.names {
            let text: String = pieces.iter().map(&text).collect();
            // Only an application has `/` in it, between names that were checked.
            path.extend(text.split('/').map(safe_name));
        }
        path.join("/")
    }
}

impl Piece {
    fn text(&self, key: &StreamKey, at: Duration, number: u64) -> String {
        // `2026-01-31T23:59:59.123Z`
        let date = iso_8601(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
        let (date, time) = date.split_once('T').unwrap_or_default();
        match self {
            Self::Text(text) => text.clone(),
            Self::App => key.app().to_owned(),
            Self::Stream => key.stream().to_owned(),
            Self::Date => date.to_owned(),
            Self::Time => time.split('.').next().unwrap_or_default().replace(':', "-"),
            Self::UnixMs => at.as_millis().to_string(),
            Self::Number => format!("{number:06}"),
        }
    }

    /// Its text, with [`DIGIT`] for digits that are others in each file.
    fn shape(&self, key: &StreamKey) -> String {
        match self {
            Self::Date => "####-##-##".to_owned(),
            Self::Time => "##-##-##".to_owned(),
            Self::UnixMs => "#############".to_owned(),
            Self::Number => "######".to_owned(),
            Self::Text(_) | Self::App | Self::Stream => self.text(key, Duration::ZERO, 0),
        }
    }
}

fn has_shape(path: &str, shape: &str) -> bool {
    let is_alike = |(c, shape): (char, char)| c == shape || shape == DIGIT && c.is_ascii_digit();
    path.chars().count() == shape.chars().count() && path.chars().zip(shape.chars()).all(is_alike)
}

/// A name that means itself: no hidden file, no step up, none that is too long. Different names may become the same; no file is ever
/// written over.
fn safe_name(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    if name.starts_with('.') || name.is_empty() {
        safe.push('_');
    }
    // Names of streams have none of these (`StreamKey::new`); that this is a path does not depend on it.
    safe.extend(name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\' | ':' | '|') { '_' } else { c }));
    if safe.len() <= NAME_MAX_BYTES {
        return safe;
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let end = (0..=NAME_MAX_BYTES - 17).rev().find(|end| safe.is_char_boundary(*end)).unwrap_or(0);
    format!("{}~{:016x}", safe.get(..end).unwrap_or_default(), hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(pattern: &str, app: &str, stream: &str, seconds: u64) -> String {
        let key = StreamKey::new(app, stream).unwrap();
        pattern.parse::<Template>().unwrap().path(&key, Duration::from_secs(seconds), 7)
    }

    #[test]
    fn patterns_are_filled_in() {
        let default = "{app}/{stream}/{date}_{time}";
        assert_eq!(path(default, "live", "cam", 1_735_689_599), "live/cam/2024-12-31_23-59-59");
        assert_eq!(path("{stream}-{number}", "live/eu", "cam", 0), "cam-000007");
        assert_eq!(path("{app}/{unix_ms}", "live/eu", "cam", 5), "live/eu/5000");
        assert_eq!(Template::default(), default.parse().unwrap());
    }

    #[test]
    fn a_path_fits_whenever_its_file_began_and_no_other_stream() {
        let fits = |pattern: &str, path: &str| {
            pattern.parse::<Template>().unwrap().fits(&StreamKey::new("live/eu", "cam").unwrap(), path)
        };
        let default = "{app}/{stream}/{date}_{time}";
        for path in ["live/eu/cam/2024-12-31_23-59-59", "live/eu/cam/2024-12-31_23-59-59-12"] {
            assert!(fits(default, path), "{path}");
        }
        for path in ["live/eu/cam/highlight", "live/eu/cam/2024-12-31_23-59-59-cut", "live/eu/cam2/2024-12-31_23-59-59"]
        {
            assert!(!fits(default, path), "{path}");
        }
        assert!(fits("{stream}-{unix_ms}-{number}", "cam-1735689599000-000007"));
        assert!(!fits("{stream}-{number}", "cam2-000007"));
        assert!(fits("{stream}", "cam") && fits("{stream}", "cam-1"));
    }

    #[test]
    fn no_name_leads_out_of_the_root_or_is_too_long() {
        let long = "ü".repeat(127);
        for name in ["...", ".arcly-x", ".hidden", "..a", "a..", "-rf", "CON", "~", "$HOME", long.as_str()] {
            let path = path("{app}/x{stream}{stream}/{stream}", name, name, 0);
            for name in path.split('/') {
                assert!(!name.is_empty() && !name.starts_with('.') && name.len() <= NAME_MAX_BYTES, "{path}");
            }
        }
    }

    #[test]
    fn patterns_that_lead_elsewhere_are_refused() {
        for pattern in
            ["", "/etc/{stream}", "../{stream}", "{app}/../x", "a//b", "{nonsense}", "{app", "a}b", "a\\b", "a\nb"]
        {
            assert!(pattern.parse::<Template>().is_err(), "{pattern:?}");
        }
    }
}
