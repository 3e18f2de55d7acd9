//! What every format makes of every kind of block, and the forms of CSV.

use super::palette::RAG;
use super::*;
use crate::grid::Depth;
use crate::printable;
use crate::report::data::Data;
use crate::report::document::{
    Axis, Block, Chart, Document, Figure, Panel, Part, Point, Series, ShadedToken, Shape, Table, TrialShown,
    Trials,
};
use crate::report::heads::HeadTally;
use crate::report::heatmap::Heatmap;
use crate::report::tests::{failed, outcome};
use crate::report::{self, Report};
use crate::span::SpanKind;
use crate::store;
use crate::trial::Outcome;

fn text(name: &str, report: &Report, style: &Style) -> String {
    let format = crate::registry::find("form of output", EXPORTERS, name).unwrap().value;
    String::from_utf8((format.write)(report, style).unwrap()).unwrap()
}

fn rows<R: serde::Serialize + Default + 'static>(rows: Vec<R>) -> Report {
    Report { document: Document::default(), data: Data::rows("trials", rows) }
}

/// A document with every kind of block, each with a word of its own, and with what a terminal or a page would
/// obey in it.
fn every_block() -> Report {
    let word = |name: &str| format!("{name} <b>|\x1b[2J");
    let table = |name: &str| Table::new(&[&word(name), "n"], vec![vec![word("cell"), "1".to_string()]]);
    let series = Series {
        name: "curve".to_string(),
        color: 0,
        shape: Shape::Line,
        points: vec![Point::new(1.0, 2.0), Point::new(2.0, 3.0)],
    };
    let (x, y) = (Axis::linear("x", None), Axis::linear("y", None));
    let chart = Chart { title: word("chart"), x, y, series: vec![series], marks: vec![] };
    let cells = report::cells(&[outcome(1024, 0.0, 0, true, None), outcome(2048, 0.0, 0, true, None)], &[]);
    let map = Heatmap { title: word("map"), ..Heatmap::accuracy(&cells, Some(1024)) };
    let token = |in_value: bool| {
        let part = in_value.then_some(Part { kind: SpanKind::Target, span: 0 });
        ShadedToken { text: word("token"), mass: 0.5, part, in_value }
    };
    let panels = vec![Panel::Heatmap(map), Panel::Chart(chart)];
    let asked = Outcome { question: word("question"), ..outcome(1024, 0.0, 0, true, None) };
    let trials = Trials { cells: vec![(asked.cell(), vec![TrialShown { outcome: asked, prompt: None }])] };
    let sums = HeadTally::default().sums();
    let blocks = vec![
        Block::Lines(vec![word("lines"), word("further")]),
        Block::Heading("HEADING".to_string()),
        Block::Paragraph(word("paragraph")),
        Block::Facts(vec![("name".to_string(), word("fact"))]),
        Block::Code(word("code")),
        Block::Table(table("table").captioned(&word("caption"))),
        Block::Wide(table("wide")),
        Block::Bars(table("bars"), vec![0.5]),
        Block::Figure(Figure { name: "f".to_string(), caption: word("figure"), panels }),
        Block::Prompt(vec![token(false), token(true)]),
        Block::Together(vec![Block::Paragraph(word("together"))]),
        Block::Trials(trials),
        Block::HeadSums(sums),
    ];
    Report { document: Document { title: word("title"), blocks }, data: Data::rows("run", cells) }
}

