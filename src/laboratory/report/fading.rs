//! Whether attention on a needle fades with length, and where retrieval is to fail if it does.
//!
//! A Softmax row over `n` keys whose needle stands `g` above the rest gives the needle the mass `1 / (1 + (n
//! - 1) e^-g)`. So a measured mass `m` says the gap: `g = ln(m / (1 - m)) + ln(n - 1)`. A head whose gap does
//! not grow with length loses the needle where `n = 1 + e^g`, at half of the mass; a head whose gap grows as
//! `b ln n` with `b` of 1 or more never does. The line `g = a + b ln n` is fitted to each trial by itself,
//! over its lengths, and the interval of `b` is that of the mean over trials.

use std::collections::BTreeMap;

use super::{Experiment, SeedRun, by_length, number, tokens};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Table};
use crate::stats::{line_fit, mean, mean_interval};
use crate::trial::AttentionRow;

/// What is left beside the needle is taken for no less than this: masses are sums of single-precision
/// weights.
const LEAST_REST: f64 = 1e-7;

/// The mass on the needle of one head in one prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    length: usize,
    trial: usize,
    mass: f64,
    keys: usize,
}

impl Reading {
    /// `ln(m / (1 - m)) + ln(n - 1)`.
    fn gap(self) -> f64 {
        let mass = self.mass.clamp(LEAST_REST, 1.0 - LEAST_REST);
        (mass / (1.0 - mass)).ln() + ((self.keys - 1).max(1) as f64).ln()
    }

    fn is_capped(self) -> bool {
        self.mass > 1.0 - LEAST_REST
    }
}

/// What the best head of a run does over lengths.
struct Fading {
    head: (usize, usize),
    readings: Vec<Reading>,
}

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let runs = experiment
        .main()
        .flat_map(|configuration| configuration.runs.iter().map(|run| (configuration.name.clone(), run)));
    let found: Vec<_> =
        runs.filter_map(|(name, run)| Some((name, run, fading(run, experiment.training_length)?))).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let series = experiment.series(|run| {
        let Some(fading) = fading(run, experiment.training_length) else { return Vec::new() };
        fading.by_length().into_iter().filter_map(|(length, readings)| point(length, &readings)).collect()
    });
    let chart = Chart {
        title: "Needle mass of the best head by context length".to_string(),
        x: Axis::logarithmic("context length (tokens)"),
        y: Axis::linear("mass on the needle", Some((0.0, 1.0))),
        series,
        marks: vec![(experiment.training_length as f64, "training length".to_string())],
    };
    let rows = found.iter().map(|(name, run, fading)| row(name, run, fading, experiment.training_length));
    let table = Table {
        caption: "The head with the largest mean mass on the needle at the training length, one for each \
                  seed. b is the slope of its gap against ln n, with the 95 % interval of the mean over \
                  trials; mass fades for b below 1, and is then predicted to be half at the length named. \
                  Gaps that single precision cannot tell from infinity are counted as capped and make b too \
                  small."
            .to_string(),
        header: [
            "configuration",
            "seed",
            "head",
            "mass",
            "mass at the longest",
            "gap",
            "b",
            "capped",
            "half of the mass at",
            "right there",
        ]
        .map(String::from)
        .to_vec(),
        rows: rows.collect(),
    };
    vec![
        Block::Heading("Does attention fade?".to_string()),
        Block::Paragraph(
            "A Softmax row over n keys whose needle stands g above the rest gives it the mass 1 / (1 + (n - \
             1) e^-g). A gap that stays as it is loses the needle at some length; one that grows by b ln n \
             with b of at least 1 never does."
                .to_string(),
        ),
        Block::Figure(Figure {
            name: "fading".to_string(),
            caption: "Mean mass on the needle of the head that is best at the training length, with 95 % \
                      intervals over trials; the first seed."
                .to_string(),
            panels: vec![Panel::Chart(chart)],
        }),
        Block::Table(table),
    ]
}

/// The slope of the gap of the best head against `ln n`, the mean over trials.
pub(super) fn slope(run: &SeedRun, training_length: usize) -> Option<f64> {
    mean(&fading(run, training_length)?.slopes())
}

fn fading(run: &SeedRun, training_length: usize) -> Option<Fading> {
    let keys: BTreeMap<&str, (usize, usize, usize)> = run
        .outcomes
        .iter()
        .filter_map(|outcome| {
            Some((outcome.row_id.as_str(), (outcome.context_length, outcome.trial, outcome.prompt_tokens?)))
        })
        .collect();
    let reading = |row: &AttentionRow| {
        let &(length, trial, keys) = keys.get(row.row_id.as_str())?;
        let mass = if row.total_mass > 0.0 { row.needle_mass / row.total_mass } else { 0.0 };
        Some(Reading { length, trial, mass, keys })
    };
    let mut heads: BTreeMap<(usize, usize), Vec<Reading>> = BTreeMap::new();
    for row in &run.attention {
        if let Some(reading) = reading(row) {
            heads.entry((row.layer, row.head)).or_default().push(reading);
        }
    }
    let at_training = |readings: &[Reading]| {
        let masses = readings.iter().filter(|reading| reading.length == training_length);
        mean(&masses.map(|reading| reading.mass).collect::<Vec<_>>())
    };
    let scored =
        heads.into_iter().filter_map(|(head, readings)| Some((at_training(&readings)?, head, readings)));
    let (_, head, readings) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Fading { head, readings })
}

