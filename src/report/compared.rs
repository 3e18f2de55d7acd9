//! Two runs compared, and several side by side, as a report: where they differ, tables with their
//! uncertainty, and the result in a sentence.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::comparison::{Comparison, ComparisonRow, LeftOut, Level, Pairing};
use super::data::Data;
use super::document::{Block, Document, Figure, Table};
use super::heatmap::{Heatmap, Unit};
use super::run::{Ran, RunReport, Totals};
use super::{CellSummary, Report, or_missing};
use crate::grid::ContextLength;
use crate::stats::{Interval, LARGE, Method, holm};

/// What there is to say of two runs.
pub struct ComparisonReport {
    /// What ran as A and as B.
    pub ran: [Ran; 2],
    /// What a reader should know of the cells.
    pub note: Option<String>,
    /// How they differ.
    pub comparison: Comparison,
    /// What makes their prompts differ, where they do.
    pub form: Option<String>,
}

/// What ran beside each other, as JSON.
#[derive(Serialize)]
struct Runs<T> {
    runs: Vec<T>,
}

impl From<ComparisonReport> for Report {
    fn from(report: ComparisonReport) -> Self {
        several(&[report])
    }
}

/// The letter of the run that comes `place` behind A; behind Z its number.
#[must_use]
pub fn letter(place: usize) -> String {
    let letter = u8::try_from(place).ok().and_then(|place| b'A'.checked_add(place));
    letter
        .filter(u8::is_ascii_uppercase)
        .map_or_else(|| place.to_string(), |byte| char::from(byte).to_string())
}

/// One run, A, against each of several others: heatmaps of the differences, a table of accuracies and one of
/// needle masses each, how to read them, and the results in a sentence each. Of more than one other a table
/// of all comes first.
#[must_use]
pub fn several(reports: &[ComparisonReport]) -> Report {
    let lettered = || reports.iter().enumerate().map(|(place, report)| (letter(place + 1), report));
    let titles = reports.first().map(|report| ("A".to_string(), &report.ran[0].title)).into_iter();
    let titles: Vec<_> = titles.chain(lettered().map(|(b, report)| (b, &report.ran[1].title))).collect();
    let place = common_place(titles.iter().map(|(_, title)| title.as_str()));
    let mut lines: Vec<String> = (!place.is_empty()).then(|| format!("below {place}:")).into_iter().collect();
    lines.extend(titles.iter().map(|(run, title)| format!("{run}  {}", &title[place.len()..])));
    let mut notes: Vec<&String> = reports.iter().filter_map(|report| report.note.as_ref()).collect();
    notes.dedup();
    lines.extend(notes.into_iter().cloned());
    lines.extend(lettered().filter_map(|(b, report)| Some(unpaired(&b, report.form.as_ref()?))));
    let mut blocks = vec![Block::Lines(lines)];
    if reports.len() > 1 {
        blocks.push(Block::Wide(overview(reports)));
    }
    let maps = lettered().flat_map(|(b, report)| {
        let comparison = &report.comparison;
        let maps = [Heatmap::accuracy_difference(comparison), Heatmap::needle_mass_difference(comparison)];
        maps.map(|map| Heatmap { title: map.title.replace("B - A", &format!("{b} - A")), ..map })
    });
    blocks.push(Block::Figure(Figure::heatmaps("difference", maps.collect())));
    for (b, report) in lettered() {
        blocks.extend((reports.len() > 1).then(|| Block::Heading(format!("{b} against A"))));
        blocks.extend(tables(&report.comparison, &b).into_iter().map(Block::Table));
    }
    let pairings = || reports.iter().map(|report| report.comparison.pairing);
    let left_out = lettered().filter_map(|(b, report)| left_out(&report.comparison.left_out, &b));
    let unpaired = pairings().any(|pairing| pairing == Pairing::Unpaired).then(unpaired_rules);
    let rules = pairings().any(|pairing| pairing == Pairing::Paired).then(rules).into_iter().chain(unpaired);
    blocks.push(Block::Lines(rules.chain(left_out).collect()));
    let sentences = lettered().filter_map(|(b, report)| sentence(&report.comparison, ["A", &b]));
    blocks.extend(sentences.map(Block::Paragraph));
    let rows = lettered()
        .flat_map(|(b, report)| report.comparison.rows().into_iter().map(move |row| named(b.clone(), row)));
    let title =
        if pairings().all(|pairing| pairing == Pairing::Paired) { "on the same prompts" } else { "compared" };
    let title = format!("{} runs {title}", if reports.len() > 1 { "Several" } else { "Two" });
    // Under small letters, as names in JSON are.
    let small = |b: String| b.to_lowercase();
    let a = reports.first().map(|report| ("a".to_string(), report.ran[0].clone()));
    let ran: BTreeMap<String, Ran> =
        a.into_iter().chain(lettered().map(|(b, report)| (small(b), report.ran[1].clone()))).collect();
    let totals: BTreeMap<String, ComparisonRow> =
        lettered().map(|(b, report)| (small(b.clone()), named(b, report.comparison.all.clone()))).collect();
    let data = Data::rows("comparison", rows.collect()).of(ran).with_totals(totals);
    Report { document: Document { title, blocks }, data }
}

