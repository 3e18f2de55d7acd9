//! Several tasks beside each other, in one table: the mean score of each by length, the attention on what is
//! asked for and on other spans, and where they ran with controls what these say.

mod means;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;

use self::means::{MeanOfTasks, RulerTotals, ruler_sentence};
use self::rows::{Kinds, Row, Sums};
use super::controls::Meaning;
use super::data::Data;
use super::document::{Block, Document, Table};
use super::{Report, latest, or_missing};
use crate::error::{Error, Result};
use crate::grid::ContextLength;
use crate::stats::{Decides, LengthRule, Rule};
use crate::trial::{Outcome, Status};

/// The task as it is, where it stands beside its controls.
pub const AS_IT_IS: &str = "task";

/// The mass of one kind of span in one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct KindMass {
    /// Key of the trial.
    pub row_id: String,
    /// The kind.
    pub kind: String,
    /// The largest mass of any head on all spans of the kind together, at the query that predicts the first
    /// answer token.
    pub mass: f64,
}

/// A task as it is, or under one control, with its trials.
#[derive(Debug, Clone, Default)]
pub struct TaskRun {
    /// Name of the control; [`AS_IT_IS`] without one.
    pub control: String,
    /// Its rows.
    pub outcomes: Vec<Outcome>,
    /// The masses of its kinds of spans; none of a task that has targets alone.
    pub kinds: Vec<KindMass>,
    /// Trials of its plan.
    pub planned: usize,
}

/// What came of one task.
#[derive(Debug, Clone, Default)]
pub struct TaskResult {
    /// Its name.
    pub task: String,
    /// What ran: the task as it is, and its controls.
    pub runs: Vec<TaskRun>,
    /// Why it did not run at all.
    pub left_out: Option<String>,
}

impl TaskResult {
    fn run(&self, control: &str) -> Option<&TaskRun> {
        self.runs.iter().find(|run| run.control == control)
    }
}

/// What there is to say of several tasks.
pub struct TasksReport {
    /// What ran, in one line.
    pub title: String,
    /// Every task.
    pub results: Vec<TaskResult>,
    /// Whether they ran with their controls.
    pub controls: bool,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// The rule of the effective length, which the mean over RULER's tasks is judged by.
    pub rule: LengthRule,
}

/// A rule that a mean over tasks can be judged by.
///
/// # Errors
/// [`Error::InvalidValue`] for one that takes intervals, depths or the score of a single task.
pub fn rule_of_means(rule: LengthRule) -> Result<LengthRule> {
    match (rule.rule, rule.decides) {
        (Rule::Ruler, Decides::Score) => Ok(rule),
        (Rule::Ruler, _) => Err(Error::invalid(
            "conservative",
            "it",
            "values that decide: a mean over tasks has no interval, as these tasks are drawn from nothing",
        )),
        (other, _) => {
            Err(Error::invalid("rule", other.name(), "ruler, the one rule that judges means over tasks"))
        }
    }
}

/// All tasks together, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Totals {
    tasks: usize,
    by_length: Vec<MeanOfTasks>,
    ruler: Option<RulerTotals>,
}

/// What ran, for programs.
#[derive(Serialize)]
struct Ran {
    title: String,
    tasks: Vec<String>,
    controls: bool,
    notes: Vec<String>,
}

impl TasksReport {
    /// The lengths that ran, ascending.
    fn lengths(&self) -> Vec<usize> {
        let runs = self.results.iter().flat_map(|result| &result.runs);
        let lengths: BTreeSet<usize> =
            runs.flat_map(|run| run.outcomes.iter().map(|outcome| outcome.context_length)).collect();
        lengths.into_iter().collect()
    }

    /// Every run, by length and over all lengths, and the tasks that did not run.
    fn rows(&self) -> Vec<Row<Kinds>> {
        let of_result = |result: &TaskResult| -> Vec<Row<Kinds>> {
            let of_run = |run: &TaskRun| {
                let lengths: BTreeSet<usize> = run.outcomes.iter().map(|row| row.context_length).collect();
                let lengths = lengths.into_iter().map(Some).chain([None]);
                lengths.map(|length| Row::of(&result.task, run, length)).collect::<Vec<_>>()
            };
            let left_out = result.left_out.iter().map(|why| {
                let (task, control) = (result.task.clone(), AS_IT_IS.to_string());
                let sums = Sums { task, control, left_out: Some(why.clone()), ..Sums::default() };
                Row { sums, kind_masses: Kinds::default() }
            });
            result.runs.iter().flat_map(of_run).chain(left_out).collect()
        };
        self.results.iter().flat_map(of_result).collect()
    }