impl Fading {
    fn by_length(&self) -> BTreeMap<usize, Vec<Reading>> {
        let mut lengths: BTreeMap<usize, Vec<Reading>> = BTreeMap::new();
        for reading in &self.readings {
            lengths.entry(reading.length).or_default().push(*reading);
        }
        lengths
    }

    /// The slope of each trial that has several lengths.
    fn slopes(&self) -> Vec<f64> {
        let mut trials: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for reading in &self.readings {
            trials.entry(reading.trial).or_default().push(((reading.keys as f64).ln(), reading.gap()));
        }
        trials.values().filter_map(|points| Some(line_fit(points)?.slope)).collect()
    }

    /// The keys at which the fitted line predicts half of the mass; `None` where it never does.
    fn half(&self) -> Option<f64> {
        let points: Vec<_> =
            self.readings.iter().map(|reading| ((reading.keys as f64).ln(), reading.gap())).collect();
        let line = line_fit(&points)?;
        // At half of the mass the gap is ln(n - 1): a + b ln n = ln n.
        (line.slope < 1.0).then(|| (line.intercept / (1.0 - line.slope)).exp())
    }
}

fn point(length: usize, readings: &[Reading]) -> Option<Point> {
    let mut trials: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for reading in readings {
        trials.entry(reading.trial).or_default().push(reading.mass);
    }
    let groups: Vec<Vec<f64>> = trials.into_values().collect();
    let all: Vec<f64> = groups.concat();
    let interval = mean_interval(&groups, Some((0.0, 1.0))).ends();
    Some(Point { x: length as f64, y: mean(&all)?, interval })
}

fn row(name: &str, run: &SeedRun, fading: &Fading, training_length: usize) -> Vec<String> {
    let lengths = fading.by_length();
    let masses =
        |readings: &Vec<Reading>| mean(&readings.iter().map(|reading| reading.mass).collect::<Vec<_>>());
    let longest = lengths.iter().next_back();
    let gap = lengths
        .get(&training_length)
        .and_then(|readings| mean(&readings.iter().map(|reading| reading.gap()).collect::<Vec<_>>()));
    let slopes = fading.slopes();
    let interval = mean_interval(&slopes.iter().map(|&slope| vec![slope]).collect::<Vec<_>>(), None).ends();
    let b = mean(&slopes)
        .map_or("–".to_string(), |slope| super::retrieval::with_interval(format!("{slope:.2}"), interval));
    let half = fading.half();
    let longest_length = longest.map_or(0, |(length, _)| *length);
    // The nearest length that was measured, where the prediction lies within what was.
    let near =
        half.filter(|half| *half <= longest_length as f64 * std::f64::consts::SQRT_2).and_then(|half| {
            let distance = |length: &usize| (half.ln() - (*length as f64).ln()).abs();
            by_length(&run.outcomes).into_iter().min_by(|a, b| distance(&a.0).total_cmp(&distance(&b.0)))
        });
    let right = near.map_or("–".to_string(), |(length, outcomes)| {
        let right = outcomes.iter().filter(|outcome| outcome.correct == Some(true)).count();
        format!("{right} of {} at {}", outcomes.len(), tokens(length))
    });
    vec![
        name.to_string(),
        run.seed.to_string(),
        format!("{}.{}", fading.head.0, fading.head.1),
        number(lengths.get(&training_length).and_then(masses)),
        longest.map_or("–".to_string(), |(length, readings)| {
            format!("{} at {}", number(masses(readings)), tokens(*length))
        }),
        number(gap),
        b,
        format!(
            "{} of {}",
            fading.readings.iter().filter(|reading| reading.is_capped()).count(),
            fading.readings.len()
        ),
        half.map_or("never".to_string(), |half| {
            if half < 1e9 { format!("{:.0} tokens", half) } else { "more than 10^9 tokens".to_string() }
        }),
        right,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(gap: impl Fn(f64) -> f64) -> Vec<Reading> {
        let of = |length: usize| {
            let mass = 1.0 / (1.0 + (length as f64 - 1.0) * (-gap(length as f64)).exp());
            (0..3).map(move |trial| Reading { length, trial, mass, keys: length })
        };
        [256, 512, 1024, 4096].into_iter().flat_map(of).collect()
    }

    #[test]
    fn a_gap_that_stays_fades_where_the_bound_says_and_one_that_grows_with_ln_n_does_not() {
        let constant = Fading { head: (0, 0), readings: readings(|n| 8.0 + 0.01 * n.ln()) };
        assert!(constant.slopes().iter().all(|slope| (slope - 0.01).abs() < 1e-3));
        let expected = (8.0f64 / 0.99).exp();
        assert!((constant.half().unwrap() / expected - 1.0).abs() < 0.02, "{:?} {expected}", constant.half());
        let growing = Fading { head: (0, 0), readings: readings(|n| 1.5 * n.ln()) };
        assert!(growing.slopes().iter().all(|slope| (slope - 1.5).abs() < 1e-3));
        assert_eq!(growing.half(), None);
    }

    #[test]
    fn a_mass_of_one_has_a_finite_gap_and_is_counted() {
        let reading = Reading { length: 256, trial: 0, mass: 1.0, keys: 256 };
        assert!(reading.gap().is_finite() && reading.is_capped());
    }
}
