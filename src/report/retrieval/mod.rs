//! Retrieval heads: what every head copies, how much it looks at the needles for the question, how far that
//! is the same in other trials and tasks, and which heads it makes retrieval heads.
//!
//! Per trial, with `S` the needles' tokens, `y_t` the token decoded at step `t` and `k_t` the key with the
//! head's largest weight there,
//!
//! ```text
//! copy-steps = (number of t with k_t in S and token(k_t) = y_t) / |S|     Retrieval_Head's code
//! copy-set   = (number of different such k_t) / |S|                        the definition in its paper
//! ```
//!
//! (arXiv 2404.15574). A head's score is the mean over trials with a right answer, as there.

mod document;
mod stability;

use std::collections::BTreeMap;

use serde::Serialize;

pub use document::RetrievalReport;
pub use stability::{Stability, stabilities};

use crate::error::{Error, Result};
use crate::registry::Entry;
use crate::stats::{self, Interval};

/// Layer and head.
pub type Place = (usize, usize);

/// The copy score above which a head counts as a retrieval head.
pub const THRESHOLD: f64 = 0.1;

/// A score of a head in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadScore {
    /// Steps that copy, over the needles' tokens.
    CopySteps,
    /// Different tokens copied, over the needles' tokens.
    CopySet,
    /// Calibrated attention from the question to the needles.
    Question,
    /// Needle mass at the query that predicts the first answer token.
    NeedleMass,
}

/// Every score of a head, by name.
pub const HEAD_SCORES: &[Entry<HeadScore>] = &[
    Entry {
        name: "copy-steps",
        about: "steps at which a head looks at the needle's token that is written, over the needle's tokens",
        value: HeadScore::CopySteps,
    },
    Entry {
        name: "copy-set",
        about: "the needle's tokens that are copied so at least once, over all of them",
        value: HeadScore::CopySet,
    },
    Entry {
        name: "question",
        about: "attention from question to needle, above that from one without content (QRHead)",
        value: HeadScore::Question,
    },
    Entry {
        name: "needle-mass",
        about: "attention to the needle at the query that predicts the first answer token",
        value: HeadScore::NeedleMass,
    },
];

impl HeadScore {
    fn place(self) -> usize {
        HEAD_SCORES.iter().position(|entry| entry.value == self).unwrap_or(0)
    }

    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        HEAD_SCORES[self.place()].name
    }
}

/// The scores of a head in a trial, in the order of [`HEAD_SCORES`]; no number where one is missing.
pub type Scores = [f64; 4];

/// What all heads did in one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialHeads {
    /// Number of its task among those of [`HeadTrials`].
    pub task: usize,
    /// Its number, which prompts of one haystack share.
    pub trial: usize,
    /// Whether the answer is right.
    pub correct: bool,
    /// By head, as [`HeadTrials::heads`] has them.
    pub scores: Vec<Scores>,
}

/// What all heads did in all trials.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadTrials {
    /// Names of the tasks.
    pub tasks: Vec<String>,
    /// Layers and heads, ascending.
    pub heads: Vec<Place>,
    /// In the order of their rows.
    pub trials: Vec<TrialHeads>,
}

/// A head with the mean of its score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredHead {
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// The mean over trials.
    pub score: f64,
    /// Trials behind it.
    pub n: usize,
}

impl HeadTrials {
    /// The trials that count: those with a right answer, or `all`.
    #[must_use]
    pub fn counted(mut self, all: bool) -> Self {
        self.trials.retain(|trial| all || trial.correct);
        self
    }

    /// The values of a score of the head of this number, by trial.
    fn values(&self, head: usize, score: HeadScore) -> impl Iterator<Item = (&TrialHeads, f64)> {
        let value = move |trial: &'_ TrialHeads| trial.scores[head][score.place()];
        let known = self.trials.iter().map(move |trial| (trial, value(trial)));
        known.filter(|(_, value)| value.is_finite())
    }

    /// The mean of a score of the head of this number, and over how many trials.
    fn mean(&self, head: usize, score: HeadScore) -> Option<(f64, usize)> {
        let (sum, n) = self.values(head, score).fold((0.0, 0), |(sum, n), (_, value)| (sum + value, n + 1));
        (n > 0).then(|| (sum / n as f64, n))
    }

    /// The 95 % interval of that mean, over trial numbers.
    fn interval(&self, head: usize, score: HeadScore) -> Interval {
        let mut groups: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        self.values(head, score)
            .for_each(|(trial, value)| groups.entry(trial.trial).or_default().push(value));
        stats::mean_interval(&groups.into_values().collect::<Vec<_>>(), None)
    }

    /// Numbers of the heads with this score, that with the largest mean first; of equal ones by layer and
    /// head.
    fn order(&self, score: HeadScore) -> Vec<(usize, f64, usize)> {
        let known = (0..self.heads.len()).filter_map(|head| {
            let (mean, n) = self.mean(head, score)?;
            Some((head, mean, n))
        });
        let mut order: Vec<_> = known.collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        order
    }

