//! What every head did in every cell, in a form that any selection of cells is summed up from.

use std::collections::{BTreeMap, BTreeSet};

use super::HeadSummary;
use crate::grid::Cell;
use crate::trial::AttentionRow;

/// Heads of all trials that are held, at most: a quarter of a gigabyte.
const MOST_MASSES: usize = 1 << 26;
/// Layers, and heads of one, at most: what no model has is no head.
const MOST_OF_EITHER: usize = 4096;

/// Needle masses by trial, while they are read.
#[derive(Default)]
pub struct HeadMasses {
    trials: BTreeMap<String, BTreeMap<(usize, usize), f32>>,
    held: usize,
}

impl HeadMasses {
    /// Takes a row. Of a head of a trial the last one counts.
    ///
    /// False when no more is held.
    pub fn add(&mut self, row: &AttentionRow) -> bool {
        let is_head = row.layer < MOST_OF_EITHER && row.head < MOST_OF_EITHER && row.needle_mass.is_finite();
        if is_head {
            let trial = self.trials.entry(row.row_id.clone()).or_default();
            self.held += usize::from(trial.insert((row.layer, row.head), row.needle_mass as f32).is_none());
        }
        self.held <= MOST_MASSES
    }

    /// Sums by cell, of the trials whose cell is known.
    #[must_use]
    pub fn sums(&self, cell_of: impl Fn(&str) -> Option<Cell>) -> HeadSums {
        let mut cells: BTreeMap<Cell, BTreeMap<(usize, usize), Sums>> = BTreeMap::new();
        for (row_id, masses) in &self.trials {
            let Some(cell) = cell_of(row_id) else { continue };
            let sums = cells.entry(cell).or_default();
            for (head, mass) in masses {
                sums.entry(*head).or_default().add(f64::from(*mass));
            }
        }
        let heads: BTreeSet<(usize, usize)> = cells.values().flat_map(|sums| sums.keys().copied()).collect();
        let heads: Vec<(usize, usize)> = heads.into_iter().collect();
        let of_cell = |sums: BTreeMap<(usize, usize), Sums>| {
            heads.iter().map(|head| sums.get(head).copied().unwrap_or_default()).collect()
        };
        let (cells, sums) = cells.into_iter().map(|(cell, sums)| (cell, of_cell(sums))).unzip();
        HeadSums { heads, cells, sums }
    }
}

/// A sum over trials.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Trials.
    pub n: usize,
    /// Sum of their masses.
    pub sum: f64,
    /// Sum of the squares of these.
    pub squares: f64,
}

impl Sums {
    fn add(&mut self, mass: f64) {
        *self = Self { n: self.n + 1, sum: self.sum + mass, squares: self.squares + mass * mass };
    }

    fn with(self, other: Self) -> Self {
        Self { n: self.n + other.n, sum: self.sum + other.sum, squares: self.squares + other.squares }
    }

    /// The mean; `None` of nothing.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }

    /// The sample standard deviation; `None` of fewer than two.
    #[must_use]
    pub fn sd(&self) -> Option<f64> {
        let n = self.n as f64;
        (self.n > 1).then(|| ((self.squares - self.sum * self.sum / n) / (n - 1.0)).max(0.0).sqrt())
    }
}

/// Needle masses of every head, summed up by cell.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSums {
    heads: Vec<(usize, usize)>,
    cells: Vec<Cell>,
    /// By cell and head.
    sums: Vec<Vec<Sums>>,
}

/// A head with its spread.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSpread {
    /// The head and its mean.
    pub summary: HeadSummary,
    /// Sample standard deviation over trials.
    pub sd: Option<f64>,
}

impl HeadSpread {
    /// The mean mass, 0 where there is none.
    #[must_use]
    pub fn mass(&self) -> f64 {
        self.summary.needle_mass.unwrap_or(0.0)
    }
}

impl HeadSums {
    /// Layers and heads, ascending.
    #[must_use]
    pub fn heads(&self) -> &[(usize, usize)] {
        &self.heads
    }

    /// Cells with a trial, ascending.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The sums of a cell, by head.
    #[must_use]
    pub fn of_cell(&self, index: usize) -> &[Sums] {
        &self.sums[index]
    }

    /// Every head over all trials of all cells.
    #[must_use]
    pub fn over_all(&self) -> Vec<HeadSpread> {
        let of_head = |(index, (layer, head)): (usize, &(usize, usize))| {
            let sums = self.sums.iter().map(|cell| cell[index]).fold(Sums::default(), Sums::with);
            let summary = HeadSummary {
                layer: *layer,
                head: *head,
                n: sums.n,
                needle_mass: sums.mean(),
                total_mass: None,
            };
            HeadSpread { summary, sd: sums.sd() }
        };
        self.heads.iter().enumerate().map(of_head).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{ContextLength, Depth};

    #[test]
    fn means_and_spreads_are_over_trials_and_a_trial_counts_once() {
        let row = |row_id: &str, head, needle_mass| AttentionRow {
            row_id: row_id.into(),
            head,
            needle_mass,
            ..AttentionRow::default()
        };
        let mut masses = HeadMasses::default();
        for row in [
            row("8:0:0", 0, 0.9),
            row("8:0:0", 0, 0.25),
            row("8:0:1", 0, 0.75),
            row("8:0:0", 1, f64::NAN),
            row("9:0:0", 1, 0.5),
            row("x", 0, 1.0),
        ] {
            assert!(masses.add(&row));
        }
        let cell =
            |length| Cell { context_length: ContextLength(length), depth: Depth::from_percent(0.0).unwrap() };
        let sums = masses.sums(|row| row.split_once(':')?.0.parse().ok().map(cell));
        assert_eq!((sums.heads(), sums.cells().len()), (&[(0, 0), (0, 1)][..], 2));
        let all = sums.over_all();
        assert_eq!((all[0].summary.needle_mass, all[0].summary.n), (Some(0.5), 2));
        assert!((all[0].sd.unwrap() - 0.125f64.sqrt()).abs() < 1e-12);
        assert_eq!((all[1].summary.needle_mass, all[1].sd), (Some(0.5), None));
        assert_eq!(sums.of_cell(0)[1], Sums::default());
    }
}
