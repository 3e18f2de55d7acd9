//! Exact answers by length and depth.

use std::collections::BTreeMap;

use super::claims::claims;
use super::{Configuration, Experiment, SeedRun, by_length, joined, tokens};
use crate::grid::{Cell, ContextLength, Depth};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Table};
use crate::report::heatmap::Heatmap;
use crate::report::{Tally, cells};
use crate::stats::mean;
use crate::trial::Outcome;

/// What was asked for in a grid, and where its trials are.
struct Asked {
    heading: &'static str,
    /// Beginning of the names of its figures.
    name: &'static str,
    trials: fn(&SeedRun) -> &[Outcome],
}

const ASKED: [Asked; 2] = [
    Asked { heading: "Retrieval of a needle from prose", name: "needles", trials: |run| &run.outcomes },
    Asked { heading: "Retrieval from key-value lines", name: "key-values", trials: |run| &run.key_values },
];

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    ASKED.iter().flat_map(|asked| asked.section(experiment)).collect()
}

impl Asked {
    fn section(&self, experiment: &Experiment) -> Vec<Block> {
        let lengths = self.lengths(experiment);
        if lengths.is_empty() {
            return Vec::new();
        }
        let chart = Chart {
            title: "Exact answers by context length".to_string(),
            x: Axis::logarithmic("context length (tokens)"),
            y: Axis::linear("accuracy", Some((0.0, 1.0))),
            series: experiment.series(|run| self.curve(run)),
            marks: vec![(experiment.training_length as f64, "training length".to_string())],
        };
        let chart = Figure {
            name: format!("{}-by-length", self.name),
            caption:
                "Share of exact answers over all depths, with 95 % intervals over trials (Wilson's); the \
                      first seed of each configuration."
                    .to_string(),
            panels: vec![Panel::Chart(chart)],
        };
        let maps = experiment.configurations.iter().filter_map(|configuration| {
            let trials = (self.trials)(configuration.runs.first()?);
            let map = Heatmap::accuracy(&cells(trials, &planned(trials)), Some(experiment.training_length));
            let map = Heatmap { title: configuration.name.clone(), ..map };
            (!trials.is_empty()).then_some(Panel::Heatmap(map))
        });
        let maps = Figure {
            name: format!("{}-grids", self.name),
            caption:
                "Share of exact answers by context length and depth, of the first seed. The line marks the \
                 training length."
                    .to_string(),
            panels: maps.collect(),
        };
        let header = lengths.iter().map(|length| ContextLength(*length).to_string());
        let table = Table {
            caption: "Share of exact answers over all depths with its 95 % interval, of every seed: \
                      Wilson's, for as many independent prompts as these are worth, since the depths of a \
                      trial share a haystack. Seeds answer the same prompts."
                .to_string(),
            header: ["configuration", "seed", "prompts a length"]
                .map(String::from)
                .into_iter()
                .chain(header)
                .collect(),
            rows: experiment
                .configurations
                .iter()
                .flat_map(|configuration| self.rows(configuration, &lengths))
                .collect(),
        };
        let mut blocks = vec![
            Block::Heading(self.heading.to_string()),
            Block::Paragraph(self.finding(experiment, &lengths)),
        ];
        blocks.extend(claims(experiment, self.trials).into_iter().map(Block::Paragraph));
        blocks.extend([Block::Figure(chart), Block::Figure(maps), Block::Table(table)]);
        blocks.push(Block::Table(self.cells(experiment, &lengths)));
        blocks
    }

    /// Every cell of the main configurations with its interval.
    fn cells(&self, experiment: &Experiment, lengths: &[usize]) -> Table {
        let of = |configuration: &Configuration| {
            let trials = configuration.runs.first().map(self.trials).unwrap_or_default();
            let mut rows: BTreeMap<Depth, Vec<String>> = BTreeMap::new();
            for cell in cells(trials, &planned(trials)) {
                let row = rows.entry(cell.depth_percent).or_insert_with(|| {
                    let names = [configuration.name.clone(), format!("{} %", cell.depth_percent)];
                    names.into_iter().chain(lengths.iter().map(|_| "–".to_string())).collect()
                });
                let column = lengths.iter().position(|length| *length == cell.context_length);
                if let (Some(column), Some(accuracy)) = (column, cell.means.accuracy) {
                    row[column + 2] =
                        with_interval(format!("{accuracy:.2}"), cell.means.ci_low.zip(cell.means.ci_high));
                }
            }
            rows.into_values()
        };
        let header = lengths.iter().map(|length| ContextLength(*length).to_string());
        Table {
            caption: "Share of exact answers of every cell with its 95 % Wilson interval; the first seed."
                .to_string(),
            header: ["configuration".to_string(), "depth".to_string()].into_iter().chain(header).collect(),
            rows: experiment.main().flat_map(of).collect(),
        }
    }

