//! Several tasks beside each other, in one table: the mean score of each by length, the attention on what is
//! asked for and on other spans, and where they ran with controls what these say.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::controls::Meaning;
use super::data::Data;
use super::document::{Block, Document, Table};
use super::verdict::{exact, score};
use super::{Report, Tally, latest, or_missing};
use crate::error::{Error, Result};
use crate::grid::ContextLength;
use crate::stats::{self, Decides, EffectiveLength, Interval, LengthRule, LengthScores, Rule, Score};
use crate::task::groups::{RULER, RULER_ELSEWHERE, RULER_TASKS, members};
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

/// One task at one length, or at all lengths.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Sums {
    task: String,
    control: String,
    context_length: Option<usize>,
    n: usize,
    n_error: usize,
    score_mean: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    ci_method: &'static str,
    accuracy: Option<f64>,
    false_answers: Option<f64>,
    needle_mass_top_mean: Option<f64>,
    left_out: Option<String>,
    n_trials: usize,
}

/// The same with its masses by kind, written as `K`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Row<K> {
    #[serde(flatten)]
    sums: Sums,
    kind_masses: K,
}

/// Masses by kind.
type Kinds = BTreeMap<String, f64>;

impl Row<Kinds> {
    /// The row of those trials of a run that are of `length`, or of all.
    fn of(task: &str, run: &TaskRun, length: Option<usize>) -> Self {
        let trials: Vec<&Outcome> = latest(&run.outcomes)
            .into_iter()
            .filter(|outcome| length.is_none_or(|length| outcome.context_length == length))
            .collect();
        let tally = Tally::of(&trials);
        let ran: Vec<&Outcome> = trials.into_iter().filter(|row| row.status == Status::Ok).collect();
        let score = score(&ran);
        let interval = score.map_or(Interval::default(), |score| score.interval);
        let false_answers = |accuracy| Meaning::of(&run.control).false_answers(accuracy);
        let sums = Sums {
            task: task.to_string(),
            control: run.control.clone(),
            context_length: length,
            n: tally.n,
            n_error: tally.n_error,
            score_mean: score.map(|score| score.mean),
            ci_low: interval.ends().map(|ends| ends.0),
            ci_high: interval.ends().map(|ends| ends.1),
            ci_method: interval.method_name(),
            accuracy: tally.accuracy,
            false_answers: tally.accuracy.and_then(false_answers),
            needle_mass_top_mean: tally.needle_mass_top_mean,
            left_out: None,
            n_trials: tally.n_trials,
        };
        Self { sums, kind_masses: kinds(run, &ran) }
    }

    /// The same with masses as a text, for a flat table.
    fn flat(&self) -> Row<String> {
        let masses = self.kind_masses.iter().map(|(kind, mass)| format!("{kind}:{mass}"));
        Row { sums: self.sums.clone(), kind_masses: masses.collect::<Vec<_>>().join(" ") }
    }
}

/// The mean mass of every kind over these trials.
fn kinds(run: &TaskRun, ran: &[&Outcome]) -> Kinds {
    let ran: BTreeSet<&str> = ran.iter().map(|outcome| outcome.row_id.as_str()).collect();
    let mut masses: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in run.kinds.iter().filter(|row| ran.contains(row.row_id.as_str())) {
        masses.entry(&row.kind).or_default().push(row.mass);
    }
    let mean = |(kind, masses): (&str, Vec<f64>)| Some((kind.to_string(), stats::mean(&masses)?));
    masses.into_iter().filter_map(mean).collect()
}

/// The mean over tasks at one length.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct MeanOfTasks {
    context_length: usize,
    /// Tasks that ran at it.
    tasks: usize,
    score_mean: f64,
}

