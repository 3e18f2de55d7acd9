//! Two runs compared, and several side by side, as a report: where they differ, tables with their
//! uncertainty, and the result in a sentence.

use std::cmp::Ordering;

use serde::Serialize;

use super::comparison::{Comparison, ComparisonRow, LeftOut, Level};
use super::data::Data;
use super::document::{Block, Document, Figure, Table};
use super::heatmap::{Heatmap, Unit};
use super::run::{Ran, RunReport, Totals};
use super::{CellSummary, Report, or_missing};
use crate::grid::ContextLength;
use crate::stats::{Interval, LARGE, Method};

/// What there is to say of two runs.
pub struct ComparisonReport {
    /// What ran as A and as B.
    pub ran: [Ran; 2],
    /// What a reader should know of the cells.
    pub note: Option<String>,
    /// How they differ.
    pub comparison: Comparison,
}

/// What ran, as JSON.
#[derive(Serialize)]
struct Sides {
    a: Ran,
    b: Ran,
}

/// What ran beside each other, as JSON.
#[derive(Serialize)]
struct Runs<T> {
    runs: Vec<T>,
}

impl From<ComparisonReport> for Report {
    /// Heatmaps of the differences, a table of accuracies and one of needle masses, and how to read them.
    fn from(report: ComparisonReport) -> Self {
        let ComparisonReport { ran: [a, b], note, comparison } = report;
        let maps =
            vec![Heatmap::accuracy_difference(&comparison), Heatmap::needle_mass_difference(&comparison)];
        let mut blocks = vec![
            Block::Lines(
                [Some(format!("A  {}", a.title)), Some(format!("B  {}", b.title)), note]
                    .into_iter()
                    .flatten()
                    .collect(),
            ),
            Block::Figure(Figure::heatmaps("difference", maps)),
        ];
        blocks.extend(tables(&comparison).map(Block::Table));
        blocks.push(Block::Lines(
            [Some(rules()), left_out(&comparison.left_out)].into_iter().flatten().collect(),
        ));
        blocks.extend(sentence(&comparison, ["A", "B"]).map(Block::Paragraph));
        let title = "Two runs on the same prompts".to_string();
        let totals = comparison.all.clone();
        let data = Data::rows("comparison", comparison.rows()).of(Sides { a, b }).with_totals(totals);
        Self { document: Document { title, blocks }, data }
    }
}

/// A cell of one of several runs, as a row.
#[derive(Default, Serialize)]
struct NamedCell {
    variant: String,
    #[serde(flatten)]
    cell: CellSummary,
}

/// Accuracy and needle mass of runs beside each other, and the results in a sentence each: the first run
/// against every other one. `names` are those of the runs.
#[must_use]
pub fn side_by_side(runs: &[RunReport], names: &[&str], reports: &[ComparisonReport]) -> Report {
    let maps = |name: &str, map: &dyn Fn(&RunReport) -> Heatmap| {
        let titled = |(run, name): (&RunReport, &&str)| {
            let map = map(run);
            Heatmap { title: format!("{name}: {}", map.title), ..map }
        };
        Block::Figure(Figure::heatmaps(name, runs.iter().zip(names).map(titled).collect()))
    };
    let accuracy = maps("accuracy", &|run| Heatmap::accuracy(&run.cells, run.training_length));
    let mass = maps("needle-mass", &|run| Heatmap::needle_mass(&run.cells, run.training_length));
    let others = reports.iter().zip(names.iter().skip(1));
    let results = others.filter_map(|(report, other)| sentence(&report.comparison, [names[0], other]));
    let blocks = vec![accuracy, mass, Block::Lines(results.collect())];
    let named = |(run, name): (&RunReport, &&str)| {
        let cell = |cell: &CellSummary| NamedCell { variant: name.to_string(), cell: cell.clone() };
        run.cells.iter().map(cell).collect::<Vec<_>>()
    };
    let rows: Vec<NamedCell> = runs.iter().zip(names).flat_map(named).collect();
    let title = format!("The same prompts under {}", names.join(", "));
    let ran = Runs { runs: runs.iter().map(|run| run.ran.clone()).collect() };
    let totals =
        Runs { runs: runs.iter().map(|run| Totals::of(&run.summary, run.verdict.clone())).collect() };
    let data = Data::rows("side-by-side", rows).of(ran).with_totals(totals);
    Report { document: Document { title, blocks }, data }
}

/// What was found beyond the training length; `None` where that is unknown or nothing ran beyond it.
#[must_use]
pub fn sentence(comparison: &Comparison, [a, b]: [&str; 2]) -> Option<String> {
    let row = comparison.beyond.as_ref()?;
    let ComparisonRow { n, n_trials, accuracy_interval, .. } = *row;
    let percent = |value| Unit::Percent.text(value, false);
    let points = |value| Unit::Points.text(value, false);
    Some(format!(
        "Beyond the training length of {} tokens {a} answers {} and {b} {} of the same {n} prompts right: a \
         difference of {} points ({}): {}.",
        ContextLength(comparison.training_length?),
        percent(row.accuracy_a?),
        percent(row.accuracy_b?),
        points(row.accuracy_difference?),
        accuracy_interval.told(n_trials, "trial", points),
        found(accuracy_interval, b)
    ))
}

