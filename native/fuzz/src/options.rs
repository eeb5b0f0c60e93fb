//! The command line.

/// What can be said.
pub const USAGE: &str = "usage: arcly-fuzz [TARGET] [--inputs N] [--first K] [--seed S] [--input K] [--seeds FOLDER]";

impl Default for Options {
    fn default() -> Self {
        Self { target: None, inputs: 200_000, first: 0, seed: 1, input: None, seeds: None }
    }
}

/// What to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Only this target; all of them otherwise.
    pub target: Option<String>,
    /// How many inputs a target gets.
    pub inputs: u64,
    /// The number of the first of them: a long sweep can be made in parts.
    pub first: u64,
    /// Where the inputs come from.
    pub seed: u64,
    /// Only this input, which is shown.
    pub input: Option<u64>,
    /// No sweep: write the vectors into this folder.
    pub seeds: Option<String>,
}

impl Options {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// A line for a person.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--inputs" => options.inputs = number(&argument, arguments.next())?,
                "--first" => options.first = number(&argument, arguments.next())?,
                "--seeds" => options.seeds = Some(arguments.next().ok_or("--seeds needs a folder")?),
                "--seed" => options.seed = number(&argument, arguments.next())?,
                "--input" => options.input = Some(number(&argument, arguments.next())?),
                name if !name.starts_with('-') && options.target.is_none() => options.target = Some(argument),
                _ => return Err(format!("unknown argument {argument}")),
            }
        }
        Ok(options)
    }

    /// Whether that target is to run.
    pub fn wants(&self, target: &str) -> bool {
        self.target.as_ref().is_none_or(|wanted| wanted == target)
    }
}

fn number(option: &str, value: Option<String>) -> Result<u64, String> {
    let digits = value.map(|value| value.replace('_', ""));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("{option} needs a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_in_any_order() {
        let expected = Options {
            target: Some("amf0".to_owned()),
            inputs: 1_000_000,
            first: 5,
            seed: 7,
            input: Some(3),
            seeds: Some("corpus".to_owned()),
        };
        let line = "--inputs 1_000_000 amf0 --input 3 --seeds corpus --first 5 --seed 7";
        assert_eq!(parse(line), Ok(expected));
        let options = parse("").unwrap();
        assert!(options.wants("anything") && options.input.is_none());
    }

    #[test]
    fn wrong_arguments_are_named() {
        assert_eq!(parse("--seed"), Err("--seed needs a number".to_owned()));
        assert_eq!(parse("--inputs many"), Err("--inputs needs a number".to_owned()));
        assert_eq!(parse("--help"), Err("unknown argument --help".to_owned()));
        assert_eq!(parse("amf0 rtmp_conn"), Err("unknown argument rtmp_conn".to_owned()));
    }
}