    /// The table: a task a row, and the means in the last ones.
    fn table(&self, lengths: &[usize], totals: &Totals) -> Table {
        let kinds = self.results.iter().any(|result| !shown_kinds(result).is_empty());
        let mut header = vec!["task".to_string(), "n".to_string(), "trials".to_string()];
        header.extend(lengths.iter().map(|&length| ContextLength(length).to_string()));
        header.push("needle mass".to_string());
        header.extend(self.controls.then(|| "false answers".to_string()));
        header.extend(kinds.then(|| "mass by kind".to_string()));
        let behind = header.len() - 3 - lengths.len();
        let mut rows: Vec<Vec<String>> = self
            .results
            .iter()
            .map(|result| {
                let run = result.run(AS_IT_IS);
                let all = run.map(|run| Row::of(&result.task, run, None).sums);
                let count = |of: fn(&Sums) -> usize| all.as_ref().map_or(0, of).to_string();
                let mut row = vec![result.task.clone(), count(|all| all.n), count(|all| all.n_trials)];
                let score = |&length: &usize| {
                    or_missing(
                        run.and_then(|run| with_interval(&Row::of(&result.task, run, Some(length)).sums)),
                    )
                };
                row.extend(lengths.iter().map(score));
                row.push(or_missing(all.and_then(|all| all.needle_mass_top_mean).map(mass)));
                if self.controls {
                    let without = result.run("no-needle").map(|run| Row::of(&result.task, run, None).sums);
                    row.push(or_missing(without.and_then(|row| row.false_answers).map(percent)));
                }
                if kinds {
                    row.push(or_missing(Some(shown_kinds(result)).filter(|text| !text.is_empty())));
                }
                row
            })
            .collect();
        let mut mean = |label: String, tasks: usize, means: &[MeanOfTasks]| {
            let at = |length: &usize| {
                let mean = means.iter().find(|mean| mean.context_length == *length)?;
                let fewer = if mean.tasks < tasks { format!(" of {}", mean.tasks) } else { String::new() };
                Some(format!("{}{fewer}", percent(mean.score_mean)))
            };
            let mut row = vec![label, "-".to_string(), "-".to_string()];
            row.extend(lengths.iter().map(|length| or_missing(at(length))));
            row.extend(vec!["-".to_string(); behind]);
            rows.push(row);
        };
        if totals.tasks > 1 {
            mean(format!("mean of {} tasks", totals.tasks), totals.tasks, &totals.by_length);
        }
        if let Some(ruler) = &totals.ruler
            && ruler.tasks.len() < totals.tasks
        {
            let tasks = ruler.tasks.len();
            mean(format!("mean of RULER's {tasks}"), tasks, &ruler.by_length);
        }
        Table { caption: String::new(), header, rows }
    }

    /// The mean score under each control, a task a row.
    fn controls(&self) -> Option<Table> {
        let named: BTreeSet<&str> =
            self.results.iter().flat_map(|result| &result.runs).map(|run| run.control.as_str()).collect();
        let names: Vec<&str> = Meaning::names().filter(|name| named.contains(name)).collect();
        if !self.controls || names.is_empty() {
            return None;
        }
        let row = |result: &TaskResult| {
            let of = |control: &str| result.run(control).map(|run| Row::of(&result.task, run, None).sums);
            let score = |&name: &&str| or_missing(of(name).and_then(|row| row.score_mean).map(percent));
            let place = of("no-needle").and_then(|row| row.needle_mass_top_mean);
            let scores = [AS_IT_IS].iter().chain(&names).map(score).collect::<Vec<_>>();
            [vec![result.task.clone()], scores, vec![or_missing(place.map(mass))]].concat()
        };
        let header = [&["task", "as it is"], &names[..], &["mass in its place"]].concat();
        let ran = self.results.iter().filter(|result| !result.runs.is_empty());
        let table = Table::new(&header, ran.map(row).collect());
        Some(table.captioned("mean score under each control, over all lengths"))
    }

