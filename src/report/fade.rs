//! How attention fades: the largest weight of a row, the mass on the needle, its entropy and the number of
//! keys that it is worth, by context length and rule.
//!
//! A row is that of one head of one layer at the answering query of one trial. `exp H` of a row of entropy
//! `H` is its effective number of keys: that of a row that shares its weight among so many equally. The bound
//! of a row is the largest weight that a Softmax can give with the smallest and the largest score of that
//! row, `1 / ((n - 1) e^-(z_max - z_min) + 1)` over its `n` keys.
//!
//! Quantiles are over rows; means have the interval of [`mean_interval`] over trials, as all rows of one
//! share a haystack. Layers behind whose window `n` stops growing are left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::bound::largest_weight;
use super::data::Data;
use super::document::{Axis, Block, Chart, Document, Figure, Panel, Point, Series, Shape, Table};
use super::{Report, or_missing};
use crate::grid::ContextLength;
use crate::stats::{mean, mean_interval, quantile};

/// The row of one head at the answering query of one trial.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// Prompt length asked for, in tokens.
    pub context_length: usize,
    /// Number of the trial.
    pub trial: usize,
    /// Layer, from 0.
    pub layer: usize,
    /// Keys up to the row, its own included.
    pub keys_before: usize,
    /// Those of them that it sees.
    pub keys: usize,
    /// The largest weight.
    pub largest: f64,
    /// The mass on the needles.
    pub needle_mass: f64,
    /// Entropy in nats; missing for a row that sums to 0.
    pub entropy: Option<f64>,
    /// The smallest and the largest score, where there are scores.
    pub scores: Option<(f64, f64)>,
}

impl Reading {
    /// The largest weight that a Softmax can give ([`largest_weight`]).
    ///
    /// ```
    /// use niah::report::fade::Reading;
    /// let reading = Reading { keys: 1000, scores: Some((-2.0, 3.0)), ..Reading::default() };
    /// assert!((reading.bound().unwrap() - 0.129346).abs() < 1e-6);
    /// ```
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        let (least, largest) = self.scores?;
        Some(largest_weight(largest - least, self.keys as f64))
    }
}

/// What one rule did.
pub struct FadeRule {
    /// Name of the variant.
    pub variant: String,
    /// What it is, in words.
    pub description: String,
    /// Every row.
    pub readings: Vec<Reading>,
    /// By length, the largest weight that the rule gives to scores that are -2 but one +3.
    pub checks: Vec<(usize, f64)>,
}

/// What there is to say of rules that fade or do not.
pub struct FadeReport {
    /// What ran, in one line.
    pub title: String,
    /// What ran, for programs: an object.
    pub ran: Value,
    /// The rules, in the order that they were asked for.
    pub rules: Vec<FadeRule>,
    /// Length the checkpoint was trained on.
    pub training_length: Option<usize>,
}

/// Mean and quantiles of a measure.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Spread {
    mean: Option<f64>,
    interval: Option<(f64, f64)>,
    quantiles: [Option<f64>; 3],
}

/// The ends of a share.
const UNIT: Option<(f64, f64)> = Some((0.0, 1.0));

/// The quantiles that are shown.
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

impl Spread {
    /// Of a measure of these rows, which is always `within` these ends.
    fn of(
        readings: &[&Reading],
        within: Option<(f64, f64)>,
        measure: impl Fn(&Reading) -> Option<f64>,
    ) -> Self {
        let mut trials: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (reading, value) in readings.iter().filter_map(|reading| Some((reading, measure(reading)?))) {
            trials.entry(reading.trial).or_default().push(value);
        }
        let values: Vec<f64> = trials.values().flatten().copied().collect();
        let means: Vec<Vec<f64>> = trials.values().filter_map(|of| Some(vec![mean(of)?])).collect();
        Self {
            mean: mean(&values),
            interval: mean_interval(&means, within).ends(),
            quantiles: QUANTILES.map(|share| quantile(&values, share)),
        }
    }