/// The row of the run with this letter.
fn named(run: String, row: ComparisonRow) -> ComparisonRow {
    ComparisonRow { run, ..row }
}

/// The directory that the models of all these titles, which begin with their paths, are named below, as far
/// as its last `/`; nothing where they have none in common, or one so short that it does no harm.
fn common_place<'t>(titles: impl Iterator<Item = &'t str>) -> &'t str {
    const SHORT: usize = 20;
    // A model's name ends where its rule begins.
    let mut models = titles.map(|title| title.split(", ").next().unwrap_or_default());
    let first = models.next().unwrap_or_default();
    let alike = models.fold(first, |common, model| {
        let alike = common.char_indices().zip(model.chars()).find(|((_, a), b)| a != b);
        &common[..alike.map_or(common.len().min(model.len()), |((at, _), _)| at)]
    });
    let place = alike.rfind('/').map_or("", |last| &alike[..=last]);
    if place.len() > SHORT { place } else { "" }
}

/// That prompts do not pair, and why.
fn unpaired(b: &str, form: &str) -> String {
    format!("{b} is compared unpaired: {form}")
}

/// All pairs of A with each of the others.
fn overview(reports: &[ComparisonReport]) -> Table {
    let tested = || reports.iter().map(|report| report.comparison.all.mcnemar_p);
    let mut corrected = holm(&tested().flatten().collect::<Vec<_>>()).into_iter();
    let corrected: Vec<Option<f64>> = tested().map(|p| p.and_then(|_| corrected.next())).collect();
    // What A has of each pair, which is mostly the same and then said once.
    let mut of_a: Vec<String> =
        reports.iter().map(|report| accuracy_columns(&report.comparison.all)[OF_A].clone()).collect();
    of_a.dedup();
    let row = |(place, report): (usize, &ComparisonReport)| {
        let (comparison, all) = (&report.comparison, &report.comparison.all);
        let prompts = match comparison.pairing {
            Pairing::Paired => "same",
            Pairing::Unpaired => "unpaired",
        };
        let mut accuracy = accuracy_columns(all);
        if of_a.len() == 1 {
            accuracy.remove(OF_A);
        }
        let mut row = vec![letter(place + 1), prompts.to_string()];
        row.extend(accuracy);
        row.push(or_missing(corrected[place].map(p_value)));
        row.push(side_column(all));
        row
    };
    let mut header =
        vec!["run", "prompts", "n", "trials", "accuracy A %", "accuracy %", "less A", "Holm", "it is"];
    let mut caption = "All that A and each of the others have run".to_string();
    if let [of_a] = &of_a[..] {
        header.retain(|name| *name != "accuracy A %");
        caption += &format!("; accuracy of A: {of_a} %");
    }
    let rows = reports.iter().enumerate().map(row).collect();
    Table::new(&header, rows).captioned(&format!("{caption}; Holm: p corrected for their number"))
}

/// Which of [`accuracy_columns`] is A's accuracy.
const OF_A: usize = 2;

/// A cell of one of several runs, as a row.
#[derive(Default, Serialize)]
struct NamedCell {
    task: String,
    variant: String,
    #[serde(flatten)]
    cell: CellSummary,
}

/// Runs of one task beside each other.
pub struct SideBySide {
    /// What is asked.
    pub title: String,
    /// The task of the runs.
    pub task: String,
    /// Every run with its name.
    pub runs: Vec<(String, RunReport)>,
    /// Which of them are compared, by their names.
    pub pairs: Vec<([String; 2], ComparisonReport)>,
}

