//! The report of an experiment: models trained on the same data, side by side. One file a section.
//!
//! Every number is computed from the tables that the stages of the experiment left; words choose between what
//! was found.

mod claims;
mod counterparts;
mod fading;
mod heads;
mod otherwise;
mod positions;
pub mod rates;
mod retrieval;
mod scales;
pub mod searches;
mod several;
pub mod sizes;
pub mod speed;
mod training;
pub mod verdicts;
mod windows;

use std::collections::BTreeMap;

pub use claims::Claim;

use crate::report::document::{Block, Document, Point, Series, Shape};
use crate::report::loss::BucketLoss;
use crate::stats::{Interval, mean, mean_interval};
use crate::trial::{AttentionRow, Outcome, SpanRow};

/// A final loss is the mean over this share of the steps.
const FINAL: usize = 20;

/// Everything that was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Experiment {
    /// What it is about.
    pub title: String,
    /// How it was made, a paragraph each.
    pub method: Vec<String>,
    /// The command that makes it again.
    pub command: String,
    /// Tokens of a training sequence.
    pub training_length: usize,
    /// How many configurations, from the first, are told of in sentences.
    pub main: usize,
    /// What the paper finds.
    pub paper: Paper,
    /// The configurations, the one that all are compared with first.
    pub configurations: Vec<Configuration>,
}

/// What the paper finds, a sentence for each section that says what was found here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paper {
    /// Of retrieval past the training length.
    pub retrieval: &'static str,
    /// Of the training loss.
    pub loss: &'static str,
    /// Of the loss by position.
    pub positions: &'static str,
}

/// One configuration, trained once or several times.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Its name, such as `(b) ssmax`.
    pub name: String,
    /// The part of its experiment that it belongs to, as `--parts` names it; empty for a main one.
    pub part: &'static str,
    /// What the paper finds of its retrieval, where that is held against what was found.
    pub claim: Option<Claim>,
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
    /// Whether its steps train weights of another run further: then step and loss are not those of a training
    /// from scratch.
    pub further: bool,
    /// Loss by position on held-out text.
    pub positions: Vec<BucketLoss>,
    /// Its grid of needles in prose.
    pub outcomes: Vec<Outcome>,
    /// Attention of every head in that grid.
    pub attention: Vec<AttentionRow>,
    /// Its grid of key-value lines.
    pub key_values: Vec<Outcome>,
    /// Its grids of other tasks.
    pub others: Vec<(&'static str, Vec<Outcome>)>,
    /// What each part of their prompts was given, of tasks that name several.
    pub spans: Vec<(&'static str, Vec<SpanRow>)>,
    /// What its configuration and its training say.
    pub settings: Settings,
    /// Learned s, `[layers][heads]`; empty for layers or rules without one.
    pub scales: Vec<Vec<f32>>,
    /// Learned multipliers `p_n` of `adaptive`, from n = 1; empty for other rules.
    pub sizes: Vec<f64>,
}

/// Settings of a model and its training by their paths in the files that hold them, such as `training.lr`.
pub type Settings = BTreeMap<String, String>;

impl SeedRun {
    /// Its grid of another task; empty where that was not run.
    fn other(&self, task: &str) -> &[Outcome] {
        self.others.iter().find(|(name, _)| *name == task).map_or(&[], |(_, outcomes)| outcomes)
    }
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
    /// Learning rate.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Mean of s over layers and heads behind the step, where there is one.
    pub scale: Option<f64>,
    /// The largest learned window, where there are windows that are learned.
    pub largest_window: Option<f64>,
    /// How many of them are larger than the sequences.
    pub windows_beyond: Option<usize>,
}

/// The report as a document, with the sections that only this experiment has at its beginning and its end.
#[must_use]
pub fn document(experiment: &Experiment, first: Vec<Block>, further: Vec<Block>) -> Document {
    let sections = [
        first,
        otherwise::section(experiment),
        retrieval::section(experiment),
        training::section(experiment),
        positions::section(experiment),
        several::section(experiment),
        heads::section(experiment),
        fading::section(experiment),
        scales::section(experiment),
        windows::section(experiment),
    ];
    let mut blocks: Vec<Block> = experiment.method.iter().cloned().map(Block::Paragraph).collect();
    blocks.push(Block::Code(experiment.command.clone()));
    blocks.extend(sections.into_iter().flatten());
    blocks.extend(further);
    Document { title: experiment.title.clone(), blocks }
}

impl Experiment {
    /// The series of every main configuration that `points` finds something for, in its own colour.
    fn series(&self, points: impl Fn(&SeedRun) -> Vec<Point>) -> Vec<Series> {
        let of = |(color, configuration): (usize, &Configuration)| {
            let points = points(configuration.runs.first()?);
            let name = configuration.name.clone();
            (!points.is_empty()).then_some(Series { name, color, shape: Shape::Line, points })
        };
        self.main().enumerate().filter_map(of).collect()
    }

    /// The configurations that are told of in sentences.
    fn main(&self) -> impl Iterator<Item = &Configuration> {
        self.configurations.iter().take(self.main)
    }

    /// The runs of configuration `other` beside the first one's with the same seed.
    fn pairs(&self, other: usize) -> Vec<(&SeedRun, &SeedRun)> {
        let (Some(base), Some(other)) = (self.configurations.first(), self.configurations.get(other)) else {
            return Vec::new();
        };
        base.beside(other)
    }
}

impl Configuration {
    /// Its run with this seed.
    fn of_seed(&self, seed: u64) -> Option<&SeedRun> {
        self.runs.iter().find(|run| run.seed == seed)
    }

    /// Its runs, each with the one of `other` that has the same seed.
    fn beside<'a>(&'a self, other: &'a Self) -> Vec<(&'a SeedRun, &'a SeedRun)> {
        other.runs.iter().filter_map(|run| Some((self.of_seed(run.seed)?, run))).collect()
    }
}