#[test]
fn every_format_writes_every_kind_of_block_and_nothing_hidden() {
    let report = every_block();
    let page = &[
        "title",
        "lines",
        "HEADING",
        "paragraph",
        "fact",
        "code",
        "caption",
        "wide",
        "bars",
        "map",
        "chart",
        "figure",
        "token",
        "together",
    ];
    let words: &[(&str, &[&str])] = &[
        (
            "table",
            &[
                "lines",
                "further",
                "HEADING",
                "paragraph",
                "fact",
                "code",
                "caption",
                "wide",
                "bars",
                "map",
                "token",
                "together",
            ],
        ),
        ("markdown", page),
        ("html", page),
        ("svg", &["title", "lines", "further", "map", "chart", "curve", "figure"]),
        ("csv", &["context_length,depth_percent,n,", "\n1024,0.0,1,"]),
        ("json", &["\"context_length\": 2048"]),
    ];
    // A PNG has no words to look for; it is the SVG in pixels, and tested as that.
    for entry in EXPORTERS.iter().filter(|entry| entry.name != "png") {
        let written = text(entry.name, &report, &Style::plain(120));
        let (_, words) = words.iter().find(|(name, _)| *name == entry.name).unwrap();
        for word in *words {
            assert!(written.contains(word), "{}: {word} in\n{written}", entry.name);
        }
        assert!(!written.contains(|c| c != '\n' && printable::is_hidden(c)), "{}: {written:?}", entry.name);
        let raw = written.contains("<b>") && matches!(entry.name, "html" | "svg");
        assert!(!raw, "{}: {written}", entry.name);
    }
}

#[test]
fn a_heatmap_in_markdown_is_a_table_with_the_training_length_marked() {
    let written = text("markdown", &every_block(), &Style::plain(80));
    let table = "| depth % / context length (tokens) | 1k | \\| | 2k |\n|---|---:|---:|---:|\n| 0 | 100% \
                 | \\| | 100% |\n";
    assert!(written.contains(table), "{written}");
}

#[test]
fn pictures_have_the_colours_of_the_palette_and_lie_under_each_other() {
    let mut report = every_block();
    let figure = report.document.blocks[8].clone();
    report.document.blocks.push(figure);
    let svg = text("svg", &report, &Style { palette: RAG, ..Style::plain(80) });
    assert_eq!(svg.matches(&RAG.color(1.0).hex()).count(), 4, "{svg}");
    let starts: Vec<f64> = svg
        .split("<g transform=\"translate(0 ")
        .skip(1)
        .filter_map(|rest| rest.split(')').next()?.parse().ok())
        .collect();
    let heights = svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap();
    assert!(starts.len() >= 2 && starts.iter().all(|y| *y < heights), "{starts:?} in {heights}");
}

#[test]
fn a_report_without_a_picture_says_so() {
    let error = svg::write(&rows(Vec::<Outcome>::new()), &Style::plain(80)).unwrap_err().to_string();
    assert!(error.contains("no picture") && error.contains("html"), "{error}");
}

#[test]
fn missing_is_an_empty_field() {
    let text = text("csv", &rows(report::cells(&[failed(1024, 50.0, 0)], &[])), &Style::plain(80));
    assert_eq!(text.lines().nth(1), Some("1024,50.0,0,0,,,,,1,0,,,,,,0,,,,,,,"));
}

/// A trial with everything in it that a field of CSV can hold.
fn hostile() -> Outcome {
    Outcome {
        question: "=HYPERLINK(\"x\")".into(),
        model_response: Some("=1+1".into()),
        needle: "@A1, \"b\"\nwith \r\n line ends".into(),
        answer_logprob: Some(-1.0e-300),
        needle_mass_top: Some(f64::MIN_POSITIVE),
        needle_mass_mean: Some(f64::MAX),
        score: Some(1.0e16),
        depth_percent: Depth::from_percent(0.1 + 0.2).unwrap(),
        duration_seconds: Some(0.1 + 0.2),
        ..outcome(1024, 50.0, 0, true, None)
    }
}

#[test]
fn what_is_shown_of_a_table_is_what_stands_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.csv");
    store::csv::Appender::open(&path).unwrap().append(&[hostile()]).unwrap();
    assert_eq!(
        text("csv", &rows(vec![hostile()]), &Style::plain(80)),
        std::fs::read_to_string(&path).unwrap()
    );
}

#[test]
fn formulas_are_marked_in_what_is_shown_when_asked_for_and_numbers_stay_numbers() {
    let safe = Style { csv_safe: true, ..Style::plain(80) };
    let shown = text("csv", &rows(vec![hostile()]), &safe);
    for part in [",'=1+1,", ",\"'@A1, \"\"b\"\"\\n", "'=HYPERLINK", ",-1e-300,"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}
