//! The report of an experiment: attention variants trained alike, side by side. One file a section.
//!
//! Every number is computed from the tables that the stages of the experiment left; words choose between what was found.

mod heads;
mod positions;
mod retrieval;
mod scales;
mod training;

use std::collections::BTreeMap;

use crate::report::document::{Block, Document, Point, Series, Shape};
use crate::report::loss::BucketLoss;
use crate::trial::{AttentionRow, Outcome};

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// What it is about.
    pub title: String,
    /// How it was made, a paragraph each.
    pub method: Vec<String>,
    /// The command that makes it again.
    pub command: String,
    /// Tokens of a training sequence.
    pub training_length: usize,
    /// The configurations, the one that all are compared with first.
    pub configurations: Vec<Configuration>,
}

/// One configuration, trained once or several times.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Its name, such as `(b) ssmax`.
    pub name: String,
    /// One for each seed; the first is the one whose details are drawn.
    pub runs: Vec<SeedRun>,
}

/// What one training gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeedRun {
    /// Seed of its parameters and sequences.
    pub seed: u64,
    /// Loss by step; none for weights that were not trained further.
    pub steps: Vec<StepLoss>,
    /// Loss by position on held-out text.
    pub positions: Vec<BucketLoss>,
    /// Its retrieval grid.
    pub outcomes: Vec<Outcome>,
    /// Attention of every head in that grid.
    pub attention: Vec<AttentionRow>,
    /// Learned s, `[layers][heads]`; empty for layers or rules without one.
    pub scales: Vec<Vec<f32>>,
    /// Learned multipliers `p_n` of `adaptive`, from n = 1; empty for other rules.
    pub sizes: Vec<f64>,
}

/// The loss of a training step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepLoss {
    /// Number of the step, from 1.
    pub step: usize,
    /// Mean loss of all tokens, in nats.
    pub loss: f64,
    /// Mean loss of the answers' tokens.
    pub answer_loss: Option<f64>,
}

/// The report as a document.
#[must_use]
pub fn document(experiment: &Experiment) -> Document {
    let sections = [
        retrieval::section(experiment),
        training::section(experiment),
        positions::section(experiment),
        heads::section(experiment),
        scales::section(experiment),
    ];
    let mut blocks: Vec<Block> = experiment.method.iter().cloned().map(Block::Paragraph).collect();
    blocks.push(Block::Code(experiment.command.clone()));
    blocks.extend(sections.into_iter().flatten());
    Document { title: experiment.title.clone(), blocks }
}

impl Experiment {
    /// The series of every configuration that `points` finds something for, in its own colour.
    fn series(&self, points: impl Fn(&SeedRun) -> Vec<Point>) -> Vec<Series> {
        let of = |(color, configuration): (usize, &Configuration)| {
            let points = points(configuration.runs.first()?);
            let name = configuration.name.clone();
            (!points.is_empty()).then_some(Series { name, color, shape: Shape::Line, points })
        };
        self.configurations.iter().enumerate().filter_map(of).collect()
    }

    /// The second configuration's runs beside the first one's with the same seed.
    fn pairs(&self, other: usize) -> Vec<(&SeedRun, &SeedRun)> {
        let (Some(base), Some(other)) = (self.configurations.first(), self.configurations.get(other)) else {
            return Vec::new();
        };
        let same = |run: &SeedRun| base.runs.iter().find(|base| base.seed == run.seed);
        other.runs.iter().filter_map(|run| Some((same(run)?, run))).collect()
    }
}

/// Trials of a run by length.
fn by_length(run: &SeedRun) -> BTreeMap<usize, Vec<&Outcome>> {
    let mut lengths: BTreeMap<usize, Vec<&Outcome>> = BTreeMap::new();
    for outcome in super::latest(&run.outcomes) {
        lengths.entry(outcome.context_length).or_default().push(outcome);
    }
    lengths
}

/// A number with three decimals; a dash for none.
fn number(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |value| format!("{value:.3}"))
}

/// Words joined as a sentence does.
fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// `256 tokens`, `4k tokens`.
fn tokens(length: usize) -> String {
    format!("{} tokens", crate::grid::ContextLength(length))
}