    fn lengths(&self, experiment: &Experiment) -> Vec<usize> {
        let runs = experiment.configurations.iter().flat_map(|configuration| &configuration.runs);
        let mut lengths: Vec<usize> =
            runs.flat_map(|run| (self.trials)(run).iter().map(|outcome| outcome.context_length)).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    fn curve(&self, run: &SeedRun) -> Vec<Point> {
        let point = |(length, outcomes): (&usize, &Vec<_>)| {
            let tally = Tally::of(outcomes);
            Some(Point { x: *length as f64, y: tally.accuracy?, interval: tally.interval.ends() })
        };
        by_length((self.trials)(run)).iter().filter_map(point).collect()
    }

    /// The trials of a length, a tally for each seed that has any.
    fn tallies(&self, configuration: &Configuration, length: usize) -> Vec<Tally> {
        let of = |run: &SeedRun| Some(Tally::of(by_length((self.trials)(run)).get(&length)?));
        configuration.runs.iter().filter_map(of).collect()
    }

    /// A row for each seed that was measured.
    fn rows(&self, configuration: &Configuration, lengths: &[usize]) -> Vec<Vec<String>> {
        let row = |run: &SeedRun| {
            let outcomes = by_length((self.trials)(run));
            let tallies: Vec<Option<Tally>> =
                lengths.iter().map(|length| outcomes.get(length).map(|trials| Tally::of(trials))).collect();
            let prompts = tallies.iter().flatten().map(|tally| tally.n).max()?;
            let cell = |tally: &Option<Tally>| {
                let told = |tally: &Tally| {
                    Some(with_interval(format!("{:.3}", tally.accuracy?), tally.interval.ends()))
                };
                tally.as_ref().and_then(told).unwrap_or_else(|| "–".to_string())
            };
            let names = [configuration.name.clone(), run.seed.to_string(), prompts.to_string()];
            Some(names.into_iter().chain(tallies.iter().map(cell)).collect())
        };
        configuration.runs.iter().filter_map(row).collect()
    }

    /// Accuracy of the main configurations at the training length and at multiples of it.
    fn finding(&self, experiment: &Experiment, lengths: &[usize]) -> String {
        let told = |factor: usize| {
            let length = experiment.training_length * factor;
            let each = experiment.main().filter_map(|configuration| {
                let tallies = self.tallies(configuration, length);
                let accuracy = mean(&tallies.iter().filter_map(|tally| tally.accuracy).collect::<Vec<_>>())?;
                let counts: Vec<String> =
                    tallies.iter().map(|tally| format!("{} of {}", tally.n_correct, tally.n)).collect();
                let seeds = match tallies.len() {
                    1 => String::new(),
                    n => format!(" in the mean of {n} seeds"),
                };
                Some(format!(
                    "{} answers {accuracy:.3} exactly{seeds} ({})",
                    configuration.name,
                    counts.join(", ")
                ))
            });
            let each: Vec<String> = each.collect();
            let times =
                if factor == 1 { "the training length".to_string() } else { format!("{factor} times of it") };
            lengths.contains(&length).then(|| format!("At {times}, {}, {}.", tokens(length), joined(&each)))
        };
        let told: Vec<String> = [1, 8, 16, 32].into_iter().filter_map(told).collect();
        format!("{} {}", told.join(" "), experiment.paper.retrieval)
    }
}

/// `0.950 [0.90, 0.98]`; the share alone where it has no interval.
pub(super) fn with_interval(share: String, interval: Option<(f64, f64)>) -> String {
    let interval = interval.map_or(String::new(), |(low, high)| format!(" [{low:.2}, {high:.2}]"));
    share + &interval
}

/// The cells that have a trial.
fn planned(trials: &[Outcome]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for outcome in trials {
        let cell = outcome.cell();
        if !cells.contains(&cell) {
            cells.push(cell);
        }
    }
    cells
}
