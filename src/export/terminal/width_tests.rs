//! Every report at every width from 40 columns on: no line is wider, and no number is broken.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::export::style::visible;
use crate::grid::{Cell, ContextLength, Depth};
use crate::plan::{Inspection, ModelChoice, Settings};
use crate::report::attention::PromptReport;
use crate::report::compared::{ComparisonReport, SideBySide, side_by_side};
use crate::report::comparison::Comparison;
use crate::report::document::{Part, ShadedToken};
use crate::report::heads::HeadTally;
use crate::report::loss::{BucketLoss, LossReport};
use crate::report::run::{Ran, RunReport, Totals, cell, ranking, trials};
use crate::report::speed::{LengthSpeed, SpeedReport, Spread};
use crate::report::tests::outcome;
use crate::report::verdict::Verdict;
use crate::report::{Summary, cells, heads};
use crate::span::SpanKind;
use crate::stats::LengthRule;
use crate::trial::{AttentionRow, Outcome, Status};

fn ran() -> Ran {
    Ran {
        title: "models/SmolLM2-135M-Instruct.Q4_1.gguf, ssmax (s = 0.1906 from train length 512), task magic"
            .into(),
        run_id: "01234567".into(),
        config_hash: "0123456789abcdef".into(),
        niah: "0.1.0".into(),
        started_utc: "2026-01-02T03:04:05Z".into(),
        variant: "ssmax".into(),
        variant_description: "s = 0.1906".into(),
        training_length: Some(4096),
        planned_trials: 160,
        settings: Settings::default(),
    }
}

/// Rows of eight lengths and five depths under screening, some of them failed or left out.
fn outcomes() -> Vec<Outcome> {
    let lengths = (0..8).map(|power| 512 << power);
    let places = lengths.flat_map(|length| [0.0, 12.5, 50.0, 87.5, 100.0].map(|depth| (length, depth)));
    let trials = places.flat_map(|(length, depth)| (0..4).map(move |trial| (length, depth, trial)));
    let row = |(number, (length, depth, trial)): (usize, (usize, f64, usize))| Outcome {
        total_mass_top: Some(1234.5678 + number as f64),
        model_response: Some(
            "The number that was asked for is 1234567, as the text says in its middle.".into(),
        ),
        status: [Status::Ok, Status::Ok, Status::Skipped, Status::Error]
            [usize::from(number.is_multiple_of(7)) * (number % 4)],
        ..outcome(length, depth, trial, number % 3 > 0, Some(0.123 * (number % 8) as f64))
    };
    trials.enumerate().map(row).collect()
}

fn attention() -> Vec<AttentionRow> {
    let row = |number: usize| AttentionRow {
        row_id: format!("512:50:{}", number / 64),
        layer: number % 64 / 8,
        head: number % 8,
        needle_mass: 0.0123 * (number % 61) as f64,
        value_mass: 0.5,
        total_mass: 1234.5678,
        sink_mass: 0.25,
        lift: Some(1234.5),
        entropy: Some(12.34),
        argmax_position: 104_857 + number,
        passed_keys: Some(1_048_576),
        effective_window: Some(1_048_576),
        output_gate: None,
        gated_needle_mass: None,
        zero_share: Some(0.999),
        ..AttentionRow::default()
    };
    (0..128).map(row).collect()
}

fn run() -> RunReport {
    RunReport {
        ran: ran(),
        notes: vec!["140 of 160 trials have run".into()],
        cells: cells(&outcomes(), &[]),
        summary: Summary::of(&outcomes()),
        training_length: Some(4096),
        verdict: Verdict::of(&outcomes(), LengthRule::default()),
    }
}

fn comparison() -> ComparisonReport {
    let b: Vec<Outcome> =
        outcomes().into_iter().map(|row| Outcome { correct: Some(row.trial != 1), ..row }).collect();
    let comparison = Comparison::of(&outcomes(), &b, &[], Some(4096)).unwrap();
    ComparisonReport { ran: [ran(), ran()], note: None, comparison, form: None }
}

