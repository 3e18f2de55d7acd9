//! A run, and one cell of it, as a report.

use super::data::Data;
use super::document::{Block, Document, Figure, Table};
use super::heatmap::{Heatmap, Unit};
use super::{CellSummary, HeadSummary, Report, Summary, Tally, or_missing};
use crate::grid::{Cell, ContextLength};
use crate::stats::{Interval, Withheld};

/// What there is to say of a run.
pub struct RunReport {
    /// What ran, in one line: model, variant and where its scales come from, task and haystack.
    pub title: String,
    /// What a reader should know of the cells.
    pub note: Option<String>,
    /// Every planned cell.
    pub cells: Vec<CellSummary>,
    /// The run by length and in all.
    pub summary: Summary,
    /// Length the checkpoint was trained on.
    pub training_length: Option<usize>,
}

impl From<RunReport> for Report {
    fn from(run: RunReport) -> Self {
        let mut blocks = vec![Block::Lines([Some(run.title), run.note].into_iter().flatten().collect())];
        let accuracy = Heatmap::accuracy(&run.cells, run.training_length);
        let mass = Heatmap::needle_mass(&run.cells, run.training_length);
        blocks.push(Block::Figure(Figure::heatmap("accuracy", accuracy)));
        blocks.push(Block::Figure(Figure::heatmap("needle-mass", mass)));
        blocks.extend(summary(&run.summary));
        let title = "Needles by context length and depth".to_string();
        Self { document: Document { title, blocks }, data: Data::rows(run.cells) }
    }
}

/// The heads of one cell as a report.
#[must_use]
pub fn cell(cell: Cell, heads: Vec<HeadSummary>) -> Report {
    let map = Heatmap::by_layer(cell, &heads);
    let title = format!("Heads at {} tokens, depth {}%", cell.context_length, cell.depth);
    let blocks = vec![Block::Figure(Figure::heatmap("heads", map))];
    Report { document: Document { title, blocks }, data: Data::rows(heads) }
}

/// The run by length, all of it in the last line, and what became of the needles.
#[must_use]
pub fn summary(summary: &Summary) -> Vec<Block> {
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
    let wrong = if *wrong > 0 { format!(", wrong {wrong}") } else { String::new() };
    let found = format!("found {found}, looked {looked}, missed {missed}{wrong}");
    vec![
        Block::Together(vec![Block::Table(Table::new(&header, rows)), Block::Lines(intervals(summary))]),
        Block::Lines(std::iter::once(found).chain(summary.rule()).collect()),
    ]
}

/// How the intervals were found, and why one is missing.
fn intervals(summary: &Summary) -> Vec<String> {
    let all = || summary.by_length.iter().map(|(_, tally)| tally.interval).chain([summary.overall.interval]);
    let given = all().any(|interval| interval.ends().is_some());
    let one = all().any(|interval| interval == Interval::Withheld(Withheld::OneGroup));
    let given = given.then(|| {
        "95% CI: Wilson's, for as many independent prompts as those of a row are worth: the prompts of a \
         trial share a haystack"
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
