//! Small tables of text: the run by length, and the heads that looked at the needle.

use std::cmp::Ordering;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::inspection::bytes;
use super::style::{Charset, Style};
use crate::grid::ContextLength;
use crate::plan::LengthMemory;
use crate::report::comparison::{Comparison, ComparisonRow, Level};
use crate::report::heatmap::Unit;
use crate::report::loss::BucketLoss;
use crate::report::speed::{LengthSpeed, Spread};
use crate::report::{Summary, Tally};
use crate::stats::{Interval, Withheld};
use crate::trial::AttentionRow;

/// The run by length, all of it in the last line, and what became of the needles.
#[must_use]
pub fn summary(summary: &Summary, style: &Style) -> String {
    let absolute = summary.overall.total_mass_mean.is_some();
    let skipped = summary.overall.n_skipped > 0;
    let row = |label: String, tally: &Tally| {
        let mut row = tally_row(label, tally);
        if absolute {
            let pair = [
                tally.total_mass_mean.map(|mass| format!("{mass:.3}")),
                tally.needle_share_mean.map(|share| Unit::Percent.text(share, false)),
            ];
            row.splice(MASS_COLUMN + 1..MASS_COLUMN + 1, pair.map(or_missing));
        }
        row.extend(skipped.then(|| tally.n_skipped.to_string()));
        row
    };
    let lengths =
        summary.by_length.iter().map(|(length, tally)| row(ContextLength(*length).to_string(), tally));
    let rows = lengths.chain([row("all".to_string(), &summary.overall)]).collect();
    let mut header = vec!["length", "n", "correct", "accuracy", "95% CI", "needle mass", "failed"];
    if absolute {
        header.splice(MASS_COLUMN + 1..MASS_COLUMN + 1, ["of total mass", "share"]);
    }
    header.extend(skipped.then_some("skipped"));
    let Summary { found, looked, missed, wrong, .. } = summary;
    let mut lines = vec![table(&header, rows, style)];
    lines.extend(intervals(summary).iter().flat_map(|note| style.wrap(note)));
    lines.push(String::new());
    let wrong = if *wrong > 0 { format!(", wrong {wrong}") } else { String::new() };
    lines.extend(style.wrap(&format!("found {found}, looked {looked}, missed {missed}{wrong}")));
    lines.extend(summary.rule().iter().flat_map(|rule| style.wrap(rule)));
    lines.join("\n") + "\n"
}

/// How the intervals were found, and why one is missing.
fn intervals(summary: &Summary) -> Vec<String> {
    let all = || summary.by_length.iter().map(|(_, tally)| tally.interval).chain([summary.overall.interval]);
    let given = all().any(|interval| interval.ends().is_some());
    let one = all().any(|interval| interval == Interval::Withheld(Withheld::OneGroup));
    let given = given.then(|| {
        "95% CI: Wilson's, for as many independent prompts as those of a row are worth: the prompts of a trial share a haystack"
            .to_string()
    });
    let one = one.then(|| {
        "No interval of prompts of one trial: they share a haystack; take more with --trials".to_string()
    });
    given.into_iter().chain(one).collect()
}

/// The column of needle mass. Behind it stand the total mass and the share where rows need not sum to 1.
const MASS_COLUMN: usize = 5;

fn tally_row(label: String, tally: &Tally) -> Vec<String> {
    let percent = |value| Unit::Percent.text(value, false);
    let interval = tally.interval.ends();
    vec![
        label,
        tally.n.to_string(),
        tally.n_correct.to_string(),
        or_missing(tally.accuracy.map(percent)),
        or_missing(
            interval.map(|(low, high)| format!("{}-{}", Unit::Percent.text(low, true), percent(high))),
        ),
        or_missing(tally.needle_mass_top_mean.map(|mass| format!("{mass:.3}"))),
        tally.n_error.to_string(),
    ]
}