    /// The heads with this score, that with the largest mean first; of equal ones by layer and head.
    #[must_use]
    pub fn ranked(&self, score: HeadScore) -> Vec<ScoredHead> {
        let scored = |(head, score, n): (usize, f64, usize)| {
            let (layer, head) = self.heads[head];
            ScoredHead { layer, head, score, n }
        };
        self.order(score).into_iter().map(scored).collect()
    }

    /// The scores of every head, trial by trial, as Retrieval_Head writes them: `{"layer-head": [scores]}`.
    #[must_use]
    pub fn json(&self, score: HeadScore) -> String {
        let of_head = |(head, (layer, number)): (usize, &Place)| {
            let values: Vec<f64> = self.values(head, score).map(|(_, value)| value).collect();
            let values = serde_json::to_string(&values).unwrap_or_default();
            format!("\"{layer}-{number}\": {values}")
        };
        let heads: Vec<String> = self.heads.iter().enumerate().map(of_head).collect();
        format!("{{{}}}\n", heads.join(", "))
    }
}

/// Scores of heads as other tools have them, `{"layer-head": [scores of trials]}`, by layer and head.
///
/// # Errors
/// A message without the file's name, when the text is no such object.
pub fn read_json(text: &str) -> Result<BTreeMap<Place, Vec<f64>>> {
    let wrong = |problem: String| {
        Error::Message(format!(
            "{problem}; an object such as {{\"14-3\": [0.5, 0.25]}}, layer-head, is needed"
        ))
    };
    let read: BTreeMap<String, Vec<f64>> =
        serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let head = |(name, scores): (String, Vec<f64>)| {
        let place =
            name.split_once('-').and_then(|(layer, head)| Some((layer.parse().ok()?, head.parse().ok()?)));
        Ok((place.ok_or_else(|| wrong(format!("no layer-head: {name:?}")))?, scores))
    };
    read.into_iter().map(head).collect()
}

/// Heads by the mean of their scores, the largest first; those without a score are left out.
#[must_use]
pub fn ranked(scores: &BTreeMap<Place, Vec<f64>>) -> Vec<ScoredHead> {
    let mean = |(&(layer, head), scores): (&Place, &Vec<f64>)| {
        Some(ScoredHead { layer, head, score: stats::mean(scores)?, n: scores.len() })
    };
    let mut heads: Vec<ScoredHead> = scores.iter().filter_map(mean).collect();
    heads.sort_by(|a, b| b.score.total_cmp(&a.score));
    heads
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three heads in trials of two tasks; the last trial has a wrong answer.
    pub(crate) fn trials() -> HeadTrials {
        let trial = |task, trial, correct, steps: [f64; 3]| TrialHeads {
            task,
            trial,
            correct,
            scores: steps.iter().map(|&steps| [steps, steps / 2.0, f64::NAN, 0.5]).collect(),
        };
        HeadTrials {
            tasks: vec!["magic".into(), "passkey".into()],
            heads: vec![(0, 0), (0, 1), (1, 0)],
            trials: vec![
                trial(0, 0, true, [0.0, 0.5, 0.25]),
                trial(0, 1, true, [0.0, 0.75, 0.25]),
                trial(1, 0, true, [0.0, 0.5, 0.0]),
                trial(1, 1, true, [0.125, 0.25, 0.0]),
                trial(1, 2, false, [1.0, 0.0, 0.0]),
            ],
        }
    }

    #[test]
    fn heads_are_ranked_by_their_mean_over_trials_with_a_right_answer() {
        let right = trials().counted(false);
        let ranked = right.ranked(HeadScore::CopySteps);
        let found: Vec<_> = ranked.iter().map(|head| (head.layer, head.head, head.score, head.n)).collect();
        assert_eq!(found, [(0, 1, 0.5, 4), (1, 0, 0.125, 4), (0, 0, 0.03125, 4)]);
        assert_eq!(trials().counted(true).ranked(HeadScore::CopySteps)[2].layer, 1);
        assert!(right.ranked(HeadScore::Question).is_empty(), "a score that no trial has");
    }

    #[test]
    fn scores_go_out_and_come_in_as_other_tools_have_them() {
        let right = trials().counted(false);
        let json = right.json(HeadScore::CopySet);
        assert_eq!(
            json,
            "{\"0-0\": [0.0,0.0,0.0,0.0625], \"0-1\": [0.25,0.375,0.25,0.125], \"1-0\": [0.125,0.125,0.0,0.0]}\n"
        );
        assert_eq!(ranked(&read_json(&json).unwrap()), right.ranked(HeadScore::CopySet));
        for wrong in ["[]", "{\"1\": [1]}", "{\"1-a\": [1]}", "{\"1-2\": 1}", "{\"1-2\": [null]}", "nothing"]
        {
            let said = read_json(wrong).unwrap_err().to_string();
            assert!(said.contains("layer-head"), "{said}");
        }
        assert!(ranked(&read_json("{\"3-1\": []}").unwrap()).is_empty());
    }
}
