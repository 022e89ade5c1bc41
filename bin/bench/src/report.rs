//! Figures with their budgets, as a table and as JSON.

use serde::Serialize;

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

/// One measured figure.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    /// 95 % interval of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<(f64, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<f64>,
    /// What the value must reach at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    least: Option<f64>,
    samples: usize,
}

impl Report {
    /// Adds a figure that was taken once.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, value: f64, budget: Option<f64>) {
        self.push(Figure {
            name: name.to_owned(),
            unit,
            value,
            interval: None,
            budget,
            least: None,
            samples: 1,
        });
    }

    /// Says a figure as soon as it is taken: a run takes many minutes.
    fn push(&mut self, figure: Figure) {
        eprintln!("{} [{}]: {:.3}", figure.name, figure.unit, figure.value);
        self.figures.push(figure);
    }

    /// Adds the median of samples, with the interval of the median.
    pub(crate) fn add_samples(
        &mut self,
        name: &str,
        unit: &'static str,
        samples: &[f64],
        budget: Option<f64>,
    ) {
        self.push(Figure::of_samples(name, unit, samples, budget, None));
    }

    /// Adds the median of ratios of which more is better, and which are to reach `least`.
    pub(crate) fn add_share(&mut self, name: &str, samples: &[f64], least: f64) {
        self.push(Figure::of_samples(name, "ratio", samples, None, Some(least)));
    }
}

impl Figure {
    fn of_samples(
        name: &str,
        unit: &'static str,
        samples: &[f64],
        budget: Option<f64>,
        least: Option<f64>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            value: median(samples),
            interval: Some(interval_of_median(samples)),
            budget,
            least,
            samples: samples.len(),
        }
    }

    fn verdict(&self) -> &'static str {
        if self.budget.is_some_and(|budget| self.value > budget) {
            "over"
        } else if self.least.is_some_and(|least| self.value < least) {
            "under"
        } else {
            ""
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "{:<58} {:>10} {:>21} {:>9}  n", "figure", "value", "95 % interval", "budget")?;
        for figure in &self.figures {
            let interval =
                figure.interval.map_or_else(String::new, |(low, high)| format!("{low:.3} to {high:.3}"));
            let budget = match (figure.budget, figure.least) {
                (Some(budget), _) => format!("{budget:.2}"),
                (None, Some(least)) => format!(">= {least:.2}"),
                (None, None) => String::new(),
            };
            let verdict = figure.verdict();
            let name = format!("{} [{}]", figure.name, figure.unit);
            writeln!(
                out,
                "{name:<58} {:>10.3} {interval:>21} {budget:>9}  {} {verdict}",
                figure.value, figure.samples
            )?;
        }
        Ok(())
    }
}

/// Returns the median; 0 for no samples.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The order statistics around the median that a binomial leaves outside with less than 5 %.
fn interval_of_median(samples: &[f64]) -> (f64, f64) {
    let sorted = sorted(samples);
    let Some(last) = sorted.len().checked_sub(1) else { return (0.0, 0.0) };
    let n = sorted.len() as f64;
    let half_width = 1.96 * n.sqrt() / 2.0;
    let low = (n / 2.0 - half_width).floor().max(0.0) as usize;
    let high = ((n / 2.0 + half_width).ceil() as usize).min(last);
    (sorted[low.min(last)], sorted[high])
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_its_interval() {
        let samples: Vec<f64> = (0..11).map(f64::from).rev().collect();
        assert!((median(&samples) - 5.0).abs() < f64::EPSILON);
        let (low, high) = interval_of_median(&samples);
        assert!(low < 5.0 && high > 5.0 && low >= 0.0 && high <= 10.0);
        assert!((median(&[1.0, 2.0]) - 1.5).abs() < f64::EPSILON);
    }
}
