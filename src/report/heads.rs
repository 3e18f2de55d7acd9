//! Heads over many trials: how much each of them puts on the needles, and how far that lies apart.

use std::collections::{BTreeMap, BTreeSet};

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

/// Sums that a page keeps apart by cell, at most: beyond, it shows those of all cells alone.
pub const MOST_APART: usize = 120_000;

/// Sums over the rows of `attention.csv`, which may not fit into memory: by a key such as the cell, and by
/// head. All rows of a trial come together.
#[derive(Debug)]
pub struct HeadTally<K> {
    sums: BTreeMap<K, BTreeMap<Place, Sums>>,
    /// How many these are.
    held: usize,
    /// How many are kept apart by key, at most.
    most: usize,
    /// Those of all keys, where they are not kept apart.
    together: Option<Together<K>>,
    trial: Option<OpenTrial<K>>,
}

/// The sums of several keys.
#[derive(Debug, Clone, PartialEq)]
struct Together<K> {
    keys: BTreeSet<K>,
    sums: BTreeMap<Place, Sums>,
}

/// Layer and head.
type Place = (usize, usize);

/// A trial more rows of which may come.
#[derive(Debug)]
struct OpenTrial<K> {
    row_id: String,
    key: K,
    /// Mass on the needle, and of the whole row.
    heads: BTreeMap<Place, (f64, f64)>,
}

impl<K> Default for HeadTally<K> {
    fn default() -> Self {
        Self { sums: BTreeMap::new(), held: 0, most: usize::MAX, together: None, trial: None }
    }
}

impl<K: Ord + Copy> HeadTally<K> {
    /// A tally that keeps at most so many sums apart by key. Of more it has those of all keys together.
    #[must_use]
    pub fn apart(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Adds a row; one without a finite mass is passed over. Of a head of a trial the last row counts.
    pub fn add(&mut self, key: K, row: &AttentionRow) {
        if !row.needle_mass.is_finite() || !row.total_mass.is_finite() {
            return;
        }
        if self.trial.as_ref().is_none_or(|trial| trial.row_id != row.row_id) {
            self.end_trial();
        }
        let new = || OpenTrial { row_id: row.row_id.clone(), key, heads: BTreeMap::new() };
        let trial = self.trial.get_or_insert_with(new);
        trial.heads.insert((row.layer, row.head), (row.needle_mass, row.total_mass));
    }

    /// Sums that are held: heads times keys, or heads where keys are not kept apart.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held + self.trial.as_ref().map_or(0, |trial| trial.heads.len())
    }

    fn end_trial(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        let sums = match &mut self.together {
            Some(together) => {
                together.keys.insert(trial.key);
                &mut together.sums
            }
            None => self.sums.entry(trial.key).or_default(),
        };
        let before = sums.len();
        let mut top: Option<(Place, f64)> = None;
        for (place, (needle, total)) in trial.heads {
            sums.entry(place).or_default().add(needle, total);
            if top.is_none_or(|(_, mass)| needle > mass) {
                top = Some((place, needle));
            }
        }
        self.held += sums.len() - before;
        if let Some(top) = top.and_then(|(place, _)| sums.get_mut(&place)) {
            top.n_top += 1;
        }
        if self.together.is_none() && self.held > self.most {
            let together = self.joined();
            self.held = together.sums.len();
            self.together = Some(together);
        }
    }

    /// The sums of all keys so far, which are not kept apart any more.
    fn joined(&mut self) -> Together<K> {
        let mut together = Together { keys: BTreeSet::new(), sums: BTreeMap::new() };
        for (key, sums) in std::mem::take(&mut self.sums) {
            together.keys.insert(key);
            for (place, own) in sums {
                let all: &mut Sums = together.sums.entry(place).or_default();
                *all = all.with(own);
            }
        }
        together
    }

    /// The sums of every key.
    #[must_use]
    pub fn sums(mut self) -> HeadSums<K> {
        self.end_trial();
        if let Some(Together { keys, sums }) = self.together {
            let (heads, all) = sums.into_iter().unzip();
            return HeadSums { heads, keys: keys.into_iter().collect(), sums: Vec::new(), all: Some(all) };
        }
        let heads: BTreeSet<Place> = self.sums.values().flat_map(|sums| sums.keys().copied()).collect();
        let heads: Vec<Place> = heads.into_iter().collect();
        let of_key = |sums: BTreeMap<Place, Sums>| {
            heads.iter().map(|head| sums.get(head).copied().unwrap_or_default()).collect()
        };
        let (keys, sums) = self.sums.into_iter().map(|(key, sums)| (key, of_key(sums))).unzip();
        HeadSums { heads, keys, sums, all: None }
    }
}

