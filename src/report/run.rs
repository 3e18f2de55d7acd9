//! A run, and one cell of it, as a report.

use serde::Serialize;

use super::confusion::{self, Confused};
use super::data::Data;
use super::document::{Block, Document, Figure, Table};
use super::heads::{RankedHead, means};
use super::heatmap::{Heatmap, Unit};
use super::verdict::Verdict;
use super::{CellSummary, HeadSummary, Means, Report, Summary, Tally, latest, or_missing};
use crate::grid::{Cell, ContextLength, Depth};
use crate::plan::Settings;
use crate::stats::{Interval, Withheld};
use crate::trial::{Finding, Outcome, Status};

/// What ran, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct Ran {
    /// In one line: model, variant and where its scales come from, and task.
    pub title: String,
    /// Short hash that names the run.
    pub run_id: String,
    /// Hash of the plan.
    pub config_hash: String,
    /// Version of niah that ran it.
    pub niah: String,
    /// When it was first started, RFC 3339 in UTC.
    pub started_utc: String,
    /// Name of the attention variant.
    pub variant: String,
    /// Which scales it uses, and where they come from.
    pub variant_description: String,
    /// Length the checkpoint was trained on, in tokens.
    pub training_length: Option<usize>,
    /// Trials of the whole plan.
    pub planned_trials: usize,
    /// What was asked for.
    pub settings: Settings,
}

/// All trials together, as JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Totals {
    #[serde(flatten)]
    overall: Means,
    /// Trials by what became of the needle.
    found: usize,
    looked: usize,
    missed: usize,
    wrong: usize,
    verdict: Option<Verdict>,
    by_length: Vec<OfLength>,
    confusions: Vec<Confused>,
}

#[derive(Debug, Clone, Serialize)]
struct OfLength {
    context_length: usize,
    #[serde(flatten)]
    means: Means,
}

impl Totals {
    /// Trials of all kinds.
    fn trials(&self) -> usize {
        let Means { n, n_error, n_skipped, .. } = self.overall;
        n + n_error + n_skipped
    }

    /// Of a run, with its verdict.
    #[must_use]
    pub fn of(summary: &Summary, verdict: Option<Verdict>) -> Self {
        let Summary { by_length, overall, found, looked, missed, wrong, confusions, .. } = summary;
        let of_length =
            |(length, tally): &(usize, Tally)| OfLength { context_length: *length, means: tally.into() };
        Self {
            overall: overall.into(),
            found: *found,
            looked: *looked,
            missed: *missed,
            wrong: *wrong,
            verdict,
            by_length: by_length.iter().map(of_length).collect(),
            confusions: confusions.clone(),
        }
    }
}

/// What there is to say of a run.
#[derive(Clone)]
pub struct RunReport {
    /// What ran.
    pub ran: Ran,
    /// What a reader should know of the cells, and of those that have not run.
    pub notes: Vec<String>,
    /// Every planned cell.
    pub cells: Vec<CellSummary>,
    /// The run by length and in all.
    pub summary: Summary,
    /// Length the checkpoint was trained on.
    pub training_length: Option<usize>,
    /// What was found, in a sentence; `None` where no answer was scored.
    pub verdict: Option<Verdict>,
}

impl RunReport {
    /// Whether there is attention to draw: it was measured, or nothing has run yet that it could be measured
    /// of.
    pub(super) fn shows_attention(&self) -> bool {
        let Tally { n, needle_mass_top_mean, .. } = &self.summary.overall;
        *n == 0 || needle_mass_top_mean.is_some()
    }
}

impl From<RunReport> for Report {
    fn from(run: RunReport) -> Self {
        let shows_attention = run.shows_attention();
        let mut blocks =
            vec![Block::Lines(std::iter::once(run.ran.title.clone()).chain(run.notes).collect())];
        let accuracy = Heatmap::accuracy(&run.cells, run.training_length);
        let mass = Heatmap::needle_mass(&run.cells, run.training_length);
        // Accuracy and verdict come last: of a page that is longer than the terminal the end is seen.
        blocks.extend(summary(&run.summary));
        blocks.extend(shows_attention.then(|| Block::Figure(Figure::heatmap("needle-mass", mass))));
        blocks.push(Block::Figure(Figure::heatmap("accuracy", accuracy)));
        blocks.extend(run.verdict.iter().map(|verdict| Block::Paragraph(verdict.sentence.clone())));
        let title = "Needles by context length and depth".to_string();
        let data =
            Data::rows("run", run.cells).of(run.ran).with_totals(Totals::of(&run.summary, run.verdict));
        Self { document: Document { title, blocks }, data }
    }
}

/// A run and the cell of it that a report is of, as JSON.
#[derive(Serialize)]
struct OfCell {
    #[serde(flatten)]
    ran: Ran,
    context_length: usize,
    depth_percent: Depth,
}