/// The mean over RULER's tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct RulerTotals {
    /// Tasks that ran.
    tasks: Vec<String>,
    /// Tasks of the original.
    of: usize,
    /// Those of the original that are not in the mean.
    missing: Vec<String>,
    by_length: Vec<MeanOfTasks>,
    rule: &'static str,
    threshold: f64,
    effective_length: Option<usize>,
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

    /// The mean over those tasks that `wanted` says, at every length.
    fn means(&self, lengths: &[usize], wanted: impl Fn(&str) -> bool) -> Vec<MeanOfTasks> {
        let of_length = |&length: &usize| {
            let results = self.results.iter().filter(|result| wanted(&result.task));
            let runs = results.filter_map(|result| Some((result, result.run(AS_IT_IS)?)));
            let means =
                runs.filter_map(|(result, run)| Row::of(&result.task, run, Some(length)).sums.score_mean);
            let means: Vec<f64> = means.collect();
            let score_mean = stats::mean(&means)?;
            Some(MeanOfTasks { context_length: length, tasks: means.len(), score_mean })
        };
        lengths.iter().filter_map(of_length).collect()
    }

    /// The mean over RULER's tasks, where all that are here were asked for.
    fn ruler(&self, lengths: &[usize]) -> Option<(RulerTotals, EffectiveLength)> {
        let asked = |name: &str| self.results.iter().any(|result| result.task == name);
        let of_ruler = |name: &str| members(RULER).any(|member| member == name);
        let by_length = self.means(lengths, of_ruler);
        if by_length.is_empty() || !members(RULER).all(asked) {
            return None;
        }
        let ran = |name: &str| {
            let result = self.results.iter().find(|result| result.task == name);
            result.and_then(|result| result.run(AS_IT_IS)).is_some_and(|run| !run.outcomes.is_empty())
        };
        let (in_it, left_out): (Vec<&str>, Vec<&str>) = members(RULER).partition(|name| ran(name));
        let scores = by_length.iter().map(|mean| LengthScores {
            length: mean.context_length,
            all: Score { n: mean.tasks, n_trials: 0, mean: mean.score_mean, interval: Interval::default() },
            depths: Vec::new(),
        });
        let effective = EffectiveLength::of(&scores.collect::<Vec<_>>(), self.rule);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let totals = RulerTotals {
            tasks: names(&in_it),
            of: RULER_TASKS,
            missing: [names(RULER_ELSEWHERE), names(&left_out)].concat(),
            by_length,
            rule: self.rule.rule.name(),
            threshold: self.rule.threshold(),
            effective_length: effective.tokens(),
        };
        Some((totals, effective))
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
        mean(format!("mean of {} tasks", totals.tasks), totals.tasks, &totals.by_length);
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

/// What the mean over RULER's tasks comes to.
fn ruler_sentence(totals: &RulerTotals, found: &EffectiveLength) -> String {
    let mean = |mean: &MeanOfTasks| {
        let fewer = mean.tasks < totals.tasks.len();
        let fewer = if fewer { format!(" ({} tasks)", mean.tasks) } else { String::new() };
        format!("{} at {}{fewer}", percent(mean.score_mean), ContextLength(mean.context_length))
    };
    let means: Vec<String> = totals.by_length.iter().map(mean).collect();
    let (elsewhere, left_out) = totals.missing.split_at(RULER_ELSEWHERE.len());
    let left_out = match left_out {
        [] => String::new(),
        names => format!(", and without {}, which did not run", names.join(", ")),
    };
    let rule = format!("by the rule ruler (mean score above {})", exact(totals.threshold));
    let reach = match (found.fails().map(|judged| ContextLength(judged.length)), found.tokens()) {
        (None, length) => {
            format!("the effective length is {}, the longest tested", ContextLength(length.unwrap_or(0)))
        }
        (Some(fails), Some(length)) => {
            format!("the effective length is {}, as {fails} fails", ContextLength(length))
        }
        (Some(fails), None) => format!("no length is effective, as {fails}, the shortest tested, fails"),
    };
    format!(
        "RULER, {} of its {} tasks (without {}, which need downloads{left_out}): mean score {}; {rule} {reach}.",
        totals.tasks.len(),
        totals.of,
        elsewhere.join(" and "),
        means.join(", ")
    )
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

#[cfg(test)]
mod tests;