/// One head over trials: the mean and the sum of squared distances to it by Welford's update, which keeps its
/// digits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    n: usize,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
    total: f64,
    n_top: usize,
}

impl Sums {
    fn add(&mut self, needle: f64, total: f64) {
        (self.min, self.max) = match self.n {
            0 => (needle, needle),
            _ => (self.min.min(needle), self.max.max(needle)),
        };
        self.n += 1;
        let off = needle - self.mean;
        self.mean += off / self.n as f64;
        self.squares += off * (needle - self.mean);
        self.total += total;
    }

    /// Of the trials of both (Chan, Golub and LeVeque 1979).
    fn with(self, other: Self) -> Self {
        match (self.n, other.n) {
            (0, _) => return other,
            (_, 0) => return self,
            _ => {}
        }
        let (n, off) = (self.n + other.n, other.mean - self.mean);
        let share = other.n as f64 / n as f64;
        Self {
            n,
            mean: self.mean + off * share,
            squares: self.squares + other.squares + off * off * share * self.n as f64,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            total: self.total + other.total,
            n_top: self.n_top + other.n_top,
        }
    }

    /// Trials, the sum of their masses, and the sum of the squares of these: what adds up over keys.
    #[must_use]
    pub fn powers(&self) -> (usize, f64, f64) {
        let n = self.n as f64;
        (self.n, n * self.mean, self.squares + n * self.mean * self.mean)
    }

    fn ranked(self, (layer, head): Place) -> RankedHead {
        RankedHead {
            layer,
            head,
            n: self.n,
            needle_mass: self.mean,
            needle_mass_sd: (self.n > 1).then(|| (self.squares / (self.n - 1) as f64).sqrt()),
            needle_mass_min: self.min,
            needle_mass_max: self.max,
            n_top: self.n_top,
            total_mass: self.total / self.n as f64,
        }
    }
}

/// What every head did under every key, such as in every cell: what any selection of them is summed up from.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSums<K> {
    heads: Vec<Place>,
    keys: Vec<K>,
    /// By key and head; none where keys are not kept apart.
    sums: Vec<Vec<Sums>>,
    /// By head, of all keys, where they are not kept apart.
    all: Option<Vec<Sums>>,
}

impl<K> HeadSums<K> {
    /// Layers and heads, ascending.
    #[must_use]
    pub fn heads(&self) -> &[(usize, usize)] {
        &self.heads
    }

    /// Keys with a trial, ascending.
    #[must_use]
    pub fn keys(&self) -> &[K] {
        &self.keys
    }

    /// The sums of a key, by head; none where keys are not kept apart.
    #[must_use]
    pub fn of_key(&self, index: usize) -> &[Sums] {
        self.sums.get(index).map_or(&[], Vec::as_slice)
    }

    /// The heads over all trials, ranked as in [`Self::ranked`].
    #[must_use]
    pub fn ranked_of_all(&self) -> Vec<RankedHead> {
        let Some(all) = &self.all else { return self.ranked(|_| true) };
        let heads = self.heads.iter().zip(all).filter(|(_, sums)| sums.n > 0);
        in_order(heads.map(|(place, sums)| sums.ranked(*place)).collect())
    }

    /// The heads over the trials of the keys that are `chosen`, that with the largest mean first; of equal
    /// ones by layer and head. None where keys are not kept apart ([`HeadTally::apart`]).
    #[must_use]
    pub fn ranked(&self, chosen: impl Fn(&K) -> bool) -> Vec<RankedHead> {
        let keys: Vec<usize> = (0..self.sums.len()).filter(|&key| chosen(&self.keys[key])).collect();
        let of_head = |(index, place): (usize, &Place)| {
            let sums = keys.iter().map(|&key| self.sums[key][index]).fold(Sums::default(), Sums::with);
            (sums.n > 0).then(|| sums.ranked(*place))
        };
        in_order(self.heads.iter().enumerate().filter_map(of_head).collect())
    }
}