/// The heads of one cell as a report.
#[must_use]
pub fn cell(ran: Ran, cell: Cell, heads: Vec<HeadSummary>) -> Report {
    let Cell { context_length, depth } = cell;
    let map = Heatmap::by_layer(
        format!("Needle mass by layer and head, {context_length} tokens, depth {depth}%"),
        &heads,
    );
    let title = format!("Heads at {context_length} tokens, depth {depth}%");
    let blocks = vec![Block::Figure(Figure::heatmap("heads", map))];
    let ran = OfCell { ran, context_length: cell.context_length.0, depth_percent: cell.depth };
    Report { document: Document { title, blocks }, data: Data::rows("heads", heads).of(ran) }
}

/// Heads that a table of them shows; the others are for programs.
const SHOWN_HEADS: usize = 20;

/// The heads of a run, ranked, as a report; `cells` says of which cells they are.
#[must_use]
pub fn ranking(ran: Ran, cells: &str, heads: Vec<RankedHead>) -> Report {
    let fixed = |mass: f64| format!("{mass:.3}");
    let row = |(rank, head): (usize, &RankedHead)| {
        vec![
            (rank + 1).to_string(),
            format!("{}.{}", head.layer, head.head),
            fixed(head.needle_mass),
            or_missing(head.needle_mass_sd.map(fixed)),
            fixed(head.needle_mass_min),
            fixed(head.needle_mass_max),
            head.n_top.to_string(),
        ]
    };
    let header = ["rank", "head", "needle mass", "sd", "smallest", "largest", "leads in"];
    let table = Table::new(&header, heads.iter().take(SHOWN_HEADS).enumerate().map(row).collect());
    let trials = heads.iter().map(|head| head.n).max().unwrap_or(0);
    let mut lines = vec![format!(
        "needle mass = mean over {trials} trials, with its standard deviation and range; leads in = trials in \
         which no head puts more on the needle"
    )];
    lines.extend(
        heads
            .len()
            .checked_sub(SHOWN_HEADS + 1)
            .map(|more| format!("{} more heads are left out here; csv and json have all", more + 1)),
    );
    let map = Heatmap::by_layer(format!("Needle mass by layer and head, {cells}"), &means(&heads));
    let title = format!("Heads over {cells}");
    let blocks = vec![
        Block::Lines(vec![ran.title.clone(), title.clone()]),
        Block::Figure(Figure::heatmap("heads", map)),
        Block::Together(vec![Block::Table(table), Block::Lines(lines)]),
    ];
    Report { document: Document { title, blocks }, data: Data::rows("ranking", heads).of(ran) }
}

/// Characters of an answer that a table shows.
const ANSWER: usize = 200;

/// The trials of a run with their answers as a report; `outcomes` are those that were asked for, of a run
/// with these totals.
#[must_use]
pub fn trials(ran: Ran, outcomes: Vec<Outcome>, totals: Totals) -> Report {
    let short = |text: &str| match text.trim().char_indices().nth(ANSWER) {
        Some((end, _)) => format!("{}...", &text.trim()[..end]),
        None => text.trim().to_string(),
    };
    let row = |outcome: &Outcome| {
        let (finding, answer) = match outcome.status {
            Status::Ok => (outcome.outcome.map(Finding::word), outcome.model_response.as_deref()),
            Status::Error => (Some("failed"), outcome.error.as_deref()),
            Status::Skipped => (Some("skipped"), None),
        };
        vec![
            outcome.row_id.clone(),
            or_missing(finding.map(ToString::to_string)),
            short(&outcome.expected_answer),
            or_missing(answer.map(short)),
            or_missing(outcome.answer_logprob.map(|logprob| format!("{logprob:.2}"))),
            or_missing(outcome.answer_rank.map(|rank| rank.to_string())),
            or_missing(outcome.needle_mass_top.map(|mass| format!("{mass:.3}"))),
        ]
    };
    let header = ["trial", "outcome", "expected", "answer", "log-prob", "rank", "needle mass"];
    let table = Table::new(&header, outcomes.iter().map(row).collect());
    let count = format!("{} of {} trials", latest(&outcomes).len(), totals.trials());
    let notes = "trial = length:depth:number; log-prob, rank = of the expected answer: natural log over its tokens, and the worst rank of one; \
                 needle mass = the largest of all heads";
    let blocks = vec![
        Block::Lines(vec![ran.title.clone(), count]),
        Block::Together(vec![Block::Table(table), Block::Lines(vec![notes.to_string()])]),
    ];
    let data = Data::rows("trials", outcomes).of(ran).with_totals(totals);
    Report { document: Document { title: "Answers".to_string(), blocks }, data }
}

