//! A part of a plan, so that many machines run it together: the trials in their order are cut into as many
//! parts as there are machines, each of trials that stand behind one another, so that prompts which share
//! their beginning stay on one machine.
//!
//! The cut makes the most expensive part as cheap as any cut into that many can. The first trial of a part
//! shares nothing, and costs its whole prompt. Every machine finds the same cut by itself, as costs are
//! counted from the plan and never measured.
//!
//! A prompt shares no more with the one before it than that one has: without its first trial a part never
//! costs more. So parts that are filled as far as a bound allows are as few as can be, and the smallest bound
//! under which they are few enough is searched for.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Parts of a plan, at most.
const MOST_SHARDS: usize = 100_000;

/// One of the parts of a plan.
///
/// ```
/// let shard: niah::plan::Shard = "2/8".parse()?;
/// assert_eq!((shard.number(), shard.count()), (2, 8));
/// assert!("0/8".parse::<niah::plan::Shard>().is_err());
/// # Ok::<(), niah::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    count: usize,
    number: usize,
}

impl Shard {
    /// Its number, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        self.number
    }

    /// How many parts there are.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }

    /// All parts, itself among them.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.count).map(move |number| Self { number, ..self })
    }

    /// Its share of what all parts cost, 0 to 1.
    #[must_use]
    pub fn share(self, costs: &[Cost]) -> f64 {
        let cost = |part: Range<usize>| {
            let behind = costs[part.clone()].iter().skip(1).map(|cost| cost.behind).sum::<f64>();
            costs[part].first().map_or(0.0, |first| first.alone + behind)
        };
        let all: f64 = cut(costs, self.count).map(cost).sum();
        if all > 0.0 { cost(self.of(costs)) / all } else { 0.0 }
    }

    /// The places of its trials among all. Every trial is in one part; of more parts than trials some are
    /// empty.
    #[must_use]
    pub fn of(self, costs: &[Cost]) -> Range<usize> {
        cut(costs, self.count).nth(self.number - 1).unwrap_or(costs.len()..costs.len())
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let pair = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
        match pair {
            Some((number, count)) if 0 < number && number <= count && count <= MOST_SHARDS => {
                Ok(Self { count, number })
            }
            _ => {
                let expected = format!("I/N with I from 1 to N, N at most {MOST_SHARDS}, such as 2/8");
                Err(Error::invalid("shard", format!("{text:?}"), expected))
            }
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

/// What a trial costs, in any unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// As the first of a part.
    pub alone: f64,
    /// Behind the trial that stands before it in the plan, with which it may share a beginning.
    pub behind: f64,
}

/// Steps of the search for the smallest largest cost: beyond them two bounds are one number.
const STEPS: usize = 64;

/// At most `count` parts, each as full as the smallest bound lets it be under which so many are enough.
fn cut(costs: &[Cost], count: usize) -> impl Iterator<Item = Range<usize>> {
    let mut low = costs.iter().map(|cost| cost.alone).fold(0.0, f64::max);
    let mut high = costs.iter().map(|cost| cost.alone).sum::<f64>().max(low);
    if parts(costs, low).count() > count {
        for _ in 0..STEPS {
            let middle = low + (high - low) / 2.0;
            match parts(costs, middle).nth(count).is_some() {
                true => low = middle,
                false => high = middle,
            }
        }
    } else {
        high = low;
    }
    parts(costs, high)
}

/// Trials behind one another, as many in a part as cost no more than `bound` together, and at least one.
fn parts(costs: &[Cost], bound: f64) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = costs.get(start)?;
        let mut sum = first.alone;
        let mut end = start + 1;
        while let Some(next) = costs.get(end).filter(|next| sum + next.behind <= bound) {
            sum += next.behind;
            end += 1;
        }
        let part = start..end;
        start = end;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_into(count: usize, costs: &[Cost]) -> Vec<Range<usize>> {
        (1..=count).map(|number| Shard { count, number }.of(costs)).collect()
    }

    fn cost(part: &Range<usize>, costs: &[Cost]) -> f64 {
        let Some(first) = costs.get(part.start).filter(|_| !part.is_empty()) else { return 0.0 };
        first.alone + costs[part.start + 1..part.end].iter().map(|cost| cost.behind).sum::<f64>()
    }

    /// The cheapest cut into `count` parts, by trying all.
    fn best(costs: &[Cost], count: usize) -> f64 {
        if count == 1 || costs.len() <= 1 {
            return cost(&(0..costs.len()), costs);
        }
        let of = |first: usize| cost(&(0..first), costs).max(best(&costs[first..], count - 1));
        (0..=costs.len()).map(of).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn every_trial_is_in_one_part_and_no_cut_has_a_cheaper_largest_part() {
        let mut rng = crate::rng::Rng::for_purpose(7, &["shards"]);
        for trials in 0..9 {
            for count in 1..6 {
                let mut before = 0.0_f64;
                let costs: Vec<Cost> = (0..trials)
                    .map(|_| {
                        let alone = 1.0 + rng.below(50) as f64;
                        let behind = alone - before.min(alone) * rng.unit();
                        before = alone;
                        Cost { alone, behind }
                    })
                    .collect();
                let parts = cut_into(count, &costs);
                let places: Vec<usize> = parts.iter().cloned().flatten().collect();
                assert_eq!(places, (0..trials).collect::<Vec<_>>(), "{costs:?} {count}");
                let largest = parts.iter().map(|part| cost(part, &costs)).fold(0.0, f64::max);
                assert!(largest <= best(&costs, count) + 1e-9, "{costs:?} {count}: {parts:?}");
            }
        }
    }

    #[test]
    fn prompts_that_share_their_beginning_stay_together() {
        let (first, next) = (Cost { alone: 100.0, behind: 100.0 }, Cost { alone: 100.0, behind: 1.0 });
        let costs: Vec<Cost> = [first, next, next, next].repeat(3);
        assert_eq!(cut_into(3, &costs), [0..4, 4..8, 8..12]);
        // Of more parts than trials some have none.
        let parts = cut_into(14, &costs);
        assert_eq!(
            parts.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(),
            [[1; 12].to_vec(), vec![0, 0]].concat()
        );
    }

    #[test]
    fn a_part_is_a_number_of_a_count() {
        for text in ["1/1", "2/8", " 3 / 3 "] {
            assert!(text.parse::<Shard>().is_ok(), "{text}");
        }
        for text in ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1/999999999"] {
            let said = text.parse::<Shard>().unwrap_err().to_string();
            assert!(said.starts_with("shard: found") && said.contains("such as 2/8"), "{said}");
        }
        let shard: Shard = serde_json::from_str("\"2/8\"").unwrap();
        assert_eq!(serde_json::to_string(&shard).unwrap(), "\"2/8\"");
        assert!(serde_json::from_str::<Shard>("\"9/8\"").is_err());
    }
}
