//! Two runs compared, for the terminal: where they differ, tables with their uncertainty, and the result in a sentence.

use std::cmp::Ordering;

use super::RunReport;
use super::style::Style;
use super::{table, terminal};
use crate::grid::ContextLength;
use crate::report::comparison::{Comparison, ComparisonRow, LeftOut};
use crate::report::heatmap::{Heatmap, Unit};
use crate::stats::{Interval, LARGE, Method};

/// What is drawn of two runs.
pub struct ComparisonReport {
    /// What ran as A and as B, in a line each.
    pub titles: [String; 2],
    /// What a reader should know of the cells.
    pub note: Option<String>,
    /// How they differ.
    pub comparison: Comparison,
}

/// Heatmaps of the differences, a table of accuracies and one of needle masses, and how to read them.
#[must_use]
pub fn page(report: &ComparisonReport, style: &Style) -> String {
    let ComparisonReport { titles: [a, b], note, comparison } = report;
    let accuracy = Heatmap::accuracy_difference(comparison);
    let mass = Heatmap::needle_mass_difference(comparison);
    let mut lines = [style.wrap(&format!("A  {a}")), style.wrap(&format!("B  {b}"))].concat();
    lines.extend(note.iter().flat_map(|note| style.wrap(note)));
    lines.push(String::new());
    let maps = terminal::draw_beside(&[accuracy, mass], style);
    let mut notes = style.wrap(&rules());
    notes.extend(left_out(&comparison.left_out).iter().flat_map(|text| style.wrap(text)));
    if let Some(result) = sentence(comparison, ["A", "B"]) {
        notes.push(String::new());
        notes.extend(style.wrap(&result));
    }
    let (lines, notes) = (lines.join("\n"), notes.join("\n"));
    style.page(&format!("{lines}\n{maps}\n{}\n{notes}\n", table::comparison(comparison, style)))
}

/// Accuracy and needle mass of runs beside each other, and the results in a sentence each: the first run against every other one.
/// `names` are those of the runs.
#[must_use]
pub fn side_by_side(
    runs: &[RunReport],
    names: &[&str],
    reports: &[ComparisonReport],
    style: &Style,
) -> String {
    let maps = |map: &dyn Fn(&RunReport) -> Heatmap| {
        let titled = |(run, name): (&RunReport, &&str)| {
            let map = map(run);
            Heatmap { title: format!("{name}: {}", map.title), ..map }
        };
        terminal::draw_beside(&runs.iter().zip(names).map(titled).collect::<Vec<_>>(), style)
    };
    let accuracy = maps(&|run| Heatmap::accuracy(&run.cells, run.training_length));
    let mass = maps(&|run| Heatmap::needle_mass(&run.cells, run.training_length));
    let others = reports.iter().zip(names.iter().skip(1));
    let results = others.filter_map(|(report, other)| sentence(&report.comparison, [names[0], other]));
    let results: Vec<String> = results.flat_map(|result| style.wrap(&result)).collect();
    style.page(&format!("{accuracy}\n{mass}\n{}\n", results.join("\n")))
}

/// What was found beyond the training length; `None` where that is unknown or nothing ran beyond it.
#[must_use]
pub fn sentence(comparison: &Comparison, [a, b]: [&str; 2]) -> Option<String> {
    let row = comparison.beyond.as_ref()?;
    let ComparisonRow { n, n_trials, accuracy_interval, .. } = *row;
    let percent = |value| Unit::Percent.text(value, false);
    let points = |value| Unit::Points.text(value, false);
    Some(format!(
        "Beyond the training length of {} tokens {a} answers {} and {b} {} of the same {n} prompts right: a difference \
         of {} points ({}): {}.",
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
        "Brackets: 95 % intervals over trials, since all cells of one share a haystack: {} for A and B, {} for B - A of accuracy, {} (of \
         {LARGE} trials or more the {}) for that of needle mass. Prompts of trials that are \
         all alike are worth one a trial; masses that are have no interval, nor has one trial. A only, B only: prompts \
         that one alone answers right. p: McNemar's test, two-sided, corrected for continuity, for as many independent prompts as these are \
         worth; below 0.05 where the interval of B - A does not hold 0, and not corrected for the other rows. Holm: p corrected for the number \
         of lengths.",
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
