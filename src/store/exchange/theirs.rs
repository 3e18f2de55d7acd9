//! Rows as a neighbour has them, and what a file holds of them.

use super::{Ours, Scale};

/// A row as a neighbour has it.
#[derive(Debug, Default)]
pub(super) struct TheirRow {
    /// Where it stands in its file.
    pub(super) place: String,
    pub(super) model: Option<String>,
    pub(super) task: Option<String>,
    pub(super) context_length: Option<usize>,
    pub(super) depth_percent: Option<f64>,
    /// Its number among the answers of a cell; numbers may be left out, and the first is any.
    pub(super) number: Option<usize>,
    pub(super) needle: Option<String>,
    pub(super) question: Option<String>,
    pub(super) expected: Vec<String>,
    pub(super) response: Option<String>,
    pub(super) score: Option<Given>,
    /// Why it has no answer.
    pub(super) failed: Option<String>,
    pub(super) prompt_tokens: Option<usize>,
    pub(super) duration_seconds: Option<f64>,
    pub(super) timestamp_utc: Option<String>,
    pub(super) seed: Option<u64>,
    /// Whether it is the mean of several, of which none can be called correct.
    pub(super) is_mean: bool,
    /// What it answers, where the tool keeps what was asked again beside what was asked before.
    pub(super) asked: Option<Asked>,
    /// What a row that was ours says beside.
    pub(super) ours: Ours,
}

impl TheirRow {
    pub(super) fn task(&self) -> Option<&String> {
        self.ours.task.as_ref().or(self.task.as_ref())
    }

    pub(super) fn model(&self) -> Option<&String> {
        self.ours.model.as_ref().or(self.model.as_ref())
    }

    /// The score of a row that was ours, which is on no scale but 0 to 1.
    pub(super) fn our_score(&self) -> Option<f64> {
        self.ours.score.filter(|score| (0.0..=1.0).contains(score))
    }
}

/// A score as a neighbour gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Given {
    /// What is 0 to 1 by itself: a letter, right or wrong, or what is counted here.
    Settled(f64),
    /// A number, and its scale where that is known.
    Number(f64, Option<Scale>),
}

/// What a row answers, and when. Of rows that answer the same in several files those of the newest stand: the
/// others are no trials beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) time: String,
}

/// What a file holds.
pub(super) struct Found {
    /// The tool.
    pub(super) from: &'static str,
    /// What gave the scores, where there are any.
    pub(super) scorer: Option<String>,
    pub(super) rows: Vec<TheirRow>,
    /// What the user should know.
    pub(super) notes: Notes,
}

/// What the user should know. What is counted in several files is said once, with the sum.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<(usize, String)>);

impl Notes {
    /// Says that there are so many of something; nothing where there are none.
    pub(super) fn count(&mut self, count: usize, words: impl Into<String>) {
        if count > 0 {
            self.add(count, words.into());
        }
    }

    /// Says what is no number of anything.
    pub(super) fn say(&mut self, words: impl Into<String>) {
        self.add(0, words.into());
    }

    /// The notes of another file beside these.
    pub(super) fn extend(&mut self, other: Self) {
        for (count, words) in other.0 {
            self.add(count, words);
        }
    }

    fn add(&mut self, count: usize, words: String) {
        match self.0.iter_mut().find(|(_, said)| *said == words) {
            Some((sum, _)) => *sum += count,
            None => self.0.push((count, words)),
        }
    }

    /// A line to each.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(count, words): &(usize, String)| match count {
            0 => words.clone(),
            count => format!("{count} {words}"),
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_files_leave_out_is_said_once_with_the_sum() {
        let mut all = Notes::default();
        for _ in 0..2 {
            let mut of_file = Notes::default();
            of_file.count(3, "rows say no length");
            of_file.count(0, "rows say no depth");
            of_file.say("means alone");
            all.extend(of_file);
        }
        assert_eq!(all.lines(), ["6 rows say no length", "means alone"]);
    }
}
