//! Values counted by their size, in the text format of Prometheus.

use std::fmt::Write as _;

/// How often values up to each of some bounds were observed.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        let at = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[at] += 1;
        self.sum += value;
    }

    pub(crate) fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, here) in bounds.zip(&self.counts) {
            count += here;
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {count}", self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up() {
        let mut histogram = Histogram::new(&[1e3, 1e4, 1e9]);
        for value in [10.0, 1000.0, 5000.0, 1e12] {
            histogram.observe(value);
        }
        let mut text = String::new();
        histogram.write(&mut text, "n", "a=\"b\"");
        for line in [
            "n_bucket{a=\"b\",le=\"1000\"} 2",
            "n_bucket{a=\"b\",le=\"10000\"} 3",
            "n_bucket{a=\"b\",le=\"1000000000\"} 3",
            "n_bucket{a=\"b\",le=\"+Inf\"} 4",
            "n_count{a=\"b\"} 4",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