/// Accuracy and needle mass of the runs of each task beside each other, and what every comparison of them
/// finds in a sentence.
#[must_use]
pub fn side_by_side(parts: Vec<SideBySide>) -> Report {
    let (mut blocks, mut rows) = (Vec::new(), Vec::new());
    let (mut ran, mut totals) = (Vec::new(), Vec::new());
    for part in parts {
        let maps = |name: &str, map: &dyn Fn(&RunReport) -> Heatmap| {
            let titled = |(name, run): &(String, RunReport)| {
                let map = map(run);
                Heatmap { title: format!("{name}: {}", map.title), ..map }
            };
            Block::Figure(Figure::heatmaps(name, part.runs.iter().map(titled).collect()))
        };
        blocks.push(Block::Heading(part.title.clone()));
        blocks.push(maps("accuracy", &|run| Heatmap::accuracy(&run.cells, run.training_length)));
        blocks.push(maps("needle-mass", &|run| Heatmap::needle_mass(&run.cells, run.training_length)));
        let results = part.pairs.iter().flat_map(|([a, b], report)| {
            let names = [a.as_str(), b.as_str()];
            let mut compared = part.runs.iter().filter(|(name, _)| names.contains(&name.as_str()));
            // Masses of rows that need not sum to 1 are no shares of anything.
            let shares = compared.all(|(_, run)| run.summary.overall.total_mass_mean.is_none());
            let of_mass = of_mass(&report.comparison, names).filter(|_| shares);
            sentence(&report.comparison, names).into_iter().chain(of_mass)
        });
        blocks.push(Block::Lines(results.collect()));
        ran.extend(part.runs.iter().map(|(_, run)| run.ran.clone()));
        totals.extend(part.runs.iter().map(|(_, run)| Totals::of(&run.summary, run.verdict.clone())));
        rows.extend(part.runs.iter().flat_map(|(variant, run)| {
            run.cells.iter().map(|cell| NamedCell {
                task: part.task.clone(),
                variant: variant.clone(),
                cell: cell.clone(),
            })
        }));
    }
    let title = "The same prompts under several rules of attention".to_string();
    let data = Data::rows("side-by-side", rows).of(Runs { runs: ran }).with_totals(Runs { runs: totals });
    Report { document: Document { title, blocks }, data }
}

/// What was found beyond the training length; `None` where that is unknown or nothing ran beyond it.
#[must_use]
pub fn sentence(comparison: &Comparison, [a, b]: [&str; 2]) -> Option<String> {
    let row = comparison.beyond.as_ref()?;
    let ComparisonRow { n, n_b, n_trials, n_trials_b, accuracy_interval, .. } = *row;
    let percent = |value| Unit::Percent.text(value, false);
    let points = |value| Unit::Points.text(value, false);
    let trained = ContextLength(comparison.training_length?);
    let (of_a, of_b) = (percent(row.accuracy_a?), percent(row.accuracy_b?));
    let answers = match comparison.pairing {
        Pairing::Paired => format!("{a} answers {of_a} and {b} {of_b} of the same {n} prompts right"),
        Pairing::Unpaired => {
            format!("{a} answers {of_a} of {n} prompts right and {b} {of_b} of {n_b} others, unpaired")
        }
    };
    Some(format!(
        "Beyond the training length of {trained} tokens {answers}: a difference of {} points ({}): {}.",
        points(row.accuracy_difference?),
        accuracy_interval.told(n_trials.min(n_trials_b), "trial", points),
        found(accuracy_interval, b, ["answers more", "answers fewer"])
    ))
}

/// The share of its attention that the head which looks most at the needles gives to them there.
fn of_mass(comparison: &Comparison, [a, b]: [&str; 2]) -> Option<String> {
    let row = comparison.beyond.as_ref()?;
    let interval = row.needle_mass_interval;
    Some(format!(
        "There the needle has {:.3} of the attention of its top head with {a} and {:.3} with {b}: {:+.3} \
         ({}): {}.",
        row.needle_mass_a?,
        row.needle_mass_b?,
        row.needle_mass_difference?,
        interval.told(row.n_trials, "trial", |value| format!("{value:+.3}")),
        found(interval, b, ["looks more", "looks less"])
    ))
}

