//! What was learned of windows, where they are learned.

use super::{Experiment, SeedRun};
use crate::report::document::{Block, Table};

/// Nothing where no window is learned.
pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let of = |name: &str, run: &SeedRun| {
        let (first, last) = (run.steps.first()?, run.steps.last()?);
        let largest = [first, last].map(|step| step.largest_window.map(|window| format!("{window:.1}")));
        let [Some(before), Some(after)] = largest else { return None };
        let beyond = last.windows_beyond.map_or("–".to_string(), |count| count.to_string());
        Some(vec![name.to_string(), run.seed.to_string(), before, after, beyond])
    };
    let rows = experiment.configurations.iter().flat_map(|configuration| {
        configuration.runs.iter().filter_map(|run| of(&configuration.name, run)).collect::<Vec<_>>()
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return vec![];
    }
    let table = Table {
        caption: format!(
            "The largest learned window in tokens after the first step and after the last one, and how many \
             windows are then larger than the training length, {} tokens: those are unlimited in longer \
             sequences.",
            experiment.training_length
        ),
        header: [
            "configuration",
            "seed",
            "largest at first",
            "largest at last",
            "beyond the training length",
        ]
        .map(String::from)
        .to_vec(),
        rows,
    };
    vec![Block::Heading("Learned windows".to_string()), Block::Table(table)]
}