    /// The mean, and in brackets from the first to the last quantile.
    fn words(&self, text: fn(f64) -> String) -> String {
        let [low, _, high] = self.quantiles;
        let all = || Some(format!("{} ({} to {})", text(self.mean?), text(low?), text(high?)));
        or_missing(all())
    }
}

/// One rule at one length.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FadeRow {
    /// Name of the variant.
    pub variant: String,
    /// Prompt length asked for, in tokens.
    pub context_length: usize,
    /// Trials, the independent unit of the intervals.
    pub n_trials: usize,
    /// Rows: layers times heads times prompts.
    pub n_rows: usize,
    /// The largest weight of a row, mean over rows.
    pub largest_weight_mean: Option<f64>,
    /// Lower end of its 95 % interval; missing of one trial.
    pub largest_weight_ci_low: Option<f64>,
    /// Upper end.
    pub largest_weight_ci_high: Option<f64>,
    /// Its quantile of 10 %.
    pub largest_weight_p10: Option<f64>,
    /// Its median.
    pub largest_weight_p50: Option<f64>,
    /// Its quantile of 90 %.
    pub largest_weight_p90: Option<f64>,
    /// The largest weight that a Softmax can give with the row's own scores.
    pub softmax_bound_mean: Option<f64>,
    /// Its quantile of 10 %.
    pub softmax_bound_p10: Option<f64>,
    /// Its median.
    pub softmax_bound_p50: Option<f64>,
    /// Its quantile of 90 %.
    pub softmax_bound_p90: Option<f64>,
    /// The mass on the needles.
    pub needle_mass_mean: Option<f64>,
    /// Lower end of its 95 % interval.
    pub needle_mass_ci_low: Option<f64>,
    /// Upper end.
    pub needle_mass_ci_high: Option<f64>,
    /// Its quantile of 10 %.
    pub needle_mass_p10: Option<f64>,
    /// Its median.
    pub needle_mass_p50: Option<f64>,
    /// Its quantile of 90 %.
    pub needle_mass_p90: Option<f64>,
    /// Entropy in nats.
    pub entropy_mean: Option<f64>,
    /// Its quantile of 10 %.
    pub entropy_p10: Option<f64>,
    /// Its median.
    pub entropy_p50: Option<f64>,
    /// Its quantile of 90 %.
    pub entropy_p90: Option<f64>,
    /// `exp` of the entropy.
    pub effective_keys_mean: Option<f64>,
    /// Its quantile of 10 %.
    pub effective_keys_p10: Option<f64>,
    /// Its median.
    pub effective_keys_p50: Option<f64>,
    /// Its quantile of 90 %.
    pub effective_keys_p90: Option<f64>,
    /// The largest weight of scores that are -2 but one +3, of as many keys as the length.
    pub check_weight: Option<f64>,
}

/// One rule at one length, with what its row is made of.
struct Summed {
    length: usize,
    largest: Spread,
    bound: Spread,
    needle: Spread,
    entropy: Spread,
    effective: Spread,
    check: Option<f64>,
    n_trials: usize,
    n_rows: usize,
}

impl Summed {
    fn of(length: usize, readings: &[&Reading], check: Option<f64>) -> Self {
        let trials: BTreeSet<usize> = readings.iter().map(|reading| reading.trial).collect();
        Self {
            length,
            largest: Spread::of(readings, UNIT, |reading| Some(reading.largest)),
            bound: Spread::of(readings, UNIT, Reading::bound),
            needle: Spread::of(readings, UNIT, |reading| Some(reading.needle_mass)),
            entropy: Spread::of(readings, None, |reading| reading.entropy),
            effective: Spread::of(readings, None, |reading| reading.entropy.map(f64::exp)),
            check,
            n_trials: trials.len(),
            n_rows: readings.len(),
        }
    }