/// Two runs by length, beyond the training length, and in all: accuracies, who alone was right, and needle masses.
#[must_use]
pub fn comparison(comparison: &Comparison, style: &Style) -> String {
    let rows: Vec<&ComparisonRow> =
        comparison.lengths.iter().chain(&comparison.beyond).chain([&comparison.all]).collect();
    let label = |row: &ComparisonRow| match (row.level, row.context_length, comparison.training_length) {
        (_, Some(length), _) => ContextLength(length).to_string(),
        (Level::Beyond, _, Some(trained)) => format!(">{}", ContextLength(trained)),
        _ => "all".to_string(),
    };
    let drawn = |header: &[&str], columns: fn(&ComparisonRow) -> Vec<String>| {
        let rows = rows.iter().map(|row| [vec![label(row)], columns(row)].concat());
        table(&[&["length"], header].concat(), rows.collect(), style)
    };
    let accuracies = drawn(&["n", "accuracy A %", "accuracy B %", "B - A"], accuracy_columns);
    let tests = drawn(&["A only", "B only", "p", "Holm", "B is"], test_columns);
    let masses = drawn(&["n", "needle mass A", "needle mass B", "B - A"], mass_columns);
    format!("{accuracies}\n\n{tests}\n\n{masses}\n")
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
        or_missing(row.accuracy_interval.side().map(|side| found(side).to_string())),
    ]
}

/// What an interval shows.
fn found(side: Ordering) -> &'static str {
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

/// The `top` heads by needle mass, `layer.head`, at the query that predicts the first answer token; ties in the order
/// of layers and heads. `values`: the needles have one that is known; without it there is no column of its mass.
#[must_use]
pub fn heads(attention: &[AttentionRow], top: usize, values: bool, style: &Style) -> String {
    let mut sorted: Vec<&AttentionRow> = attention.iter().collect();
    sorted.sort_by(|a, b| {
        b.needle_mass.total_cmp(&a.needle_mass).then_with(|| (a.layer, a.head).cmp(&(b.layer, b.head)))
    });
    let absolute = attention.iter().any(|row| row.passed_keys.is_some());
    let shown = sorted.iter().take(top);
    let rows = shown.map(|row| if absolute { screened_head(row) } else { normalised_head(row) });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let mut header = match absolute {
        true => ["head", "needle", "total", "share", "value", "lift", "passed", "window", "zeros", "arg-max"]
            .to_vec(),
        false => ["head", "needle", "value", "total", "sink", "lift", "entropy", "arg-max"].to_vec(),
    };
    if let Some(column) = header.iter().position(|name| *name == "value").filter(|_| !values) {
        header.remove(column);
        rows.iter_mut().for_each(|row| drop(row.remove(column)));
    }
    table(&header, rows, style) + "\n"
}

/// A head whose rows sum to 1.
fn normalised_head(row: &AttentionRow) -> Vec<String> {
    vec![
        format!("{}.{}", row.layer, row.head),
        format!("{:.4}", row.needle_mass),
        format!("{:.4}", row.value_mass),
        format!("{:.4}", row.total_mass),
        format!("{:.4}", row.sink_mass),
        or_missing(row.lift.map(|lift| format!("{lift:.1}"))),
        or_missing(row.entropy.map(|entropy| format!("{entropy:.2}"))),
        row.argmax_position.to_string(),
    ]
}

/// A tile: its needle mass is a part of a total that may be anything, 0 included.
fn screened_head(row: &AttentionRow) -> Vec<String> {
    let percent = |share: f64| format!("{:.1}%", 100.0 * share);
    let any = row.total_mass > 0.0;
    vec![
        format!("{}.{}", row.layer, row.head),
        format!("{:.4}", row.needle_mass),
        format!("{:.4}", row.total_mass),
        or_missing(any.then(|| percent(row.needle_mass / row.total_mass))),
        format!("{:.4}", row.value_mass),
        or_missing(row.lift.map(|lift| format!("{lift:.1}"))),
        or_missing(row.passed_keys.map(|keys| keys.to_string())),
        or_missing(row.effective_window.map(|keys| keys.to_string())),
        or_missing(row.zero_share.map(percent)),
        or_missing(any.then(|| row.argmax_position.to_string())),
    ]
}

/// Memory of a run, one row a length.
#[must_use]
pub fn memory(lengths: &[LengthMemory], style: &Style) -> String {
    let row = |memory: &LengthMemory| {
        let LengthMemory { weights, copies, cache, working, loading, total, .. } = *memory;
        let sizes = [weights, copies, cache, working, loading, total];
        let fits = if memory.fits { "yes" } else { "no" };
        let sizes = sizes.iter().map(|&size| bytes(size as f64));
        [ContextLength(memory.context_length).to_string()]
            .into_iter()
            .chain(sizes)
            .chain([fits.to_string()])
            .collect()
    };
    let header = ["length", "weights", "copies", "cache", "working set", "loading", "total", "fits"];
    table(&header, lengths.iter().map(row).collect(), style) + "\n"
}

