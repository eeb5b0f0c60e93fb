//! The lines that the bench prints.

/// One thing measured. What could not be measured is missing, and its goal is not reached.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub arcly: Option<f64>,
    pub peer: Option<f64>,
    pub floor: Option<f64>,
    pub goal: Goal,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Told for understanding only.
    None,
    /// By arcly, in the unit of the row.
    AtMost(f64),
    /// By arcly, in the unit of the row, on top of the floor.
    AboveFloor(f64),
    /// So much of the floor.
    OfFloor(f64),
    /// So much of the peer.
    OfPeer(f64),
}

impl Row {
    /// arcly's figure as a share of what it is compared with.
    fn ratio(&self) -> Option<f64> {
        let base = match self.goal {
            Goal::OfPeer(_) => self.peer,
            Goal::OfFloor(_) | Goal::AboveFloor(_) => self.floor,
            Goal::None | Goal::AtMost(_) => self.floor.or(self.peer),
        };
        base.filter(|base| *base > 0.0).and_then(|base| self.arcly.map(|arcly| arcly / base))
    }

    fn holds(&self) -> Option<bool> {
        let is_at_most = |value: Option<f64>, limit: f64| Some(value.is_some_and(|value| value <= limit));
        match self.goal {
            Goal::None => None,
            Goal::AtMost(limit) => is_at_most(self.arcly, limit),
            Goal::AboveFloor(limit) => {
                is_at_most(self.arcly.zip(self.floor).map(|(arcly, floor)| arcly - floor), limit)
            }
            Goal::OfFloor(limit) | Goal::OfPeer(limit) => is_at_most(self.ratio(), limit),
        }
    }

    fn goal(&self) -> Option<String> {
        match self.goal {
            Goal::None => None,
            Goal::AtMost(limit) => Some(format!("<= {limit}")),
            Goal::AboveFloor(limit) => Some(format!("<= floor + {limit}")),
            Goal::OfFloor(limit) => Some(format!("<= {limit} x floor")),
            Goal::OfPeer(limit) => Some(format!("<= {limit} x peer")),
        }
    }

    fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |value| format!("{value:.4}"));
        let goal = self.goal().map_or("null".to_owned(), |goal| format!("\"{goal}\""));
        let holds = self.holds().map_or("null".to_owned(), |holds| holds.to_string());
        let (name, unit, ratio) = (&self.name, self.unit, number(self.ratio()));
        let [arcly, peer, floor] = [self.arcly, self.peer, self.floor].map(number);
        format!(
            r#"{{"name": "{name}", "unit": "{unit}", "arcly": {arcly}, "peer": {peer}, "floor": {floor}, "ratio": {ratio}, "goal": {goal}, "holds": {holds}}}"#
        )
    }

    fn line(&self) -> String {
        let [arcly, peer, floor, ratio] = [self.arcly, self.peer, self.floor, self.ratio()].map(short);
        let holds = self.holds().map_or("", |holds| if holds { "yes" } else { "NO" });
        line([&self.name, self.unit, &arcly, &peer, &floor, &ratio, &self.goal().unwrap_or_default(), holds])
    }
}

/// Prints a table, or one JSON object.
pub fn print(rows: &[Row], as_json: bool) {
    if as_json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        println!("{{\"rows\": [\n  {}\n]}}", rows.join(",\n  "));
    } else {
        println!("{}", line(["", "unit", "arcly", "nginx-rtmp", "floor", "ratio", "goal", "holds"]));
        rows.iter().for_each(|row| println!("{}", row.line()));
    }
}

fn line([name, unit, arcly, peer, floor, ratio, goal, holds]: [&str; 8]) -> String {
    format!("{name:<68} {unit:>10} {arcly:>9} {peer:>10} {floor:>9} {ratio:>7} {goal:>15} {holds:>5}")
}

/// Three digits that mean something.
fn short(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 || value == 0.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_does_not_hold() {
        let missing = Row {
            name: "x".into(),
            unit: "s",
            arcly: None,
            peer: Some(1.0),
            floor: Some(2.0),
            goal: Goal::OfFloor(0.5),
        };
        assert_eq!((missing.holds(), missing.ratio()), (Some(false), None));
        for (goal, holds) in [
            (Goal::OfFloor(0.5), true),
            (Goal::OfFloor(0.49), false),
            (Goal::OfPeer(0.9), false),
            (Goal::AboveFloor(-1.0), true),
            (Goal::AtMost(0.9), false),
        ] {
            let row = Row { arcly: Some(1.0), goal, ..missing.clone() };
            assert_eq!(row.holds(), Some(holds), "{goal:?}");
        }
        assert!(missing.json().contains(
            r#""arcly": null, "peer": 1.0000, "floor": 2.0000, "ratio": null, "goal": "<= 0.5 x floor", "holds": false"#
        ));
    }
}
