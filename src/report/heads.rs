//! Heads over many trials: how much each of them puts on the needles, and how far that lies apart.

use std::collections::BTreeMap;

use serde::Serialize;

use super::HeadSummary;
use crate::trial::AttentionRow;

/// One head over many trials.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RankedHead {
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// Trials behind the numbers.
    pub n: usize,
    /// Mean of [`AttentionRow::needle_mass`] over trials.
    pub needle_mass: f64,
    /// Its sample standard deviation; missing for a single trial.
    pub needle_mass_sd: Option<f64>,
    /// The smallest of a trial.
    pub needle_mass_min: f64,
    /// The largest of a trial.
    pub needle_mass_max: f64,
    /// Trials in which no head puts more on the needle; of equal heads the first counts.
    pub n_top: usize,
    /// Mean of [`AttentionRow::total_mass`].
    pub total_mass: f64,
}

/// Sums over the rows of `attention.csv`, which may not fit into memory; all rows of a trial come together.
#[derive(Debug, Default)]
pub struct HeadTally {
    heads: BTreeMap<(usize, usize), Sums>,
    trial: String,
    top: Option<((usize, usize), f64)>,
}

/// Of one head: mean and sum of squared distances by Welford's update, which keeps its digits.
#[derive(Debug, Default)]
struct Sums {
    n: usize,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
    total: f64,
    n_top: usize,
}

impl Sums {
    fn add(&mut self, row: &AttentionRow) {
        let mass = row.needle_mass;
        (self.min, self.max) = match self.n {
            0 => (mass, mass),
            _ => (self.min.min(mass), self.max.max(mass)),
        };
        self.n += 1;
        let off = mass - self.mean;
        self.mean += off / self.n as f64;
        self.squares += off * (mass - self.mean);
        self.total += row.total_mass;
    }
}

impl HeadTally {
    /// Adds a row; one without a finite mass is passed over.
    pub fn add(&mut self, row: &AttentionRow) {
        if !row.needle_mass.is_finite() || !row.total_mass.is_finite() {
            return;
        }
        if self.trial != row.row_id {
            self.end_trial();
            self.trial.clone_from(&row.row_id);
        }
        let head = (row.layer, row.head);
        self.heads.entry(head).or_default().add(row);
        if self.top.is_none_or(|(_, mass)| row.needle_mass > mass) {
            self.top = Some((head, row.needle_mass));
        }
    }

    /// Heads so far.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads.len()
    }

    fn end_trial(&mut self) {
        if let Some((head, _)) = self.top.take() {
            self.heads.entry(head).or_default().n_top += 1;
        }
    }

    /// The heads, that with the largest mean first; of equal ones by layer and head.
    #[must_use]
    pub fn ranked(mut self) -> Vec<RankedHead> {
        self.end_trial();
        let head = |((layer, head), sums): ((usize, usize), Sums)| RankedHead {
            layer,
            head,
            n: sums.n,
            needle_mass: sums.mean,
            needle_mass_sd: (sums.n > 1).then(|| (sums.squares / (sums.n - 1) as f64).sqrt()),
            needle_mass_min: sums.min,
            needle_mass_max: sums.max,
            n_top: sums.n_top,
            total_mass: sums.total / sums.n as f64,
        };
        let mut heads: Vec<RankedHead> = self.heads.into_iter().map(head).collect();
        heads.sort_by(|a, b| b.needle_mass.total_cmp(&a.needle_mass));
        heads
    }
}

/// The means of ranked heads, for a picture by layer.
#[must_use]
pub fn means(heads: &[RankedHead]) -> Vec<HeadSummary> {
    let mean = |head: &RankedHead| HeadSummary {
        layer: head.layer,
        head: head.head,
        n: head.n,
        needle_mass: Some(head.needle_mass),
        total_mass: Some(head.total_mass),
    };
    heads.iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row_id: &str, head: usize, needle_mass: f64) -> AttentionRow {
        AttentionRow {
            row_id: row_id.to_string(),
            head,
            needle_mass,
            total_mass: 1.0,
            ..AttentionRow::default()
        }
    }

    #[test]
    fn heads_are_ranked_by_their_mean_with_spread_and_how_often_they_lead() {
        let mut tally = HeadTally::default();
        for row in [
            row("256:0:0", 0, 0.25),
            row("256:0:0", 1, 0.5),
            row("256:0:1", 0, 0.75),
            row("256:0:1", 1, 0.25),
            row("1024:0:0", 0, 0.5),
            row("1024:0:0", 1, 0.375),
            row("1024:0:0", 2, f64::NAN),
        ] {
            tally.add(&row);
        }
        let ranked = tally.ranked();
        assert_eq!(ranked.len(), 2);
        let first = &ranked[0];
        assert_eq!((first.head, first.n, first.needle_mass, first.n_top), (0, 3, 0.5, 2));
        assert_eq!((first.needle_mass_min, first.needle_mass_max), (0.25, 0.75));
        assert!((first.needle_mass_sd.unwrap() - 0.25).abs() < 1e-12);
        assert_eq!((ranked[1].head, ranked[1].needle_mass, ranked[1].n_top), (1, 0.375, 1));
    }

    #[test]
    fn one_trial_has_no_spread() {
        let mut tally = HeadTally::default();
        tally.add(&row("256:0:0", 0, 0.25));
        assert_eq!(tally.ranked()[0].needle_mass_sd, None);
    }
}