/// What the interval of a difference, b minus a, shows: that b does `more` or `less`, or nothing.
fn found(interval: Interval, b: &str, [more, less]: [&str; 2]) -> String {
    match interval.side() {
        Some(Ordering::Greater) => format!("{b} {more}"),
        Some(Ordering::Less) => format!("{b} {less}"),
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

/// How the numbers of what does not pair were found.
fn unpaired_rules() -> String {
    format!(
        "Unpaired: where the prompts of two runs differ, only their shares are compared, with {} interval of \
         the difference of two independent shares, each with that of its own trials. There is no test of \
         pairs, and no interval of a difference of needle masses.",
        Method::Newcombe.words()
    )
}

/// What is not in the comparison of A with `b`, if anything.
fn left_out(left_out: &LeftOut, b: &str) -> Option<String> {
    let LeftOut { prompts, .. } = *left_out;
    let reasons = [
        (left_out.failed_in_a, "failed in", "A"),
        (left_out.skipped_in_a, "skipped in", "A"),
        (left_out.missing_from_a, "not run in", "A"),
        (left_out.failed_in_b, "failed in", b),
        (left_out.skipped_in_b, "skipped in", b),
        (left_out.missing_from_b, "not run in", b),
    ];
    let reasons = reasons.iter().filter(|(count, ..)| *count > 0);
    let reasons: Vec<_> = reasons.map(|(count, why, run)| format!("{count} {why} {run}")).collect();
    (prompts > 0).then(|| format!("Left out: {prompts} of the prompts ({})", reasons.join(", ")))
}

/// By length, beyond the training length, and in all: accuracies, who alone was right, and needle masses. `b`
/// is the letter of the run that is held against A.
#[must_use]
pub fn tables(comparison: &Comparison, b: &str) -> Vec<Table> {
    let rows: Vec<&ComparisonRow> =
        comparison.lengths.iter().chain(&comparison.beyond).chain([&comparison.all]).collect();
    let label = |row: &ComparisonRow| match (row.level, row.context_length, comparison.training_length) {
        (_, Some(length), _) => ContextLength(length).to_string(),
        (Level::Beyond, _, Some(trained)) => format!(">{}", ContextLength(trained)),
        _ => "all".to_string(),
    };
    let table = |header: &[&str], columns: fn(&ComparisonRow) -> Vec<String>| {
        let rows = rows.iter().map(|row| [vec![label(row)], columns(row)].concat());
        let header: Vec<String> = header.iter().map(|name| name.replace('B', b)).collect();
        Table {
            caption: String::new(),
            header: [vec!["length".to_string()], header].concat(),
            rows: rows.collect(),
        }
    };
    let tests = match comparison.pairing {
        Pairing::Paired => table(&["A only", "B only", "p", "Holm", "B is"], test_columns),
        Pairing::Unpaired => table(&["B is"], |row| vec![side_column(row)]),
    };
    vec![
        table(&["n", "trials", "accuracy A %", "accuracy B %", "B - A"], accuracy_columns),
        tests,
        table(&["n", "needle mass A", "needle mass B", "B - A"], mass_columns),
    ]
}

fn accuracy_columns(row: &ComparisonRow) -> Vec<String> {
    let percent = |value| Unit::Percent.text(value, true);
    let side = |share: Option<f64>, low: Option<f64>, high: Option<f64>| {
        Some(format!("{} ({}-{})", percent(share?), percent(low?), percent(high?)))
    };
    let ends = row.accuracy_difference_low.zip(row.accuracy_difference_high);
    let both = |a: usize, b: usize| if a == b { a.to_string() } else { format!("{a}, {b}") };
    vec![
        both(row.n, row.n_b),
        both(row.n_trials, row.n_trials_b),
        or_missing(side(row.accuracy_a, row.ci_low_a, row.ci_high_a)),
        or_missing(side(row.accuracy_b, row.ci_low_b, row.ci_high_b)),
        or_missing(with_interval(row.accuracy_difference, ends, |value| Unit::Points.text(value, false))),
    ]
}

fn test_columns(row: &ComparisonRow) -> Vec<String> {
    // The corrected p of a row that stands alone would only repeat the other.
    let holm = row.mcnemar_p_holm.filter(|_| row.level == Level::Length);
    vec![
        or_missing(row.only_a.map(|only| only.to_string())),
        or_missing(row.only_b.map(|only| only.to_string())),
        or_missing(row.mcnemar_p.map(p_value)),
        or_missing(holm.map(p_value)),
        side_column(row),
    ]
}

fn side_column(row: &ComparisonRow) -> String {
    or_missing(row.accuracy_interval.side().map(|side| side_word(side).to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_one_place_are_named_below_it_once() {
        let place = |titles: &[&str]| common_place(titles.iter().copied()).to_string();
        let long = "/somewhere/far/away/models/";
        let of = |rest: &str| format!("{long}{rest}");
        assert_eq!(place(&[&of("a.gguf, softmax (m = 1)"), &of("a.gguf, entmax15 (z / 2)")]), long);
        assert_eq!(place(&[&of("a/b, softmax"), &of("ac, softmax")]), long);
        assert_eq!(place(&[&of("a, softmax"), "tiny, softmax"]), "");
        assert_eq!(place(&["models/a, softmax", "models/b, softmax"]), "", "too short to do harm");
        assert_eq!(place(&["tiny, x (a / b)", "tiny, x (a / b)"]), "", "a rule is no place");
        assert_eq!(place(&[]), "");
    }
}