/// The heads, that with the largest mean first.
fn in_order(mut heads: Vec<RankedHead>) -> Vec<RankedHead> {
    heads.sort_by(|a, b| b.needle_mass.total_cmp(&a.needle_mass));
    heads
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
            tally.add((), &row);
        }
        let ranked = tally.sums().ranked(|()| true);
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
        tally.add((), &row("256:0:0", 0, 0.25));
        assert_eq!(tally.sums().ranked(|()| true)[0].needle_mass_sd, None);
    }

    #[test]
    fn means_and_spreads_are_over_trials_and_a_trial_counts_once() {
        let mut tally = HeadTally::default();
        for (length, row) in [
            (8, row("8:0:0", 0, 0.9)),
            (8, row("8:0:0", 0, 0.25)),
            (8, row("8:0:1", 0, 0.75)),
            (8, row("8:0:0", 1, f64::NAN)),
            (9, row("9:0:0", 1, 0.5)),
        ] {
            tally.add(length, &row);
        }
        assert_eq!(tally.held(), 2);
        let sums = tally.sums();
        assert_eq!((sums.heads(), sums.keys()), (&[(0, 0), (0, 1)][..], &[8, 9][..]));
        let all = sums.ranked(|_| true);
        assert_eq!((all[0].head, all[0].needle_mass, all[0].n), (0, 0.5, 2));
        assert!((all[0].needle_mass_sd.unwrap() - 0.125f64.sqrt()).abs() < 1e-12);
        assert_eq!((all[1].needle_mass, all[1].needle_mass_sd), (0.5, None));
        assert_eq!(sums.of_key(0)[1], Sums::default());
        assert_eq!(sums.of_key(0)[0].powers(), (2, 1.0, 0.625));
    }

    #[test]
    fn sums_of_several_cells_are_those_of_all_their_trials() {
        let masses = [0.125, 0.5, 0.75, 0.25, 0.0625];
        let rows = masses.iter().enumerate();
        let of = |key: fn(usize) -> usize| {
            let mut tally = HeadTally::default();
            for (trial, mass) in rows.clone() {
                tally.add(key(trial), &row(&format!("8:0:{trial}"), 0, *mass));
            }
            tally.sums()
        };
        let (apart, together) = (of(|trial| trial % 2).ranked(|_| true), of(|_| 0).ranked(|_| true));
        let (apart, together) = (&apart[0], &together[0]);
        assert_eq!((apart.n, apart.n_top, apart.needle_mass_max), (5, 5, 0.75));
        assert!((apart.needle_mass - together.needle_mass).abs() < 1e-15);
        assert!((apart.needle_mass_sd.unwrap() - together.needle_mass_sd.unwrap()).abs() < 1e-15);
        assert_eq!(of(|trial| trial).ranked(|trial| *trial == 1)[0].needle_mass, 0.5);
        assert!(of(|_| 0).ranked(|_| false).is_empty());
    }

    #[test]
    fn of_more_sums_than_are_kept_apart_those_of_all_cells_are_the_same() {
        let tally = |most| {
            let mut tally = HeadTally::apart(most);
            for trial in 0..12 {
                for head in 0..3 {
                    let mass = f64::from(trial * 7 % 5 + head) / 16.0;
                    tally.add(trial % 4, &row(&format!("{}:0:{trial}", trial % 4), head as usize, mass));
                }
            }
            tally
        };
        let (apart, together) = (tally(12), tally(8));
        // With those of the last trial, which may go on.
        assert_eq!((apart.held(), together.held()), (12 + 3, 3 + 3));
        let (apart, together) = (apart.sums(), together.sums());
        assert_eq!((apart.keys(), apart.heads()), (together.keys(), together.heads()));
        let (apart, all) = (apart.ranked_of_all(), together.ranked_of_all());
        assert_eq!((all.len(), together.ranked(|_| true).len(), together.of_key(0).len()), (3, 0, 0));
        for (one, other) in apart.iter().zip(&all) {
            assert_eq!((one.head, one.n, one.n_top), (other.head, other.n, other.n_top));
            assert!((one.needle_mass - other.needle_mass).abs() < 1e-14);
            assert!((one.needle_mass_sd.unwrap() - other.needle_mass_sd.unwrap()).abs() < 1e-14);
        }
    }
}
