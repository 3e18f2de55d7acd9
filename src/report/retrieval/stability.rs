//! Whether the same heads retrieve again: rank correlations between halves of the trials, and between tasks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{HEAD_SCORES, HeadScore, HeadTrials, TrialHeads};
use crate::rng::Rng;
use crate::stats::spearman;

/// Samples that the bootstrap draws.
const RESAMPLES: usize = 500;

/// Heads of which is counted how many are among the first in both.
const TOP: usize = 10;

/// How far heads are ranked alike by one score in two sets of trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stability {
    /// The score.
    pub score: &'static str,
    /// The two sets, in words.
    pub between: String,
    /// Spearman's rank correlation of the means of all heads; missing where one side is all alike.
    pub correlation: Option<f64>,
    /// Lower end of its 95 % interval: percentiles of a bootstrap over trial numbers. Missing where a side
    /// has one alone.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// How many of the first ten heads of one are among those of the other.
    pub top_in_both: usize,
    /// Prompts of the two sets.
    pub n: [usize; 2],
}

/// Sums and counts by head, of the prompts of one trial number.
type Cluster = (Vec<f64>, Vec<f64>);

/// The prompts of one set by trial number.
type Clusters = BTreeMap<usize, Cluster>;

/// Between halves of the trials, by even and odd trial number, and between every two tasks, by every score.
#[must_use]
pub fn stabilities(trials: &HeadTrials) -> Vec<Stability> {
    let mut found = Vec::new();
    for entry in HEAD_SCORES {
        let clusters = |chosen: &dyn Fn(&TrialHeads) -> bool| clusters(trials, entry.value, chosen);
        let halves = [0, 1].map(|half| clusters(&|trial| trial.trial % 2 == half));
        found.extend(compared(entry.value, "even and odd trials".to_string(), &halves, false));
        for (number, task) in trials.tasks.iter().enumerate() {
            for (other_number, other) in trials.tasks.iter().enumerate().skip(number + 1) {
                let sides = [number, other_number].map(|task| clusters(&|trial| trial.task == task));
                found.extend(compared(entry.value, format!("{task} and {other}"), &sides, true));
            }
        }
    }
    found
}

fn clusters(trials: &HeadTrials, score: HeadScore, chosen: &dyn Fn(&TrialHeads) -> bool) -> Clusters {
    let heads = trials.heads.len();
    let mut clusters = Clusters::new();
    for trial in trials.trials.iter().filter(|trial| chosen(trial)) {
        let (sums, counts) =
            clusters.entry(trial.trial).or_insert_with(|| (vec![0.0; heads], vec![0.0; heads]));
        for (head, scores) in trial.scores.iter().enumerate() {
            let value = scores[score.place()];
            if value.is_finite() {
                sums[head] += value;
                counts[head] += 1.0;
            }
        }
    }
    clusters.retain(|_, (_, counts)| counts.iter().any(|&count| count > 0.0));
    clusters
}

/// The means by head of some clusters; no number for a head without a value.
fn means<'a>(clusters: impl Iterator<Item = &'a Cluster>, heads: usize) -> Vec<f64> {
    let (mut sums, mut counts) = (vec![0.0; heads], vec![0.0; heads]);
    for (own, n) in clusters {
        sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        counts.iter_mut().zip(n).for_each(|(count, n)| *count += n);
    }
    sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect()
}

/// The correlation over the heads that both sides know.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let known = a.iter().zip(b).filter(|(a, b)| a.is_finite() && b.is_finite());
    let (a, b): (Vec<f64>, Vec<f64>) = known.map(|(a, b)| (*a, *b)).unzip();
    spearman(&a, &b)
}