    fn row(&self, variant: &str) -> FadeRow {
        let Self { largest, bound, needle, entropy, effective, .. } = self;
        let ends =
            |spread: &Spread| spread.interval.map_or((None, None), |(low, high)| (Some(low), Some(high)));
        let (largest_weight_ci_low, largest_weight_ci_high) = ends(largest);
        let (needle_mass_ci_low, needle_mass_ci_high) = ends(needle);
        FadeRow {
            variant: variant.to_string(),
            context_length: self.length,
            n_trials: self.n_trials,
            n_rows: self.n_rows,
            largest_weight_mean: largest.mean,
            largest_weight_ci_low,
            largest_weight_ci_high,
            largest_weight_p10: largest.quantiles[0],
            largest_weight_p50: largest.quantiles[1],
            largest_weight_p90: largest.quantiles[2],
            softmax_bound_mean: bound.mean,
            softmax_bound_p10: bound.quantiles[0],
            softmax_bound_p50: bound.quantiles[1],
            softmax_bound_p90: bound.quantiles[2],
            needle_mass_mean: needle.mean,
            needle_mass_ci_low,
            needle_mass_ci_high,
            needle_mass_p10: needle.quantiles[0],
            needle_mass_p50: needle.quantiles[1],
            needle_mass_p90: needle.quantiles[2],
            entropy_mean: entropy.mean,
            entropy_p10: entropy.quantiles[0],
            entropy_p50: entropy.quantiles[1],
            entropy_p90: entropy.quantiles[2],
            effective_keys_mean: effective.mean,
            effective_keys_p10: effective.quantiles[0],
            effective_keys_p50: effective.quantiles[1],
            effective_keys_p90: effective.quantiles[2],
            check_weight: self.check,
        }
    }
}

/// The layers whose rows do not see all keys up to their own; none where that is all layers.
fn windowed(rules: &[FadeRule]) -> BTreeSet<usize> {
    let all = || rules.iter().flat_map(|rule| &rule.readings);
    let shorter = |reading: &&Reading| reading.scores.is_some() && reading.keys < reading.keys_before;
    let windowed: BTreeSet<usize> = all().filter(shorter).map(|reading| reading.layer).collect();
    match all().all(|reading| windowed.contains(&reading.layer)) {
        true => BTreeSet::new(),
        false => windowed,
    }
}

impl From<FadeReport> for Report {
    fn from(report: FadeReport) -> Self {
        let FadeReport { title, ran, rules, training_length } = report;
        let left_out = windowed(&rules);
        let summed: Vec<(&FadeRule, Vec<Summed>)> =
            rules.iter().map(|rule| (rule, by_length(rule, &left_out))).collect();
        let lines = [title]
            .into_iter()
            .chain(rules.iter().map(|rule| format!("{}: {}", rule.variant, rule.description)));
        let mut blocks = vec![
            Block::Lines(lines.collect()),
            Block::Wide(table(&summed)),
            Block::Figure(figure(&summed, training_length)),
            Block::Lines(notes(&left_out)),
        ];
        blocks.extend(
            summed
                .iter()
                .filter_map(|(rule, lengths)| sentence(&rule.variant, lengths))
                .map(Block::Paragraph),
        );
        let rows =
            summed.iter().flat_map(|(rule, lengths)| lengths.iter().map(|summed| summed.row(&rule.variant)));
        let data = Data::rows("fade", rows.collect()).of(ran);
        Self { document: Document { title: "How attention fades".to_string(), blocks }, data }
    }
}

fn by_length(rule: &FadeRule, left_out: &BTreeSet<usize>) -> Vec<Summed> {
    let mut lengths: BTreeMap<usize, Vec<&Reading>> = BTreeMap::new();
    for reading in rule.readings.iter().filter(|reading| !left_out.contains(&reading.layer)) {
        lengths.entry(reading.context_length).or_default().push(reading);
    }
    let check = |length| rule.checks.iter().find(|(at, _)| *at == length).map(|(_, weight)| *weight);
    lengths.iter().map(|(&length, readings)| Summed::of(length, readings, check(length))).collect()
}

