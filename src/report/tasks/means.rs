//! Means over tasks, and what RULER's rule says of that over its own.

use serde::Serialize;

use super::rows::Row;
use super::{AS_IT_IS, TasksReport, percent};
use crate::grid::ContextLength;
use crate::report::verdict::exact;
use crate::stats::{self, EffectiveLength, Interval, LengthScores, Score};
use crate::task::groups::{RULER, RULER_ELSEWHERE, RULER_TASKS, members};

/// The mean over tasks at one length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct MeanOfTasks {
    pub(super) context_length: usize,
    /// Tasks that ran at it.
    pub(super) tasks: usize,
    pub(super) score_mean: f64,
}

/// The mean over RULER's tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RulerTotals {
    /// Tasks that ran.
    pub(super) tasks: Vec<String>,
    /// Tasks of the original.
    pub(super) of: usize,
    /// Those of the original that are not in the mean.
    pub(super) missing: Vec<String>,
    pub(super) by_length: Vec<MeanOfTasks>,
    pub(super) rule: &'static str,
    pub(super) threshold: f64,
    pub(super) effective_length: Option<usize>,
}

impl TasksReport {
    /// The mean over those tasks that `wanted` says, at every length.
    pub(super) fn means(&self, lengths: &[usize], wanted: impl Fn(&str) -> bool) -> Vec<MeanOfTasks> {
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
    pub(super) fn ruler(&self, lengths: &[usize]) -> Option<(RulerTotals, EffectiveLength)> {
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
}

/// What the mean over RULER's tasks comes to.
pub(super) fn ruler_sentence(totals: &RulerTotals, found: &EffectiveLength) -> String {
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
