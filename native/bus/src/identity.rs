//! The name of a stream, checked once: whatever holds a [`StreamKey`] may put it in a URL, a path or a log line.

use std::{fmt, sync::Arc};

/// The application and the stream's id within it: `live/cam`.
///
/// Cheap to clone. Both names are checked when the key is made and never again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    app: Arc<str>,
    stream: Arc<str>,
}

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    /// Which of the two names: `"app"` or `"stream"`.
    pub which: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} name {}", self.which, self.what)
    }
}

impl std::error::Error for NameError {}

/// Bytes of an application or stream name: room for any human name, none for a flood of the log.
const NAME_MAX_BYTES: usize = 255;

/// Segments of an application name (`live/eu/studio`).
const APP_MAX_SEGMENTS: usize = 8;

impl StreamKey {
    /// Checks both names. An application may have several segments (`live/eu`), a stream has one.
    ///
    /// # Errors
    /// [`NameError`] for an empty, overlong or reserved name (`.`, `..`), or one with a control character, space, invisible
    /// character, or one of `\ / ? # % " < > :` and `*`, which mean something to URLs, file systems or pages.
    pub fn new(app: &str, stream: &str) -> Result<Self, NameError> {
        if app.split('/').count() > APP_MAX_SEGMENTS {
            return Err(NameError { which: "app", what: "has too many segments" });
        }
        for segment in app.split('/') {
            check(segment).map_err(|what| NameError { which: "app", what })?;
        }
        check(stream).map_err(|what| NameError { which: "stream", what })?;
        Ok(Self { app: app.into(), stream: stream.into() })
    }

    /// The application's name.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The stream's id within the application.
    pub fn stream(&self) -> &str {
        &self.stream
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.stream)
    }
}

fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty or has an empty segment");
    }
    if name.len() > NAME_MAX_BYTES {
        return Err("is longer than 255 bytes");
    }
    if name == "." || name == ".." {
        return Err("is reserved");
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace() || is_format(c)) {
        return Err("has a space, a control or an invisible character");
    }
    if name.contains(['\\', '/', '?', '#', '%', '"', '<', '>', ':', '*']) {
        return Err("has one of the characters \\ / ? # % \" < > : *");
    }
    Ok(())
}

/// Characters that show as nothing or turn the text around them about (general category Cf; UAX #9 §2): in a log or on a page they
/// make one name look like another.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for (app, stream) in [("live", "cam"), ("live/eu", "studio_1"), ("live", "a~720p"), ("Ü", "猫.b-c")] {
            assert_eq!(StreamKey::new(app, stream).unwrap().to_string(), format!("{app}/{stream}"));
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "x".repeat(256);
        for (app, stream) in [
            ("", "cam"),
            ("live", ""),
            ("live", ".."),
            ("..", "cam"),
            ("live/../etc", "cam"),
            ("live//x", "cam"),
            ("/live", "cam"),
            ("live", "a/b"),
            ("live", "a b"),
            ("live", "a\nb"),
            ("live", "a\0b"),
            ("live", "a%2fb"),
            ("live", "a\\b"),
            ("live", "<img>"),
            ("live", "a\u{202e}gpj.b"),
            ("live", "a\u{200b}"),
            ("live", long.as_str()),
            ("a/b/c/d/e/f/g/h/i", "cam"),
        ] {
            assert!(StreamKey::new(app, stream).is_err(), "{app:?} {stream:?}");
        }
    }
}