/// A share, with three digits behind the point or more where it is small.
fn share(value: f64) -> String {
    if value < 0.0995 { format!("{value:.4}") } else { format!("{value:.3}") }
}

fn nats(value: f64) -> String {
    format!("{value:.2}")
}

fn keys(value: f64) -> String {
    if value < 99.5 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn table(summed: &[(&FadeRule, Vec<Summed>)]) -> Table {
    let row = |rule: &FadeRule, of: &Summed| {
        vec![
            // In one, as the first column stands in every part of a table that is too wide.
            format!("{} {}", rule.variant, ContextLength(of.length)),
            of.n_rows.to_string(),
            of.largest.words(share),
            or_missing(of.bound.mean.map(share)),
            or_missing(of.check.map(share)),
            of.needle.words(share),
            of.entropy.words(nats),
            of.effective.words(keys),
        ]
    };
    let header = [
        "variant, length",
        "rows",
        "largest weight",
        "bound of softmax",
        "-2 but one +3",
        "needle mass",
        "entropy (nats)",
        "effective keys",
    ];
    let rows = summed.iter().flat_map(|(rule, lengths)| lengths.iter().map(|of| row(rule, of))).collect();
    Table::new(&header, rows)
        .captioned("Means over layers, heads and trials; brackets: from the 10 % to the 90 % quantile")
}

fn figure(summed: &[(&FadeRule, Vec<Summed>)], training_length: Option<usize>) -> Figure {
    let marks: Vec<(f64, String)> =
        training_length.map(|length| (length as f64, "training length".to_string())).into_iter().collect();
    let series = |value: fn(&Summed) -> Option<f64>| -> Vec<Series> {
        let of_rule = |(color, (rule, lengths)): (usize, &(&FadeRule, Vec<Summed>))| {
            let point = |of: &Summed| Some(Point::new(of.length as f64, value(of)?));
            let points = lengths.iter().filter_map(point).collect();
            Series { name: rule.variant.clone(), color, shape: Shape::Line, points }
        };
        summed.iter().enumerate().map(of_rule).collect()
    };
    let chart = |title: &str, y: Axis, series: Vec<Series>| {
        let x = Axis::logarithmic("context length (tokens)");
        // A mark outside of what was measured would only stretch the axis.
        let within = |mark: &&(f64, String)| {
            let xs = || series.iter().flat_map(|series| &series.points).map(|point| point.x);
            xs().any(|x| x <= mark.0) && xs().any(|x| x >= mark.0)
        };
        let marks = marks.iter().filter(within).cloned().collect();
        Panel::Chart(Chart { title: title.to_string(), x, y, series, marks })
    };
    let mut largest = series(|of| of.largest.mean);
    let bound = series(|of| of.bound.mean).into_iter().next();
    largest.extend(bound.filter(|bound| !bound.points.is_empty()).map(|bound| Series {
        name: format!("bound of softmax, scores under {}", bound.name),
        shape: Shape::Dashes,
        ..bound
    }));
    Figure {
        name: "fade".to_string(),
        caption:
            "Means over layers, heads and trials at the answering query; the last: what a rule makes of \
                  scores that are -2 but one +3."
                .to_string(),
        panels: vec![
            chart("Largest weight of a row", Axis::linear("weight", UNIT), largest),
            chart("Mass on the needle", Axis::linear("mass", None), series(|of| of.needle.mean)),
            chart(
                "Effective number of keys",
                Axis::logarithmic("exp of the entropy, mean"),
                series(|of| of.effective.mean),
            ),
            chart("Largest weight of -2 but one +3", Axis::linear("weight", UNIT), series(|of| of.check)),
        ],
    }
}

fn notes(left_out: &BTreeSet<usize>) -> Vec<String> {
    let mut notes = vec![
        "bound of softmax: 1 / ((n - 1) e^-(z_max - z_min) + 1), the largest weight that a Softmax can give \
         with the smallest and the largest score of a row, mean over rows; scores before the rule's \
         multiplier and a soft cap."
            .to_string(),
        "effective keys: e to the power of the row's entropy.".to_string(),
    ];
    if !left_out.is_empty() {
        let listed: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "Left out: layers {}, behind whose window the number of keys stops growing.",
            listed.join(", ")
        ));
    }
    notes
}