/// The run by length, all of it in the last line, and what became of the needles.
#[must_use]
pub fn summary(summary: &Summary) -> Vec<Block> {
    let absolute = summary.overall.total_mass_mean.is_some();
    let skipped = summary.overall.n_skipped > 0;
    let in_part = summary.overall.in_part;
    let row = |label: String, tally: &Tally| {
        let mut row = tally_row(label, tally);
        if absolute {
            let pair = [
                tally.total_mass_mean.map(|mass| format!("{mass:.3}")),
                tally.needle_share_mean.map(|share| Unit::Percent.text(share, false)),
            ];
            row.splice(MASS_COLUMN + 1..MASS_COLUMN + 1, pair.map(or_missing));
        }
        let score = tally.score.map(|score| Unit::Percent.text(score.mean, false));
        row.splice(SCORE_COLUMN..SCORE_COLUMN, in_part.then(|| or_missing(score)));
        row.extend(skipped.then(|| tally.n_skipped.to_string()));
        row
    };
    let lengths =
        summary.by_length.iter().map(|(length, tally)| row(ContextLength(*length).to_string(), tally));
    let rows = lengths.chain([row("all".to_string(), &summary.overall)]).collect();
    let mut header = vec!["length", "n", "trials", "correct", "accuracy", "95% CI", "needle mass", "failed"];
    if absolute {
        header.splice(MASS_COLUMN + 1..MASS_COLUMN + 1, ["of total mass", "share"]);
    }
    header.splice(SCORE_COLUMN..SCORE_COLUMN, in_part.then_some("score"));
    header.extend(skipped.then_some("skipped"));
    let Summary { found, looked, missed, wrong, .. } = summary;
    let wrong = if *wrong > 0 { format!(", wrong {wrong}") } else { String::new() };
    let found = format!("found {found}, looked {looked}, missed {missed}{wrong}");
    let mut blocks = vec![
        Block::Together(vec![Block::Table(Table::new(&header, rows)), Block::Lines(intervals(summary))]),
        Block::Lines(std::iter::once(found).chain(summary.rule()).collect()),
    ];
    blocks.extend(confusion::section(&summary.confusions));
    blocks
}

/// How the intervals were found, and why one is missing; and that of the needle mass of the whole run.
fn intervals(summary: &Summary) -> Vec<String> {
    let all = || summary.by_length.iter().map(|(_, tally)| tally.interval).chain([summary.overall.interval]);
    let given = all().any(|interval| interval.ends().is_some());
    let one = all().any(|interval| interval == Interval::Withheld(Withheld::OneGroup));
    let given = given.then(|| {
        "trials = independent haystacks, which the prompts of a trial share at every depth and length; 95% \
         CI = Wilson's, for as many independent prompts as the n of a row are worth"
            .to_string()
    });
    let one = one.then(|| match summary.copies {
        0 => {
            "No interval of prompts of one trial: they share a haystack; take more with --trials".to_string()
        }
        _ => "No interval of one prompt, however often it was asked".to_string(),
    });
    let copies = (summary.copies > 0).then(|| {
        format!(
            "{} of the trials ask what another one asks, word for word: they are copies and count with it as one",
            summary.copies
        )
    });
    let Tally { needle_mass_top_mean, needle_mass_interval, n_trials, score, in_part, .. } = summary.overall;
    let fixed = |mass: f64| format!("{mass:.3}");
    let score = score.filter(|_| in_part).map(|score| {
        let percent = |share: f64| Unit::Percent.text(share, false);
        let interval = score.interval.told(n_trials, "trial", percent);
        format!(
            "score = mean, in which answers count that are right in part; of all: {} ({interval})",
            percent(score.mean)
        )
    });
    let mass = needle_mass_top_mean.filter(|_| needle_mass_interval.ends().is_some()).map(|mass| {
        let interval = needle_mass_interval.told(n_trials, "trial", fixed);
        format!("needle mass of all: {} ({interval})", fixed(mass))
    });
    given.into_iter().chain(one).chain(copies).chain(score).chain(mass).collect()
}

/// The column of the mean score, where answers are right in part.
const SCORE_COLUMN: usize = 4;

/// The column of needle mass, without that of the score. Behind it stand the total mass and the share where
/// rows need not sum to 1.
const MASS_COLUMN: usize = 6;

fn tally_row(label: String, tally: &Tally) -> Vec<String> {
    let percent = |value| Unit::Percent.text(value, false);
    let interval = tally.interval.ends();
    vec![
        label,
        tally.n.to_string(),
        tally.n_trials.to_string(),
        tally.n_correct.to_string(),
        or_missing(tally.accuracy.map(percent)),
        or_missing(
            interval.map(|(low, high)| format!("{}-{}", Unit::Percent.text(low, true), percent(high))),
        ),
        or_missing(tally.needle_mass_top_mean.map(|mass| format!("{mass:.3}"))),
        tally.n_error.to_string(),
    ]
}
