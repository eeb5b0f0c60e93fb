//! The list of `a=fmtp`: `name=value` between semicolons.

use std::fmt;

/// Parameters of one list. Real lists have up to fifteen.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a payload format, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    list: Vec<(String, String)>,
}

impl Parameters {
    /// Reads a list. Spaces around names, values and semicolons mean nothing, and neither do empty entries; a name alone has
    /// an empty value.
    pub fn parse(fmtp: &str) -> Self {
        let entries = fmtp.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        let pair = |entry: &str| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            // Some cameras quote.
            (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())
        };
        Self { list: entries.take(MAX_PARAMETERS).map(pair).collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The value of a parameter, whose name may be in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that is a decimal number.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    /// Puts a parameter at the end, or its value in the place of the one that is there.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.list.iter_mut().find(|(found, _)| found.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.list.push((name.to_owned(), value)),
        }
    }

    /// The list with one more parameter.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            // A name alone was a value alone: RED and the like.
            match value.as_str() {
                "" => write!(f, "{separator}{name}")?,
                value => write!(f, "{separator}{name}={value}")?,
            }
        }
        Ok(())
    }
}