/// Speeds by length: medians, with the range where there is one.
#[must_use]
pub fn speeds(lengths: &[LengthSpeed], style: &Style) -> String {
    let number = |x: f64| if x < 10.0 { format!("{x:.1}") } else { format!("{x:.0}") };
    let percent = |x: f64| format!("{:.0}", 100.0 * x);
    let row = |speed: &LengthSpeed| {
        vec![
            ContextLength(speed.context_length).to_string(),
            spread(speed.prefill_tokens_per_second, number, ""),
            spread(speed.decode_tokens_per_second, number, ""),
            spread(speed.attention_share, percent, "%"),
            spread(speed.gemm_peak_share, percent, "%"),
            or_missing(speed.peak_memory_mib.map(|mib| format!("{mib:.0} MiB"))),
        ]
    };
    let header = ["length", "prefill tok/s", "decode tok/s", "attention", "GEMM", "peak memory"];
    table(&header, lengths.iter().map(row).collect(), style) + "\n"
}

/// Losses by position with bars from 0 up; a line of its own stands where the training length ends.
#[must_use]
pub fn losses(buckets: &[BucketLoss], training_length: Option<usize>, style: &Style) -> String {
    let largest = buckets.iter().filter_map(|bucket| bucket.loss_mean).fold(0.0, f64::max);
    let mut rows = Vec::new();
    let mut trained = training_length.filter(|&length| length > 0);
    for bucket in buckets {
        if let Some(length) = trained.filter(|&length| bucket.position_end > length) {
            rows.push(vec![format!("trained to {length}")]);
            trained = None;
        }
        let positions = match (bucket.position_start, bucket.position_end) {
            (start, end) if start == end => end.to_string(),
            (start, end) => format!("{start}-{end}"),
        };
        let interval = bucket.loss_ci_low.zip(bucket.loss_ci_high);
        rows.push(vec![
            positions,
            bucket.n_tokens.to_string(),
            or_missing(bucket.loss_mean.map(|loss| format!("{loss:.3}"))),
            or_missing(interval.map(|(low, high)| format!("{low:.3} to {high:.3}"))),
            bar(bucket.loss_mean.map_or(0.0, |loss| loss / largest), style),
        ]);
    }
    table(&["position", "tokens", "loss", "95% CI", ""], rows, style) + "\n"
}

/// A bar for a share of the whole, in eighths of a character where there are any.
fn bar(share: f64, style: &Style) -> String {
    const WIDTH: f64 = 24.0;
    let eighths = (share.clamp(0.0, 1.0) * WIDTH * 8.0).round() as usize;
    let (whole, rest) = (eighths / 8, eighths % 8);
    let bar = match style.charset {
        Charset::Unicode => "█".repeat(whole) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][rest],
        Charset::Ascii => "#".repeat(whole + usize::from(rest >= 4)),
    };
    format!("{bar:<24}")
}

/// The median, and in brackets the range when it can be seen at this precision.
fn spread(spread: Option<Spread>, text: impl Fn(f64) -> String, unit: &str) -> String {
    let Some(spread) = spread else { return or_missing(None) };
    let [median, min, max] = [spread.median, spread.min, spread.max].map(text);
    if min == max { median + unit } else { format!("{median}{unit} ({min}-{max})") }
}

fn or_missing(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_string())
}

/// Rows of a table that are drawn, at most: more are for a program to read.
const MOST_ROWS: usize = 1000;