/// Trials by length.
fn by_length(outcomes: &[Outcome]) -> BTreeMap<usize, Vec<&Outcome>> {
    let mut lengths: BTreeMap<usize, Vec<&Outcome>> = BTreeMap::new();
    for outcome in crate::report::latest(outcomes) {
        lengths.entry(outcome.context_length).or_default().push(outcome);
    }
    lengths
}

/// The mean of a loss over the last steps: single batches differ more than models.
pub(in crate::laboratory) fn final_loss(steps: &[StepLoss], of: fn(&StepLoss) -> Option<f64>) -> Option<f64> {
    let last = steps.len().div_ceil(FINAL);
    mean(&steps[steps.len() - last..].iter().filter_map(of).collect::<Vec<_>>())
}

/// The interval of a mean over seeds.
fn over_seeds(values: &[f64]) -> Interval {
    mean_interval(&values.iter().map(|&value| vec![value]).collect::<Vec<_>>(), None)
}

/// A number with three decimals; a dash for none.
fn number(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |value| format!("{value:.3}"))
}

/// Words joined as a sentence does.
pub(in crate::laboratory) fn joined(words: &[String]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Table;
    use crate::report::tests::outcome;

    /// A training of 20 steps that ends at `loss`, with answers at 16 times the training length of 64.
    fn run(seed: u64, loss: f64, answers: &[(&str, f64)]) -> SeedRun {
        let steps = (1..=20).map(|step| StepLoss {
            step,
            loss: if step == 20 { loss } else { 9.0 },
            answer_loss: None,
            learning_rate: 0.1,
            gradient_norm: 1.0,
            scale: None,
            largest_window: None,
            windows_beyond: None,
        });
        let trial = |(index, (response, mass)): (usize, &(&str, f64))| Outcome {
            expected_answer: "1234567".to_string(),
            model_response: Some((*response).to_string()),
            ..outcome(1024, 50.0, index, *response == "1234567", Some(*mass))
        };
        let outcomes: Vec<Outcome> = answers.iter().enumerate().map(trial).collect();
        let row = |outcome: &Outcome| attention(&outcome.row_id, outcome.needle_mass_top.unwrap(), 1.0);
        let attention = outcomes.iter().map(row).collect();
        let bucket = |start, end, loss| BucketLoss {
            position_start: start,
            position_end: end,
            n_tokens: 1,
            n_texts: 1,
            loss_mean: Some(loss),
            loss_ci_low: None,
            loss_ci_high: None,
        };
        SeedRun {
            seed,
            steps: steps.collect(),
            positions: vec![bucket(33, 64, 2.0), bucket(65, 1024, 2.0 + loss)],
            outcomes,
            attention,
            ..SeedRun::default()
        }
    }

    /// What the only head did in a trial.
    fn attention(row_id: &str, needle_mass: f64, total_mass: f64) -> AttentionRow {
        AttentionRow {
            run_id: "run".into(),
            row_id: row_id.to_string(),
            layer: 0,
            head: 0,
            needle_mass,
            value_mass: 0.0,
            total_mass,
            sink_mass: 0.0,
            lift: None,
            entropy: None,
            argmax_position: 0,
            answer_needle_mass: 0.0,
            answer_value_mass: 0.0,
            answer_total_mass: 0.0,
            answer_sink_mass: 0.0,
            passed_keys: None,
            passed_share: None,
            zero_share: None,
            effective_window: None,
            output_gate: None,
            gated_needle_mass: None,
            ..AttentionRow::default()
        }
    }

    fn experiment() -> Experiment {
        let base =
            vec![run(1, 3.0, &[("1234567", 0.9), ("1000000", 0.2), ("7", 0.1), ("", 0.0)]), run(2, 2.5, &[])];
        let other = vec![run(1, 2.0, &[("1234567", 0.9); 4]), run(2, 2.0, &[])];
        let configuration =
            |name: &str, runs| Configuration { name: name.to_string(), part: "", claim: None, runs };
        Experiment {
            title: "t".to_string(),
            method: vec!["m".to_string()],
            command: "c".to_string(),
            training_length: 64,
            main: 2,
            paper: Paper::default(),
            configurations: vec![configuration("(a) softmax", base), configuration("(b) ssmax", other)],
        }
    }

    fn tables(document: &Document) -> Vec<&Table> {
        document
            .blocks
            .iter()
            .filter_map(|block| if let Block::Table(table) = block { Some(table) } else { None })
            .collect()
    }

    #[test]
    fn differences_are_taken_seed_by_seed_and_answers_are_sorted_by_their_first_digit() {
        let document = document(&experiment(), vec![], vec![]);
        let tables = tables(&document);
        // Retrieval by length and by cell, training loss, loss by position, heads.
        assert_eq!(tables[0].rows[0][..4], ["(a) softmax", "1", "4", "0.250 [0.05, 0.70]"]);
        assert_eq!(tables[1].rows[1], ["(b) ssmax", "50 %", "1.00 [0.51, 1.00]"]);
        // The differences are -1 and -0.5.
        assert_eq!(tables[2].rows[1], ["(b) ssmax", "2", "2.000", "-0.7500", "0.3536", "–", "–"]);
        assert_eq!(tables[3].rows[0], ["(a) softmax", "2.000 ± 0.000", "4.750 ± 0.354"]);
        assert_eq!(tables[4].rows[0], ["(a) softmax", "0.300", "0.300", "1", "1", "2"]);
        assert_eq!(tables[4].rows[1][3..], ["4", "0", "0"]);
    }

    #[test]
    fn learned_windows_are_told_by_seed() {
        let mut experiment = experiment();
        assert_eq!(tables(&document(&experiment, vec![], vec![])).len(), 5);
        for (step, window, beyond) in [(0, 60.0, 0), (19, 900.25, 3)] {
            let step = &mut experiment.configurations[1].runs[1].steps[step];
            (step.largest_window, step.windows_beyond) = (Some(window), Some(beyond));
        }
        let document = document(&experiment, vec![], vec![]);
        assert_eq!(tables(&document)[5].rows, [["(b) ssmax", "2", "60.0", "900.2", "3"]]);
    }

    #[test]
    fn a_seed_that_fails_is_not_hidden_by_one_with_more_prompts() {
        let mut experiment = experiment();
        let right = experiment.configurations[1].runs[0].outcomes[..2].to_vec();
        experiment.configurations[0].runs[1].outcomes = right;
        let document = document(&experiment, vec![], vec![]);
        let rows = &tables(&document)[0].rows;
        assert_eq!(rows[0], ["(a) softmax", "1", "4", "0.250 [0.05, 0.70]"]);
        assert_eq!(rows[1], ["(a) softmax", "2", "2", "1.000 [0.34, 1.00]"]);
        let words = format!("{:?}", document.blocks);
        let told = "(a) softmax answers 0.625 exactly in the mean of 2 seeds (1 of 4, 2 of 2)";
        assert!(words.contains(told), "{words}");
    }

    #[test]
    fn what_is_found_is_said_in_words() {
        let document = document(&experiment(), vec![], vec![]);
        let words: String = document
            .blocks
            .iter()
            .filter_map(|block| if let Block::Paragraph(words) = block { Some(words.as_str()) } else { None })
            .collect();
        for piece in [
            "the loss of (b) ssmax is not shown to differ from that of (a) softmax: -0.7500 nats in the mean \
             of 2 seeds (-1.0000 and -0.5000; 95 % interval -3.9266 to +2.4266, Student's t over 2 seeds)",
            "At 16 times of it, 1k tokens, (a) softmax answers 0.250 exactly (1 of 4) and (b) ssmax answers \
             1.000 exactly (4 of 4).",
            "by +2.750 nats under (a) softmax (by seed +3.000, +2.500) and by +2.000 nats under (b) ssmax (by \
             seed +2.000, +2.000)",
        ] {
            assert!(words.contains(piece), "{piece}\nin\n{words}");
        }
    }

    #[test]
    fn absolute_weights_are_shares_of_their_totals_and_empty_rows_are_counted_and_not_divided() {
        let mut experiment = experiment();
        let rows = &mut experiment.configurations[1].runs[0].attention;
        (rows[0].needle_mass, rows[0].total_mass) = (3.0, 4.0);
        (rows[1].needle_mass, rows[1].total_mass) = (0.0, 0.0);
        let document = document(&experiment, vec![], vec![]);
        let table = tables(&document)[4];
        assert_eq!(table.header[6..], ["total of that head", "its empty rows", "empty rows of all"]);
        // The shares are 0.75, none and twice 0.9.
        assert_eq!(table.rows[1][1..], ["0.850", "0.637", "4", "0", "0", "1.500", "1 of 4", "1 of 4"]);
        assert_eq!(table.rows[0][6..], ["1.000", "0 of 4", "0 of 4"]);
    }

    #[test]
    fn a_head_that_is_nearly_always_empty_is_not_the_best_one() {
        let mut experiment = experiment();
        let rows = &mut experiment.configurations[1].runs[0].attention;
        for row in rows.iter_mut() {
            (row.needle_mass, row.total_mass) = (1.2, 2.0);
        }
        let phantom = |(index, row): (usize, &AttentionRow)| {
            let mass = if index == 0 { 1e-4 } else { 0.0 };
            AttentionRow { head: 1, needle_mass: mass, total_mass: mass * 1.25, ..row.clone() }
        };
        let phantoms: Vec<_> = rows.iter().enumerate().map(phantom).collect();
        rows.extend(phantoms);
        let document = document(&experiment, vec![], vec![]);
        let row = &tables(&document)[4].rows[1];
        assert_eq!(row[1..3], ["0.600", "0.600"], "the top head of a trial has the largest mass");
        assert_eq!(row[6..], ["2.000", "0 of 4", "3 of 8"]);
    }

    #[test]
    fn every_main_configuration_is_told_of_and_no_other() {
        let mut experiment = experiment();
        let third = Configuration { name: "multiscreen".to_string(), ..experiment.configurations[1].clone() };
        experiment.configurations.push(third);
        let told = |experiment: &Experiment| {
            let blocks = document(experiment, vec![], vec![]).blocks;
            let words = blocks.iter().filter(|block| matches!(block, Block::Paragraph(_)));
            words.map(|block| format!("{block:?}")).collect::<String>()
        };
        let pieces = [
            "the loss of multiscreen is not shown to differ from that of (a) softmax",
            "and multiscreen answers 1.000 exactly",
            "nats under multiscreen",
        ];
        let words = told(&experiment);
        assert!(pieces.iter().all(|piece| !words.contains(piece)), "{words}");
        experiment.main = 3;
        experiment.paper = Paper { retrieval: "Retrieval.", loss: "Loss.", positions: "Positions." };
        let words = told(&experiment);
        for piece in pieces.iter().chain(&["Retrieval.", "Loss.", "Positions."]) {
            assert!(words.contains(piece), "{piece} in {words}");
        }
    }

    #[test]
    fn a_configuration_that_was_not_measured_has_no_row() {
        let mut experiment = experiment();
        let runs = vec![SeedRun::default()];
        experiment.configurations.push(Configuration {
            name: "adaptive".to_string(),
            part: "",
            claim: None,
            runs,
        });
        let document = document(&experiment, vec![], vec![]);
        assert_eq!(tables(&document)[0].rows.len(), 2);
        experiment.configurations.clear();
        assert!(!super::document(&experiment, vec![], vec![]).blocks.is_empty());
    }
}
