//! A run as a page: the report, what ran, and every trial and head behind it.

use std::collections::BTreeMap;

use super::document::{Block, Document, Figure, PromptToken, Table, TrialShown, Trials};
use super::heads::{HeadSums, RankedHead, means};
use super::heatmap::Heatmap;
use super::margins::{self, HeadMargins};
use super::run::RunReport;
use super::{Report, or_missing};
use crate::grid::Cell;
use crate::trial::{Finding, Outcome};

/// What a page has of a run.
pub struct RunPage<'a> {
    /// The report of the run.
    pub report: RunReport,
    /// A line that names what ran.
    pub title: String,
    /// What ran, as names and what there is to say of each.
    pub facts: Vec<(String, String)>,
    /// The last row of every trial.
    pub outcomes: Vec<&'a Outcome>,
    /// What the heads did in every cell; `None` where that was not kept.
    pub heads: Option<HeadSums<Cell>>,
    /// Raw scores of the heads with the largest mass.
    pub margins: Vec<HeadMargins>,
    /// Attention by kind of span and cell, where there are several kinds: the mean over trials of the largest
    /// mass that a head has on a span of the kind.
    pub kinds: BTreeMap<String, BTreeMap<Cell, f64>>,
    /// Shaded prompts by `row_id`.
    pub prompts: BTreeMap<String, Vec<PromptToken>>,
    /// What was left out, a sentence each.
    pub left_out: Vec<String>,
}

/// Heads that are listed.
const LISTED_HEADS: usize = 10;
/// Trials on a page, at most: a thousand bytes each.
const MOST_TRIALS: usize = 3000;

impl From<RunPage<'_>> for Report {
    fn from(page: RunPage<'_>) -> Self {
        let RunPage { report: run, title, facts, outcomes, heads, margins, kinds, prompts, mut left_out } =
            page;
        let (cells, trained) = (run.cells.clone(), run.training_length);
        let shows_attention = run.shows_attention();
        let Report { document, data } = Report::from(run);
        let (mut blocks, mut summary) = (Vec::new(), Vec::new());
        for (place, block) in document.blocks.into_iter().enumerate() {
            match block {
                Block::Figure(_) => {}
                // What was found stands first.
                Block::Paragraph(_) => blocks.push(block),
                // The first line of all is what ran, which the facts have.
                Block::Lines(lines) if place == 0 => {
                    summary.extend(lines.into_iter().skip(1).map(Block::Paragraph))
                }
                other => summary.push(other),
            }
        }
        blocks.push(Block::Together(vec![Block::Together(summary), Block::Facts(facts)]));
        let outcome = |finding| Heatmap::outcome(&outcomes, &cells, finding, trained);
        blocks.push(Block::Heading("By length and depth".to_string()));
        let mut maps = vec![Figure::heatmap("accuracy", Heatmap::accuracy(&cells, trained))];
        if shows_attention {
            maps.push(Figure::heatmap("needle-mass", Heatmap::needle_mass(&cells, trained)));
            maps.push(Figure::heatmaps("outcome", vec![outcome(Finding::Looked), outcome(Finding::Missed)]));
        }
        blocks.push(Block::Together(maps.into_iter().map(Block::Figure).collect()));
        if kinds.len() > 1 {
            let maps = kinds.iter().map(|(kind, masses)| Heatmap::kind(kind, masses, &cells, trained));
            blocks.push(Block::Heading("By kind of span".to_string()));
            blocks.push(Block::Figure(Figure::heatmaps("kinds", maps.collect())));
        }
        blocks.extend(heads.map(of_heads).into_iter().flatten());
        blocks.extend(margins::section(&margins));
        let trials = trials(outcomes, prompts, &mut left_out);
        if !left_out.is_empty() {
            blocks.push(Block::Heading("Left out".to_string()));
            blocks.push(Block::Lines(left_out));
        }
        blocks.push(Block::Trials(trials));
        Self { document: Document { title, blocks }, data }
    }
}

/// The map of all heads, those with the largest mass, and what any selection of cells is made of.
fn of_heads(sums: HeadSums<Cell>) -> Vec<Block> {
    let ranked = sums.ranked_of_all();
    let Some(largest) = ranked.first().map(|head| head.needle_mass) else { return Vec::new() };
    let title =
        format!("Needle mass by layer and head: mean over trials of all cells, colours up to {largest:.3}");
    let map = Heatmap::by_layer(title, &means(&ranked));
    let number = |value: f64| format!("{value:.3}");
    let row = |(place, head): (usize, &RankedHead)| {
        vec![
            (place + 1).to_string(),
            format!("{}.{}", head.layer, head.head),
            number(head.needle_mass),
            or_missing(head.needle_mass_sd.map(number)),
            head.n.to_string(),
        ]
    };
    let rows = ranked.iter().take(LISTED_HEADS).enumerate().map(row).collect();
    let table =
        Table::new(&["rank", "head (layer.head)", "needle mass, mean", "SD over trials", "trials"], rows);
    vec![
        Block::Heading("Heads".to_string()),
        Block::Together(vec![
            Block::Figure(Figure::heatmap("heads", map)),
            Block::Table(table.captioned("Heads by mean needle mass")),
            Block::HeadSums(sums),
        ]),
    ]
}

/// Every trial in its cell, in the order of lengths and depths.
fn trials(
    outcomes: Vec<&Outcome>,
    mut prompts: BTreeMap<String, Vec<PromptToken>>,
    left_out: &mut Vec<String>,
) -> Trials {
    let all = outcomes.len();
    let mut cells: BTreeMap<Cell, Vec<TrialShown>> = BTreeMap::new();
    let mut sorted = outcomes;
    // Of every cell the first trials are there, however many there are.
    sorted.sort_by_key(|outcome| outcome.trial);
    for outcome in sorted.into_iter().take(MOST_TRIALS) {
        let prompt = prompts.remove(&outcome.row_id);
        let shown = TrialShown { outcome: outcome.clone(), prompt };
        cells.entry(outcome.cell()).or_default().push(shown);
    }
    if all > MOST_TRIALS {
        left_out.push(format!("{} of {all} trials; results.csv has them all", all - MOST_TRIALS));
    }
    Trials { cells: cells.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    #[test]
    fn of_more_trials_than_a_page_holds_the_first_of_every_cell_stay_and_the_rest_is_told_of() {
        let each = MOST_TRIALS / 2 + 5;
        let all = [1024, 2048].into_iter().flat_map(|length| (0..each).map(move |trial| (length, trial)));
        let outcomes: Vec<_> = all.map(|(length, trial)| outcome(length, 0.0, trial, true, None)).collect();
        let mut left_out = Vec::new();
        let shown = trials(outcomes.iter().collect(), BTreeMap::new(), &mut left_out);
        let numbers: Vec<usize> = shown.cells.iter().map(|(_, trials)| trials.len()).collect();
        assert_eq!(numbers, [MOST_TRIALS / 2; 2]);
        assert!(shown.cells.iter().all(|(_, trials)| trials[0].outcome.trial == 0));
        assert_eq!(left_out, ["10 of 3010 trials; results.csv has them all"]);
    }
}
