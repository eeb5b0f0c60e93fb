//! The lines that a bench prints.

/// One thing measured.
#[derive(Clone)]
pub struct Row {
    name: String,
    unit: &'static str,
    arcly: f64,
    peer: Option<f64>,
    floor: Option<f64>,
    goal: Goal,
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Told for understanding only.
    None,
    /// By arcly, in the unit of the row.
    AtMost(f64),
    /// So many times better than the peer.
    Ratio(f64),
    /// So much of what cannot be beaten.
    OfFloor(f64),
}

/// How rows are printed.
#[derive(Clone, Copy)]
pub enum Output {
    Json,
    Table,
}

impl Row {
    pub fn new(name: impl Into<String>, unit: &'static str, arcly: f64, goal: Goal) -> Self {
        Self { name: name.into(), unit, arcly, peer: None, floor: None, goal }
    }

    pub fn peer(self, peer: f64) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// What was to be measured, and could not be: its goal does not hold.
    pub fn missing(name: impl Into<String>, unit: &'static str, goal: Goal) -> Self {
        Self::new(name, unit, f64::NAN, goal)
    }

    /// What cannot be beaten: the same work without the bus.
    pub fn floor(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }

    /// How many times better than the peer, or how much of the floor, by the goal.
    fn ratio(&self) -> Option<f64> {
        let other = if matches!(self.goal, Goal::OfFloor(_)) { self.floor } else { self.peer };
        other.filter(|_| self.arcly > 0.0).map(|other| other / self.arcly)
    }

    fn holds(&self) -> Option<bool> {
        match self.goal {
            Goal::None => None,
            Goal::AtMost(limit) => Some(self.arcly <= limit),
            Goal::Ratio(least) | Goal::OfFloor(least) => Some(self.ratio().is_some_and(|ratio| ratio >= least)),
        }
    }

    fn goal(&self) -> Option<String> {
        match self.goal {
            Goal::None => None,
            Goal::AtMost(limit) => Some(format!("<= {limit}")),
            Goal::Ratio(least) | Goal::OfFloor(least) => Some(format!("ratio >= {least}")),
        }
    }

    fn json(&self) -> String {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let number = |value| finite(value).map_or("null".to_owned(), |value| format!("{value:.3}"));
        let goal = self.goal().map_or("null".to_owned(), |goal| format!("\"{goal}\""));
        let holds = self.holds().map_or("null".to_owned(), |holds| holds.to_string());
        format!(
            r#"{{"name": "{}", "unit": "{}", "arcly": {}, "peer": {}, "floor": {}, "ratio": {}, "goal": {goal}, "holds": {holds}}}"#,
            self.name,
            self.unit,
            number(Some(self.arcly)),
            number(self.peer),
            number(self.floor),
            number(self.ratio()),
        )
    }

    fn line(&self, name_width: usize) -> String {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
        let holds = self.holds().map_or("", |holds| if holds { "yes" } else { "NO" });
        format!(
            "{:<name_width$} {:>10} {:>10} {:>10} {:>10} {:>8} {:>13} {:>6}",
            self.name,
            self.unit,
            short(self.arcly),
            number(self.peer),
            number(self.floor),
            number(self.ratio()),
            self.goal().unwrap_or_default(),
            holds,
        )
    }
}

/// Three digits that mean something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl Output {
    pub fn print(self, rows: &[Row]) {
        match self {
            Self::Json => {
                let rows: Vec<_> = rows.iter().map(Row::json).collect();
                println!("{{\"rows\": [\n  {}\n]}}", rows.join(",\n  "));
            }
            Self::Table => {
                let titles = ["", "unit", "arcly", "peer", "floor", "ratio", "goal", "holds"];
                let [name, unit, arcly, peer, floor, ratio, goal, holds] = titles;
                let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
                println!(
                    "{name:<width$} {unit:>10} {arcly:>10} {peer:>10} {floor:>10} {ratio:>8} {goal:>13} {holds:>6}"
                );
                rows.iter().for_each(|row| println!("{}", row.line(width)));
            }
        }
    }
}