/// A header, a line, and rows of numbers, right-aligned.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>, style: &Style) -> String {
    let line = style.pick('─', '-');
    let clean = |cells: Vec<String>| -> Vec<String> { cells.iter().map(|cell| style.clean(cell)).collect() };
    let header = clean(header.iter().map(ToString::to_string).collect());
    let left_out = rows.len().saturating_sub(MOST_ROWS);
    let rows = rows.into_iter().take(MOST_ROWS).map(clean);
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill(line).junction(line)))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(style.columns()).unwrap_or(u16::MAX))
        .set_header(header)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    match left_out {
        0 => table.trim_fmt(),
        _ => format!("{}\n{left_out} more rows are left out", table.trim_fmt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{failed, outcome};
    use crate::trial::{Outcome, Status};

    #[test]
    fn the_summary_says_what_is_known_and_no_more() {
        let outcomes = [
            outcome(1024, 0.0, 0, true, Some(0.5)),
            outcome(1024, 50.0, 0, false, Some(0.25)),
            failed(2048, 0.0, 0),
        ];
        assert_eq!(
            summary(&Summary::of(&outcomes), &Style::plain(80)),
            " length   n   correct   accuracy   95% CI   needle mass   failed
-----------------------------------------------------------------
     1k   2         1        50%        -         0.375        0
     2k   0         0          -        -             -        1
    all   2         1        50%        -         0.375        1
No interval of prompts of one trial: they share a haystack; take more with
--trials

found 1, looked 1, missed 0
looked = wrong answer, but the largest mass that a head has on the needle
exceeds the largest on each of 19 other spans of its length in the same haystack
(of N spans chance does that once in N + 1); missed = wrong answer, and it does
not
"
        );
        let skipped = Outcome { status: Status::Skipped, ..failed(1024, 0.0, 1) };
        let drawn = summary(&Summary::of(&[outcome(1024, 0.0, 0, true, None), skipped]), &Style::plain(80));
        let header = drawn.lines().next().unwrap();
        assert!(header.ends_with("failed   skipped"), "{drawn}");
        assert!(drawn.lines().nth(2).unwrap().ends_with("0         1"), "{drawn}");
    }

    #[test]
    fn a_comparison_says_who_was_right_alone_and_how_sure_that_is() {
        let run = |right_beyond: bool, mass: f64| -> Vec<_> {
            let cell = |length| (0..8).map(move |trial| (length, trial));
            let rows = cell(1024).chain(cell(4096));
            rows.map(|(length, trial)| {
                outcome(length, 0.0, trial, length == 1024 || right_beyond, Some(mass))
            })
            .collect()
        };
        let (a, mut b) = (run(false, 0.25), run(true, 0.75));
        b[0] = failed(1024, 0.0, 0);
        // Trials are the unit: the seven and the eight that never differ are worth as many prompts.
        let compared = Comparison::of(&a, &b, &[], Some(2048)).unwrap();
        assert_eq!(
            comparison(&compared, &Style::plain(80)),
            " length    n   accuracy A %   accuracy B %                B - A
----------------------------------------------------------------
     1k    7   100 (65-100)   100 (65-100)       0 (-51 to +51)
     4k    8       0 (0-32)   100 (68-100)   +100 (+20 to +100)
    >2k    8       0 (0-32)   100 (68-100)   +100 (+20 to +100)
    all   15     47 (25-70)   100 (67-100)     +53 (+12 to +80)

 length   A only   B only        p     Holm                  B is
------------------------------------------------------------------
     1k        0        0   1.0000   1.0000   not shown to differ
     4k        0        8   0.0133   0.0267                better
    >2k        0        8   0.0133        -                better
    all        0        8   0.0133        -                better

 length    n   needle mass A   needle mass B    B - A
------------------------------------------------------
     1k    7           0.250           0.750   +0.500
     4k    8           0.250           0.750   +0.500
    >2k    8           0.250           0.750   +0.500
    all   15           0.250           0.750   +0.500
"
        );
    }

    #[test]
    fn heads_are_sorted_by_needle_mass() {
        let row = |layer, head, needle_mass| AttentionRow {
            run_id: "run".into(),
            row_id: "1024:50:0".into(),
            layer,
            head,
            needle_mass,
            value_mass: needle_mass / 2.0,
            total_mass: 1.0,
            sink_mass: 0.125,
            lift: (head == 0).then_some(12.5),
            entropy: None,
            argmax_position: 77,
            answer_needle_mass: 0.0,
            answer_value_mass: 0.0,
            answer_total_mass: 1.0,
            answer_sink_mass: 0.0,
            passed_keys: None,
            passed_share: None,
            zero_share: None,
            effective_window: None,
        };
        let rows = [row(0, 1, 0.25), row(3, 0, 0.5), row(0, 0, 0.25), row(1, 1, 0.0)];
        assert_eq!(
            heads(&rows, 3, true, &Style::plain(80)),
            " head   needle    value    total     sink   lift   entropy   arg-max
---------------------------------------------------------------------
  3.0   0.5000   0.2500   1.0000   0.1250   12.5         -        77
  0.0   0.2500   0.1250   1.0000   0.1250   12.5         -        77
  0.1   0.2500   0.1250   1.0000   0.1250      -         -        77
"
        );
        let bare = heads(&rows, 3, false, &Style::plain(80));
        assert!(bare.starts_with(" head   needle    total     sink"), "{bare}");
        assert!(bare.contains("\n  3.0   0.5000   1.0000   0.1250   12.5 "), "{bare}");
    }
}
