//! Several needles asked for at once, distractors, updates and chains: scores by length and the attention on
//! each needle, of the configurations that were trained on them.

use std::collections::BTreeSet;

use super::retrieval::with_interval;
use super::{Configuration, Experiment, SeedRun, by_length, over_seeds};
use crate::grid::ContextLength;
use crate::report::document::{Block, Table};
use crate::stats::mean;

/// The part of an experiment whose configurations stand here.
pub(super) const PART: &str = "several";

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let several: Vec<&Configuration> =
        experiment.configurations.iter().filter(|configuration| configuration.part == PART).collect();
    let runs = || several.iter().flat_map(|configuration| &configuration.runs);
    let outcomes = || runs().flat_map(|run| run.others.iter().flat_map(|(_, outcomes)| outcomes));
    let lengths: Vec<usize> =
        outcomes().map(|outcome| outcome.context_length).collect::<BTreeSet<_>>().into_iter().collect();
    if lengths.is_empty() {
        return Vec::new();
    }
    let table = |caption: &str, value: fn(&SeedRun, &str, usize) -> Option<f64>| Table {
        caption: caption.to_string(),
        header: ["task", "configuration", "seeds"]
            .map(String::from)
            .into_iter()
            .chain(lengths.iter().map(|length| ContextLength(*length).to_string()))
            .collect(),
        rows: rows(&several, &lengths, value),
    };
    vec![
        Block::Heading("Several needles, distractors, updates and chains".to_string()),
        Block::Paragraph(
            "These are trained on prompts of such tasks as well as on those of the main configurations, with \
             the recipe that was found for each of those. A score is the share of an answer's items that are \
             right; with several seeds an interval is Student's t over them."
                .to_string(),
        ),
        Block::Table(table("Mean score by context length.", score)),
        Block::Table(table(
            "Attention on each needle: the largest mass of any head at the query that begins the needle's item \
             of the answer (for tasks of one needle, the first of the answer), mean over needles and prompts.",
            mass,
        )),
    ]
}

/// A row for every task and configuration that has any value.
fn rows(
    several: &[&Configuration],
    lengths: &[usize],
    value: fn(&SeedRun, &str, usize) -> Option<f64>,
) -> Vec<Vec<String>> {
    let first = several.iter().find_map(|configuration| configuration.runs.first());
    let tasks = first.map_or(&[][..], |run| &run.others).iter().map(|(task, _)| *task);
    let row = |task: &str, configuration: &Configuration| {
        let of = |length: &usize| -> Vec<f64> {
            configuration.runs.iter().filter_map(|run| value(run, task, *length)).collect()
        };
        let values: Vec<Vec<f64>> = lengths.iter().map(of).collect();
        let seeds = values.iter().map(Vec::len).max().filter(|seeds| *seeds > 0)?;
        let cells = values.iter().map(|values| match mean(values) {
            Some(mean) => with_interval(format!("{mean:.3}"), over_seeds(values).ends()),
            None => "–".to_string(),
        });
        let names = [task.to_string(), configuration.name.clone(), seeds.to_string()];
        Some(names.into_iter().chain(cells).collect())
    };
    tasks.flat_map(|task| several.iter().filter_map(move |configuration| row(task, configuration))).collect()
}

/// Mean score of a task at a length.
pub(super) fn score(run: &SeedRun, task: &str, length: usize) -> Option<f64> {
    let outcomes = by_length(run.other(task));
    let scores: Vec<f64> = outcomes.get(&length)?.iter().filter_map(|outcome| outcome.score).collect();
    mean(&scores)
}

fn mass(run: &SeedRun, task: &str, length: usize) -> Option<f64> {
    let prefix = format!("{length}:");
    let (_, spans) = run.spans.iter().find(|(name, _)| *name == task)?;
    let needles = spans.iter().filter(|span| span.row_id.starts_with(&prefix));
    let needles = needles.filter(|span| span.kind == "target" || span.kind.starts_with("hop-"));
    mean(&needles.filter_map(|span| span.item_mass_top.or(span.mass_top)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;
    use crate::trial::{Outcome, SpanRow};

    fn run(seed: u64, score: f64, masses: &[f64]) -> SeedRun {
        let outcomes = vec![Outcome { score: Some(score), ..outcome(1024, 50.0, 0, score > 0.9, None) }];
        let span = |(span, mass): (usize, &f64)| SpanRow {
            row_id: outcomes[0].row_id.clone(),
            span,
            kind: "target".to_string(),
            item_mass_top: Some(*mass),
            ..SpanRow::default()
        };
        let mut spans: Vec<SpanRow> = masses.iter().enumerate().map(span).collect();
        spans.push(SpanRow { kind: "stale".to_string(), mass_top: Some(9.0), ..spans[0].clone() });
        SeedRun {
            seed,
            others: vec![("multi-2", outcomes)],
            spans: vec![("multi-2", spans)],
            ..SeedRun::default()
        }
    }

    #[test]
    fn scores_are_means_over_seeds_and_masses_means_over_needles() {
        let runs = vec![run(1, 0.5, &[0.25, 0.75]), run(2, 0.75, &[0.5, 1.0])];
        let main = Configuration { name: "a".to_string(), part: "", claim: None, runs: runs.clone() };
        let several = Configuration { name: "a, several".to_string(), part: PART, ..main.clone() };
        let mut experiment = Experiment { configurations: vec![main], ..Experiment::default() };
        assert!(section(&experiment).is_empty(), "of main configurations nothing stands here");
        experiment.configurations.push(several);
        let blocks = section(&experiment);
        let [Block::Table(scores), Block::Table(masses)] = &blocks[2..] else { panic!("{blocks:?}") };
        assert_eq!(scores.header[3..], ["1k"]);
        let [row] = &scores.rows[..] else { panic!("{scores:?}") };
        assert_eq!(row[..3], ["multi-2", "a, several", "2"]);
        assert!(row[3].starts_with("0.625 ["), "{row:?}");
        let [row] = &masses.rows[..] else { panic!("{masses:?}") };
        assert!(row[3].starts_with("0.625 ["), "{row:?}");
    }
}
