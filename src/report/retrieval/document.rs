//! Retrieval heads as a report.

use serde::Serialize;

use super::{HEAD_SCORES, HeadScore, HeadTrials, Stability, stabilities};
use crate::report::data::Data;
use crate::report::document::{Block, Document, Figure, Table};
use crate::report::heatmap::Heatmap;
use crate::report::{HeadSummary, Report, or_missing};

/// What there is to say of the heads of a model.
pub struct RetrievalReport {
    /// What ran, in one line.
    pub title: String,
    /// What else to know, a sentence each.
    pub notes: Vec<String>,
    /// The trials that count.
    pub trials: HeadTrials,
    /// The score that heads are ranked by.
    pub score: HeadScore,
    /// The score above which a head counts as a retrieval head.
    pub threshold: f64,
}

/// A head as a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Row {
    rank: usize,
    layer: usize,
    head: usize,
    n: usize,
    copy_steps: Option<f64>,
    copy_set: Option<f64>,
    question: Option<f64>,
    needle_mass: Option<f64>,
    ranked_by: &'static str,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    ci_method: &'static str,
    retrieval_head: bool,
}

/// What ran, as JSON.
#[derive(Serialize)]
struct Ran {
    title: String,
    tasks: Vec<String>,
    score: &'static str,
    threshold: f64,
}

/// All heads together, as JSON.
#[derive(Serialize)]
struct Totals {
    n: usize,
    heads: usize,
    retrieval_heads: usize,
    stability: Vec<Stability>,
}

/// Heads that a table shows.
const SHOWN_HEADS: usize = 20;

impl From<RetrievalReport> for Report {
    fn from(report: RetrievalReport) -> Self {
        let RetrievalReport { title, notes, trials, score, threshold } = report;
        let rows = rows(&trials, score, threshold);
        let stability = stabilities(&trials);
        let above = rows.iter().filter(|row| row.retrieval_head).count();
        let n = trials.trials.len();
        let found = format!(
            "{above} of {} heads have a {} score above {threshold} over {n} prompts, and count as retrieval heads",
            rows.len(),
            score.name()
        );
        let blocks = vec![
            Block::Lines(std::iter::once(title.clone()).chain(notes).collect()),
            Block::Figure(figure(&trials)),
            Block::Together(vec![Block::Table(table(&rows, score)), Block::Lines(definitions())]),
            Block::Together(vec![Block::Table(stable(&stability)), Block::Lines(of_stability())]),
            Block::Paragraph(found + "."),
        ];
        let ran = Ran { title, tasks: trials.tasks.clone(), score: score.name(), threshold };
        let totals = Totals { n, heads: trials.heads.len(), retrieval_heads: above, stability };
        let data = Data::rows("retrieval", rows).of(ran).with_totals(totals);
        Self { document: Document { title: "Retrieval heads".to_string(), blocks }, data }
    }
}

fn rows(trials: &HeadTrials, score: HeadScore, threshold: f64) -> Vec<Row> {
    let row = |(rank, (number, mean, n)): (usize, (usize, f64, usize))| {
        let (layer, head) = trials.heads[number];
        let other = |score| trials.mean(number, score).map(|(mean, _)| mean);
        let interval = trials.interval(number, score);
        Row {
            rank: rank + 1,
            layer,
            head,
            n,
            copy_steps: other(HeadScore::CopySteps),
            copy_set: other(HeadScore::CopySet),
            question: other(HeadScore::Question),
            needle_mass: other(HeadScore::NeedleMass),
            ranked_by: score.name(),
            ci_low: interval.ends().map(|ends| ends.0),
            ci_high: interval.ends().map(|ends| ends.1),
            ci_method: interval.method_name(),
            retrieval_head: mean > threshold,
        }
    };
    trials.order(score).into_iter().enumerate().map(row).collect()
}

fn table(rows: &[Row], score: HeadScore) -> Table {
    let fixed = |value: Option<f64>| or_missing(value.map(|value| format!("{value:.3}")));
    let row = |row: &Row| {
        vec![
            row.rank.to_string(),
            format!("{}.{}", row.layer, row.head),
            fixed(row.copy_steps),
            fixed(row.copy_set),
            fixed(row.question),
            fixed(row.needle_mass),
            or_missing(row.ci_low.zip(row.ci_high).map(|(low, high)| format!("{low:.3} to {high:.3}"))),
            row.n.to_string(),
        ]
    };
    let interval = format!("95% CI of {}", score.name());
    let header =
        ["rank", "head", "copy-steps", "copy-set", "question", "needle-mass", interval.as_str(), "n"];
    let shown = rows.iter().take(SHOWN_HEADS).map(row).collect();
    Table::new(&header, shown).captioned(&format!("Heads by {} (layer.head)", score.name()))
}

fn definitions() -> Vec<String> {
    vec![
        "copy-steps = steps of the decoding at which the key with a head's largest weight lies in the needle \
         and holds the token that is written, over the needle's tokens; copy-set = the needle's tokens that \
         are that key at least once, over all of them (Retrieval_Head, arXiv 2404.15574)"
            .to_string(),
        "question = attention from the question's tokens to the needle's, less that from N/A in its place (QRHead, arXiv \
         2506.09944); needle-mass = attention to the needle at the query that predicts the first answer token"
            .to_string(),
    ]
}

fn stable(stability: &[Stability]) -> Table {
    let row = |row: &Stability| {
        vec![
            row.score.to_string(),
            row.between.clone(),
            or_missing(row.correlation.map(|correlation| format!("{correlation:.3}"))),
            or_missing(row.ci_low.zip(row.ci_high).map(|(low, high)| format!("{low:.3} to {high:.3}"))),
            row.top_in_both.to_string(),
            format!("{}, {}", row.n[0], row.n[1]),
        ]
    };
    let header = ["score", "between", "rank correlation", "95% CI", "of 10 first in both", "n"];
    Table::new(&header, stability.iter().map(row).collect()).captioned("Whether the same heads do it again")
}

fn of_stability() -> Vec<String> {
    vec![
        "rank correlation = Spearman's of the means of all heads; 95% CI = percentiles of a bootstrap over trials, whose \
         prompts share a haystack"
            .to_string(),
    ]
}

/// The scores of all heads, a map each.
fn figure(trials: &HeadTrials) -> Figure {
    let map = |score: HeadScore| {
        let heads: Vec<HeadSummary> = trials
            .ranked(score)
            .into_iter()
            .map(|head| HeadSummary {
                layer: head.layer,
                head: head.head,
                n: head.n,
                needle_mass: Some(head.score),
                total_mass: Some(1.0),
            })
            .collect();
        let quantity = format!("{} score", score.name());
        (!heads.is_empty()).then(|| Heatmap {
            quantity,
            ..Heatmap::by_layer(format!("{} by layer and head", score.name()), &heads)
        })
    };
    Figure::heatmaps("retrieval", HEAD_SCORES.iter().filter_map(|entry| map(entry.value)).collect())
}
