//! What was measured, for the rows.

use std::collections::HashMap;

use crate::clock::median;
use crate::scenario::Sample;
use crate::server::Contestant;

/// Samples by contestant, group of measurements and viewers, one a round; single figures by contestant and name.
#[derive(Default)]
pub struct Results {
    samples: HashMap<(Contestant, &'static str, usize), Vec<Sample>>,
    figures: HashMap<(Contestant, &'static str), Vec<f64>>,
    /// Who cannot be measured, and why.
    absent: HashMap<(Contestant, &'static str), String>,
}

impl Results {
    pub fn add_sample(&mut self, contestant: Contestant, group: &'static str, viewers: usize, sample: Sample) {
        self.samples.entry((contestant, group, viewers)).or_default().push(sample);
    }

    pub fn add_figures(&mut self, contestant: Contestant, name: &'static str, figures: impl IntoIterator<Item = f64>) {
        self.figures.entry((contestant, name)).or_default().extend(figures);
    }

    /// Takes the figure, or says why there is none.
    pub fn add_figure(&mut self, contestant: Contestant, name: &'static str, figure: Result<f64, String>) {
        match figure {
            Ok(figure) => self.add_figures(contestant, name, [figure]),
            Err(reason) => self.set_absent(contestant, name, &reason),
        }
    }

    /// Says why there is nothing.
    pub fn set_absent(&mut self, contestant: Contestant, group: &'static str, reason: &str) {
        eprintln!("    {}: {reason}", contestant.name());
        self.absent.insert((contestant, group), reason.to_owned());
    }

    pub fn is_absent(&self, contestant: Contestant, group: &'static str) -> bool {
        self.absent.contains_key(&(contestant, group))
    }

    /// The median over the rounds.
    pub fn median(
        &self,
        contestant: Contestant,
        group: &'static str,
        viewers: usize,
        of: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        median(self.samples.get(&(contestant, group, viewers))?.iter().filter_map(of))
    }

    pub fn figures(&self, contestant: Contestant, name: &'static str) -> &[f64] {
        self.figures.get(&(contestant, name)).map_or(&[], Vec::as_slice)
    }

    /// All samples of arcly.
    pub fn of_arcly(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|((contestant, ..), _)| contestant.is_ours()).flat_map(|(_, samples)| samples)
    }
}