fn documents() -> Vec<Document> {
    let place = Cell { context_length: ContextLength(512), depth: Depth::from_percent(50.0).unwrap() };
    let mut tally = HeadTally::default();
    attention().iter().for_each(|row| tally.add((), row));
    let bucket = |power: usize| BucketLoss {
        position_start: (1 << power) + 1,
        position_end: 2 << power,
        n_tokens: 16 << power,
        n_texts: 16,
        loss_mean: Some(12.345),
        loss_ci_low: Some(12.123),
        loss_ci_high: Some(12.567),
    };
    let spread = Some(Spread { median: 1234.5, min: 1200.0, max: 1300.0 });
    let speed = |power: usize| LengthSpeed {
        context_length: 512 << power,
        prefill_tokens_per_second: spread,
        decode_tokens_per_second: spread,
        attention_share: Some(Spread { median: 0.5, min: 0.4, max: 0.6 }),
        gemm_peak_share: Some(Spread { median: 0.85, min: 0.8, max: 0.9 }),
        gemm_rate: spread,
        roof_share: Some(Spread { median: 0.75, min: 0.7, max: 0.8 }),
        bandwidth_share: Some(Spread { median: 0.65, min: 0.6, max: 0.7 }),
        copy_rate: spread,
        peak_memory_mib: Some(123_456.0),
    };
    let token = |number: usize| ShadedToken {
        text: format!(" word{number}"),
        mass: 0.001 * number as f64,
        part: (number > 90).then_some(Part { kind: SpanKind::Target, span: 0 }),
        in_value: number > 95,
    };
    let prompt = PromptReport {
        lines: vec!["what ran".into()],
        ran: Value::Null,
        tokens: (0..100).map(token).collect(),
        heads: attention(),
        top: 10,
    };
    let inspected = |name: &str| {
        let lengths = [1024, 1 << 20].map(ContextLength);
        Report::from(Inspection::of(&ModelChoice::of(name), &lengths).unwrap())
    };
    let reports = [
        Report::from(run()),
        cell(ran(), place, heads(place, &attention())),
        ranking(ran(), "the whole grid", tally.sums().ranked(|()| true)),
        trials(ran(), outcomes(), Totals::of(&Summary::of(&outcomes()), None)),
        Report::from(comparison()),
        side_by_side(vec![SideBySide {
            title: "Needles".to_string(),
            task: "magic".to_string(),
            runs: ["softmax", "ssmax"].map(|name| (name.to_string(), run())).into(),
            pairs: vec![(["softmax", "ssmax"].map(String::from), comparison())],
        }]),
        Report::from(LossReport {
            title: "what ran".into(),
            ran: Value::Null,
            buckets: (0..20).map(bucket).collect(),
            training_length: Some(4096),
            notes: vec![],
        }),
        Report::from(SpeedReport {
            title: "what ran".into(),
            ran: Value::Null,
            lengths: (0..6).map(speed).collect(),
            notes: vec![],
        }),
        Report::from(prompt),
        inspected("shipped:ssmax"),
        inspected("shipped:multiscreen"),
    ];
    reports.map(|report| report.document).into()
}

/// The tables of blocks, each as a block of its own.
fn tables(blocks: &[Block]) -> Vec<(&Block, &Table)> {
    let mut found = Vec::new();
    for block in blocks {
        match block {
            Block::Table(table) | Block::Wide(table) | Block::Bars(table, _) => found.push((block, table)),
            Block::Together(blocks) => found.extend(tables(blocks)),
            _ => {}
        }
    }
    found
}

#[test]
fn no_report_is_wider_than_the_terminal_and_no_table_breaks_a_number() {
    for document in documents() {
        for width in 40..=160 {
            let style = Style::plain(width);
            for line in page(&document, &style).lines() {
                assert!(line.width() <= width, "{} > {width}: {line}", line.width());
            }
            for (drawn, table) in tables(&document.blocks) {
                let drawn = visible(&block(drawn, &style));
                let whole: Vec<&str> = drawn.split_whitespace().collect();
                for row in table.rows.iter().take(100) {
                    for (column, cell) in row.iter().enumerate() {
                        let cell = style.clean(cell);
                        match table.has_words(column) {
                            true => assert!(
                                cell.split_whitespace().all(|word| whole.contains(&word)),
                                "{cell:?} is broken at {width} in\n{drawn}"
                            ),
                            false => {
                                assert!(drawn.contains(&cell), "{cell:?} is broken at {width} in\n{drawn}")
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_table_in_parts_says_so_and_repeats_its_first_column() {
    let header = ["length", "accuracy", "needle mass", "95% CI", "failed"];
    let table =
        Table::new(&header, vec![["1k", "100%", "0.123", "100 (65-100)", "12"].map(String::from).to_vec()]);
    let drawn = |width| block(&Block::Table(table.clone()), &Style::plain(width));
    assert!(!drawn(80).contains("parts"), "{}", drawn(80));
    let narrow = drawn(40);
    assert!(
        narrow.ends_with("(in 2 parts: the table is wider than 40\ncolumns)\n\n")
            || narrow.contains("(in 2 parts"),
        "{narrow}"
    );
    assert_eq!(narrow.matches("1k").count(), 2, "{narrow}");
}

#[test]
fn a_complete_run_ends_with_its_accuracy_within_a_terminal_of_80_by_24() {
    let rows = outcomes().into_iter().filter(|row| row.context_length < 4096);
    let rows: Vec<Outcome> = rows.map(|row| Outcome { status: Status::Ok, ..row }).collect();
    let verdict = Verdict::of(&rows, LengthRule::default());
    let report = RunReport { cells: cells(&rows, &[]), summary: Summary::of(&rows), verdict, ..run() };
    let page = page(&Report::from(report).document, &Style::plain(80));
    // The line of the results and the next prompt take two.
    let seen: Vec<&str> = page.lines().rev().take(22).collect();
    assert!(seen.iter().any(|line| line.contains("Accuracy by context length and depth")), "{page}");
    assert_eq!(page.matches("training length, 4k tokens").count(), 1, "one legend: {page}");
    let [table, mass, accuracy] =
        ["95% CI", "Needle share", "Accuracy by"].map(|words| page.find(words).unwrap());
    assert!(table < mass && mass <= accuracy, "{page}");
}
