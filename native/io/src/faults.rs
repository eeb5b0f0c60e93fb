//! What is wrong with a publish: each problem is told once, and one that is mostly broken is ended.

/// What a publisher is told whose stream was ended by somebody else.
pub(crate) const ENDED_HERE: &str = "the stream was ended by the server";

/// Problems that are told of one publish: an attacker could make many different texts.
const TOLD_MAX: usize = 8;

/// What a broken piece weighs: as much as so many good ones.
const BROKEN_WEIGHT: u32 = 10;

/// The problems of one publish, each told once.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    told: Vec<String>,
    news: Vec<String>,
}

impl Problems {
    pub(crate) fn tell(&mut self, problem: String) {
        if self.told.len() < TOLD_MAX && !self.told.contains(&problem) {
            self.told.push(problem.clone());
            self.news.push(problem);
        }
    }

    /// What was not said yet.
    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }
}

/// Broken pieces of one publish, weighed against good ones.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) problems: Problems,
    /// A piece of it: `message`, `packet`.
    piece: &'static str,
    weight_max: u32,
    /// Grows with broken pieces and shrinks with good ones.
    weight: u32,
}

impl Faults {
    /// None yet. A publish is ended when its faults outweigh what is good: each broken piece weighs as much as ten good ones, and `open_max` may
    /// be open. One damaged picture now and then is no reason to lose a stream, a flow of them is no stream.
    pub(crate) fn new(piece: &'static str, open_max: u32) -> Self {
        Self { problems: Problems::default(), piece, weight_max: open_max * BROKEN_WEIGHT, weight: 0 }
    }

    /// A piece was as it should be.
    pub(crate) fn good(&mut self) {
        self.weight = self.weight.saturating_sub(1);
    }

    /// A piece was not, and is left out. An error ends the publish and is its reason.
    pub(crate) fn broken(&mut self, problem: &str) -> Result<(), String> {
        let piece = self.piece;
        self.weight += BROKEN_WEIGHT;
        self.problems.tell(format!("{problem}: the {piece} is left out"));
        if self.weight > self.weight_max {
            return Err(format!("too many broken {piece}s, the last: {problem}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_survives_some_broken_pieces_and_not_a_flow_of_them() {
        let mut faults = Faults::new("packet", 10);
        for _ in 0..100 {
            assert_eq!(faults.broken("damaged"), Ok(()));
            (0..10).for_each(|_| faults.good());
        }
        let end = (0..11).find_map(|_| faults.broken("damaged").err());
        assert_eq!(end.as_deref(), Some("too many broken packets, the last: damaged"));
    }

    #[test]
    fn each_problem_is_told_once_and_no_more_than_a_few() {
        let mut problems = Problems::default();
        (0..2).for_each(|_| problems.tell("odd".into()));
        assert_eq!(problems.take(), ["odd"]);
        (0..100).for_each(|n| problems.tell(format!("odd in its way {n}")));
        assert_eq!(problems.take().len(), TOLD_MAX - 1);
    }
}