    /// What the columns mean, and what is missing.
    fn lines(&self, totals: &Totals) -> Vec<String> {
        let mut lines = vec![
            "under a length: mean score, by the task's scorer, with its 95% interval; n = prompts; trials = \
             independent haystacks, which the prompts of a trial share; needle mass = the largest of any \
             head on what is asked for, mean over trials"
                .to_string(),
        ];
        if totals.tasks > 1 {
            lines.push("means over tasks have no interval: these tasks are drawn from nothing".to_string());
        }
        if self.controls {
            lines.push(
                "false answers = share of right answers where nothing that is asked for is in the text (control \
                 no-needle); mass in its place = needle mass there, on the tokens where it would have stood"
                    .to_string(),
            );
        }
        let kinds: Vec<&TaskResult> =
            self.results.iter().filter(|result| !shown_kinds(result).is_empty()).collect();
        if !kinds.is_empty() {
            let of = if self.controls { "; distractors are those of the run with them" } else { "" };
            lines.push(format!("mass by kind = the same on all spans of that kind together{of}"));
        }
        lines.extend(self.notes.iter().cloned());
        let runs = || self.results.iter().flat_map(|result| &result.runs);
        let planned: usize = runs().map(|run| run.planned).sum();
        let rows: Vec<&Outcome> = runs().flat_map(|run| latest(&run.outcomes)).collect();
        let waiting =
            self.results.iter().filter(|result| result.runs.is_empty() && result.left_out.is_none());
        let waiting: Vec<&str> = waiting.map(|result| result.task.as_str()).collect();
        if !waiting.is_empty() {
            lines.push(format!("not begun yet: {}", waiting.join(", ")));
        }
        if rows.len() < planned {
            lines.push(format!("{} of {planned} trials have run", rows.len()));
        }
        let failed = rows.iter().filter(|row| row.status == Status::Error).count();
        if failed > 0 {
            lines.push(format!("{failed} trials failed and are not counted"));
        }
        lines
    }
}

/// The kinds of spans beside the target, with their masses.
fn shown_kinds(result: &TaskResult) -> String {
    let of = |control: &str| result.run(control).map(|run| Row::of(&result.task, run, None).kind_masses);
    let mut kinds = of(AS_IT_IS).unwrap_or_default();
    for (kind, mass) in of("distractors").unwrap_or_default() {
        kinds.entry(kind).or_insert(mass);
    }
    let shown = kinds.into_iter().filter(|(kind, _)| kind != "target");
    shown.map(|(kind, value)| format!("{kind} {}", mass(value))).collect::<Vec<_>>().join(", ")
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

fn mass(value: f64) -> String {
    format!("{value:.3}")
}

fn with_interval(row: &Sums) -> Option<String> {
    let mean = percent(row.score_mean?);
    let ends = row.ci_low.zip(row.ci_high);
    Some(ends.map_or(mean.clone(), |(low, high)| format!("{mean} ({:.0}-{:.0})", 100.0 * low, 100.0 * high)))
}

impl From<TasksReport> for Report {
    fn from(report: TasksReport) -> Self {
        let lengths = report.lengths();
        let by_length = report.means(&lengths, |_| true);
        let tasks = report.results.iter().filter(|result| result.run(AS_IT_IS).is_some()).count();
        let ruler = report.ruler(&lengths);
        let sentence = ruler.as_ref().map(|(totals, found)| ruler_sentence(totals, found));
        let totals = Totals { tasks, by_length, ruler: ruler.map(|(totals, _)| totals) };
        let mut blocks = vec![Block::Lines(vec![report.title.clone()])];
        blocks.extend(report.controls().map(Block::Wide));
        blocks.push(Block::Together(vec![
            Block::Wide(report.table(&lengths, &totals)),
            Block::Lines(report.lines(&totals)),
        ]));
        blocks.extend(sentence.map(Block::Paragraph));
        let rows = report.rows();
        let ran = Ran {
            title: report.title,
            tasks: report.results.iter().map(|result| result.task.clone()).collect(),
            controls: report.controls,
            notes: report.notes,
        };
        let flat: Vec<Row<String>> = rows.iter().map(Row::flat).collect();
        let data = Data::rows("tasks", flat).of(ran).with_totals(totals).with_nested(rows);
        Self { document: Document { title: "Tasks".to_string(), blocks }, data }
    }
}