/// How far a rule fades from the shortest length to the longest.
fn sentence(variant: &str, lengths: &[Summed]) -> Option<String> {
    let (first, last) = (lengths.first()?, lengths.last().filter(|_| lengths.len() > 1)?);
    Some(format!(
        "{variant}: from {} to {} tokens the largest weight goes from {} to {}, the needle's mass from {} to {}, \
         and the effective number of keys from {} to {}.",
        ContextLength(first.length),
        ContextLength(last.length),
        share(first.largest.mean?),
        share(last.largest.mean?),
        share(first.needle.mean?),
        share(last.needle.mean?),
        keys(first.effective.mean?),
        keys(last.effective.mean?)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reading(context_length: usize, trial: usize, layer: usize, largest: f64) -> Reading {
        Reading {
            context_length,
            trial,
            layer,
            keys_before: context_length,
            keys: if layer == 0 { 4.min(context_length) } else { context_length },
            largest,
            needle_mass: largest / 2.0,
            entropy: Some((1.0 / largest).ln()),
            scores: Some((0.0, 1.0)),
        }
    }

    fn report(readings: Vec<Reading>) -> Report {
        let rule = FadeRule {
            variant: "softmax".to_string(),
            description: "m = 1".to_string(),
            readings,
            checks: vec![(8, 0.5)],
        };
        Report::from(FadeReport {
            title: "tiny".to_string(),
            ran: json!({}),
            rules: vec![rule],
            training_length: Some(8),
        })
    }

    fn rows(report: &Report) -> Vec<Value> {
        let mut rows = Vec::new();
        report
            .data
            .table
            .each(&mut |row| {
                rows.push(Value::Object(row.clone()));
                Ok(())
            })
            .unwrap();
        rows
    }

    #[test]
    fn rows_are_summed_by_length_without_the_layers_whose_window_ends_them() {
        let readings = vec![
            reading(8, 0, 1, 0.5),
            reading(8, 1, 1, 0.25),
            reading(8, 0, 0, 1.0),
            reading(16, 0, 1, 0.125),
        ];
        let report = report(readings);
        let rows = rows(&report);
        assert_eq!(rows.len(), 2);
        let number = |row: usize, key: &str| rows[row][key].as_f64().unwrap();
        assert_eq!((number(0, "n_rows"), number(0, "n_trials")), (2.0, 2.0));
        assert_eq!((number(0, "largest_weight_mean"), number(0, "largest_weight_p50")), (0.375, 0.375));
        assert!((number(0, "effective_keys_mean") - 3.0).abs() < 1e-12);
        assert!((number(0, "softmax_bound_mean") - 1.0 / (7.0 * (-1f64).exp() + 1.0)).abs() < 1e-12);
        assert_eq!((number(0, "check_weight"), rows[1]["check_weight"].clone()), (0.5, Value::Null));
        assert_eq!(number(1, "needle_mass_mean"), 0.0625);
        assert!(rows[1]["largest_weight_ci_low"].is_null(), "one trial has no interval");
        let text = format!("{:?}", report.document.blocks);
        assert!(text.contains("layers 0, behind whose window"), "{text}");
        // Every part of a table that is too wide says which length a row is of.
        assert!(text.contains("\"softmax 8\"") && text.contains("\"softmax 16\""), "{text}");
    }

    #[test]
    fn where_every_layer_has_a_window_all_of_them_stay() {
        let report = report(vec![reading(8, 0, 0, 0.5), reading(16, 0, 0, 0.5)]);
        assert_eq!(rows(&report).len(), 2);
    }
}