/// What the interval of a difference, b minus a, shows.
fn found(interval: Interval, b: &str) -> String {
    match interval.side() {
        Some(Ordering::Greater) => format!("{b} answers more"),
        Some(Ordering::Less) => format!("{b} answers fewer"),
        Some(Ordering::Equal) => "no difference shown, as the interval holds 0".to_string(),
        None => "no difference shown".to_string(),
    }
}

/// How the numbers of the tables were found.
fn rules() -> String {
    format!(
        "Brackets: 95 % intervals over trials, since all cells of one share a haystack: {} for A and B, {} \
         for B - A of accuracy, {} (of {LARGE} trials or more the {}) for that of needle mass. Prompts of \
         trials that are all alike are worth one a trial; masses that are have no interval, nor has one \
         trial. A only, B only: prompts that one alone answers right. p: McNemar's test, two-sided, \
         corrected for continuity, for as many independent prompts as these are worth; below 0.05 where the \
         interval of B - A does not hold 0, and not corrected for the other rows. Holm: p corrected for the \
         number of lengths.",
        Method::Wilson.words(),
        Method::PairedScore.words(),
        Method::Student.words(),
        Method::StudentisedBootstrap.words(),
    )
}

/// What is not among the pairs, if anything.
fn left_out(left_out: &LeftOut) -> Option<String> {
    let LeftOut { prompts, .. } = *left_out;
    let reasons = [
        (left_out.failed_in_a, "failed in A"),
        (left_out.skipped_in_a, "skipped in A"),
        (left_out.missing_from_a, "not run in A"),
        (left_out.failed_in_b, "failed in B"),
        (left_out.skipped_in_b, "skipped in B"),
        (left_out.missing_from_b, "not run in B"),
    ];
    let reasons: Vec<_> =
        reasons.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
    (prompts > 0).then(|| format!("Left out: {prompts} of the prompts ({})", reasons.join(", ")))
}

/// By length, beyond the training length, and in all: accuracies, who alone was right, and needle masses.
#[must_use]
pub fn tables(comparison: &Comparison) -> [Table; 3] {
    let rows: Vec<&ComparisonRow> =
        comparison.lengths.iter().chain(&comparison.beyond).chain([&comparison.all]).collect();
    let label = |row: &ComparisonRow| match (row.level, row.context_length, comparison.training_length) {
        (_, Some(length), _) => ContextLength(length).to_string(),
        (Level::Beyond, _, Some(trained)) => format!(">{}", ContextLength(trained)),
        _ => "all".to_string(),
    };
    let table = |header: &[&str], columns: fn(&ComparisonRow) -> Vec<String>| {
        let rows = rows.iter().map(|row| [vec![label(row)], columns(row)].concat());
        Table::new(&[&["length"], header].concat(), rows.collect())
    };
    [
        table(&["n", "accuracy A %", "accuracy B %", "B - A"], accuracy_columns),
        table(&["A only", "B only", "p", "Holm", "B is"], test_columns),
        table(&["n", "needle mass A", "needle mass B", "B - A"], mass_columns),
    ]
}

fn accuracy_columns(row: &ComparisonRow) -> Vec<String> {
    let percent = |value| Unit::Percent.text(value, true);
    let side = |share: Option<f64>, low: Option<f64>, high: Option<f64>| {
        Some(format!("{} ({}-{})", percent(share?), percent(low?), percent(high?)))
    };
    let ends = row.accuracy_difference_low.zip(row.accuracy_difference_high);
    vec![
        row.n.to_string(),
        or_missing(side(row.accuracy_a, row.ci_low_a, row.ci_high_a)),
        or_missing(side(row.accuracy_b, row.ci_low_b, row.ci_high_b)),
        or_missing(with_interval(row.accuracy_difference, ends, |value| Unit::Points.text(value, false))),
    ]
}

fn test_columns(row: &ComparisonRow) -> Vec<String> {
    // The corrected p of a row that stands alone would only repeat the other.
    let holm = row.mcnemar_p_holm.filter(|_| row.level == Level::Length);
    vec![
        row.only_a.to_string(),
        row.only_b.to_string(),
        or_missing(row.mcnemar_p.map(p_value)),
        or_missing(holm.map(p_value)),
        or_missing(row.accuracy_interval.side().map(|side| side_word(side).to_string())),
    ]
}

/// What an interval shows.
fn side_word(side: Ordering) -> &'static str {
    match side {
        Ordering::Greater => "better",
        Ordering::Less => "worse",
        Ordering::Equal => "not shown to differ",
    }
}

fn mass_columns(row: &ComparisonRow) -> Vec<String> {
    let ends = row.needle_mass_difference_low.zip(row.needle_mass_difference_high);
    vec![
        row.n_mass.to_string(),
        or_missing(row.needle_mass_a.map(|mass| format!("{mass:.3}"))),
        or_missing(row.needle_mass_b.map(|mass| format!("{mass:.3}"))),
        or_missing(with_interval(row.needle_mass_difference, ends, |value| format!("{value:+.3}"))),
    ]
}

/// The difference, and in brackets its interval if it has one.
fn with_interval(
    value: Option<f64>,
    interval: Option<(f64, f64)>,
    text: impl Fn(f64) -> String,
) -> Option<String> {
    let value = text(value?);
    Some(match interval {
        Some((low, high)) => format!("{value} ({} to {})", text(low), text(high)),
        None => value,
    })
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "<0.0001".to_string() } else { format!("{p:.4}") }
}
