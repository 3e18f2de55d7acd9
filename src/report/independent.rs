//! What is independent of what: trials share a haystack over all of their cells, and trials that were asked
//! the same prompt, word for word, are copies of one.

use std::collections::{BTreeMap, HashMap};

/// A trial as rows name it: its seed and its number.
type Trial = (u64, usize);

/// The values of every independent unit, ordered by its first trial: those of a trial, and together with them
/// those of all trials that some prompt of it was asked in as well. Each value comes with its trial and the
/// hash of its prompt.
pub(super) fn by_unit<'a, T>(values: impl IntoIterator<Item = (Trial, Option<&'a str>, T)>) -> Vec<Vec<T>> {
    let values: Vec<_> = values.into_iter().collect();
    let mut before: BTreeMap<Trial, Trial> = values.iter().map(|(trial, ..)| (*trial, *trial)).collect();
    let mut asked: HashMap<&str, Trial> = HashMap::new();
    for (trial, prompt) in values.iter().filter_map(|(trial, prompt, _)| Some((*trial, (*prompt)?))) {
        let other = *asked.entry(prompt).or_insert(trial);
        let (one, other) = (first(&before, trial), first(&before, other));
        before.insert(one.max(other), one.min(other));
    }
    let mut units: BTreeMap<Trial, Vec<T>> = BTreeMap::new();
    for (trial, _, value) in values {
        units.entry(first(&before, trial)).or_default().push(value);
    }
    units.into_values().collect()
}

/// The first trial of the unit of this one. What stands before a trial is never behind it.
fn first(before: &BTreeMap<Trial, Trial>, mut trial: Trial) -> Trial {
    while before[&trial] != trial {
        trial = before[&trial];
    }
    trial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_with_the_same_prompt_were_counted_as_independent() {
        let row = |trial, prompt, value| ((42, trial), prompt, value);
        assert_eq!(
            by_unit([row(1, Some("b"), 3), row(0, Some("a"), 1), row(0, None, 2)]),
            [vec![1, 2], vec![3]]
        );
        assert_eq!(by_unit((0..3).map(|trial| row(trial, Some("a"), trial))), [[0, 1, 2]]);
        assert_eq!(
            by_unit((0..3).map(|trial| row(trial, None, trial))).len(),
            3,
            "prompts that nobody knows"
        );
        // 3 and 1 share a prompt, and 1 and 2 another one.
        let rows = [row(0, Some("a"), 0), row(3, Some("b"), 3), row(1, Some("b"), 1), row(2, Some("c"), 2)];
        let rows = rows.into_iter().chain([row(1, Some("c"), 10)]);
        assert_eq!(by_unit(rows), [vec![0], vec![3, 1, 2, 10]]);
        let seeds = [((42, 0), Some("a"), 1), ((43, 0), Some("b"), 2)];
        assert_eq!(by_unit(seeds).len(), 2, "a trial of another seed");
    }
}