/// `paired`: prompts of one trial number share a haystack on both sides, and are drawn together. Nothing
/// where a side is empty.
fn compared(score: HeadScore, between: String, [a, b]: &[Clusters; 2], paired: bool) -> Option<Stability> {
    let heads = a.values().next().or(b.values().next())?.0.len();
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let [of_a, of_b] = [a, b].map(|side| means(side.values(), heads));
    let mut rng = Rng::for_purpose(0, &["head stability", score.name(), &between]);
    let mut draw = |clusters: &[usize]| clusters.iter().map(|_| *rng.choose(clusters)).collect::<Vec<_>>();
    let numbers = |side: &Clusters| side.keys().copied().collect::<Vec<_>>();
    let mut all: Vec<usize> = a.keys().chain(b.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    let enough = a.len() > 1 && b.len() > 1;
    let samples = (0..if enough { RESAMPLES } else { 0 }).filter_map(|_| {
        let [of_a, of_b] = match paired {
            true => {
                let drawn = draw(&all);
                [drawn.clone(), drawn]
            }
            false => [draw(&numbers(a)), draw(&numbers(b))],
        };
        let mean = |side: &Clusters, drawn: &[usize]| {
            means(drawn.iter().filter_map(|number| side.get(number)), heads)
        };
        correlation(&mean(a, &of_a), &mean(b, &of_b))
    });
    let mut samples: Vec<f64> = samples.collect();
    samples.sort_by(f64::total_cmp);
    let end =
        |share: f64| samples.get((share * samples.len().saturating_sub(1) as f64).round() as usize).copied();
    let count = |side: &Clusters| {
        side.values().map(|(_, n)| n.iter().fold(0.0, |most: f64, n| most.max(*n)) as usize).sum::<usize>()
    };
    let correlation = correlation(&of_a, &of_b);
    Some(Stability {
        score: score.name(),
        between,
        correlation,
        ci_low: end(0.025).filter(|_| correlation.is_some()),
        ci_high: end(0.975).filter(|_| correlation.is_some()),
        top_in_both: {
            let [first, second] = [&of_a, &of_b].map(|means| top(means));
            first.iter().filter(|head| second.contains(head)).count()
        },
        n: [count(a), count(b)],
    })
}

/// Numbers of the heads with the largest means above 0.
fn top(means: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..means.len()).filter(|&head| means[head] > 0.0).collect();
    order.sort_by(|&i, &j| means[j].total_cmp(&means[i]));
    order.truncate(TOP);
    order
}

#[cfg(test)]
mod tests {
    use super::super::tests::trials;
    use super::*;

    #[test]
    fn halves_and_tasks_are_compared_by_every_score_that_is_known() {
        let found = stabilities(&trials().counted(false));
        let names: Vec<_> = found.iter().map(|row| (row.score, row.between.as_str())).collect();
        let halves = "even and odd trials";
        assert_eq!(
            names,
            [
                ("copy-steps", halves),
                ("copy-steps", "magic and passkey"),
                ("copy-set", halves),
                ("copy-set", "magic and passkey"),
                ("needle-mass", halves),
                ("needle-mass", "magic and passkey"),
            ]
        );
        // Means 0, 0.5, 0.125 in even trials and 0.0625, 0.5, 0.125 in odd ones.
        assert_eq!((found[0].correlation, found[0].n), (Some(1.0), [2, 2]));
        assert_eq!(found[0].top_in_both, 2, "a head that never copies is not among the first");
        assert_eq!((found[0].ci_low, found[0].ci_high), (None, None), "a half is one trial number");
        // 0, 0.625, 0.25 against 0.0625, 0.375, 0: ranks 1, 3, 2 and 2, 3, 1.
        assert_eq!(found[1].correlation, Some(0.5));
        let (low, high) = (found[1].ci_low.unwrap(), found[1].ci_high.unwrap());
        assert!((-1.0..=0.5).contains(&low) && (0.5..=1.0).contains(&high), "{low} {high}");
        assert_eq!(found[4].correlation, None, "all heads alike");
    }

    #[test]
    fn the_same_trials_give_the_same_intervals() {
        let right = trials().counted(false);
        assert_eq!(stabilities(&right), stabilities(&right));
    }
}
