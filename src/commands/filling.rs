//! The grid of a run while it fills, as text: how many of the trials that ended were right, cell by cell and
//! in all.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr;

use crate::grid::{Cell, ContextLength, Depth, Grid};
use crate::progress::Ended;
use crate::report::latest;
use crate::trial::{Outcome, Status};

/// What became of the trials of a run so far.
pub(super) struct Filling {
    grid: Grid,
    /// Trials of a cell.
    trials: usize,
    /// Trials of the whole run.
    planned: usize,
    cells: BTreeMap<Cell, Trials>,
}

/// Trials of a cell, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Trials {
    ended: usize,
    scored: usize,
    right: usize,
}

impl Trials {
    fn add(&mut self, correct: Option<bool>) {
        self.ended += 1;
        self.scored += usize::from(correct.is_some());
        self.right += usize::from(correct == Some(true));
    }
}

/// Rows of a grid that are shown, at most: it must leave room for what was said before it.
const MOST_ROWS: usize = 12;

impl Filling {
    /// A run of so many trials a cell, of which some have run already.
    pub(super) fn new(grid: &Grid, trials: usize, outcomes: &[Outcome]) -> Self {
        let planned = grid.count().saturating_mul(trials);
        let mut filling = Self { grid: grid.clone(), trials, planned, cells: BTreeMap::new() };
        for row in latest(outcomes).into_iter().filter(|row| row.status == Status::Ok) {
            filling.cells.entry(row.cell()).or_default().add(row.correct);
        }
        filling
    }

    /// The same of a run with so many trials in all, which need not be as many in every cell.
    pub(super) fn planning(self, planned: usize) -> Self {
        Self { planned, ..self }
    }

    /// A trial ended.
    pub(super) fn add(&mut self, ended: &Ended) {
        let Ok(depth) = Depth::from_percent(ended.depth_percent) else { return };
        let cell = Cell { context_length: ContextLength(ended.context_length), depth };
        self.cells.entry(cell).or_default().add(ended.correct);
    }

    /// Trials of the whole run.
    pub(super) fn planned(&self) -> usize {
        self.planned
    }

    /// Trials that ended.
    pub(super) fn ended(&self) -> usize {
        self.cells.values().map(|trials| trials.ended).sum()
    }

    /// How far it is, and how many answers were right.
    pub(super) fn summary(&self) -> String {
        let complete = self.cells.values().filter(|trials| trials.ended >= self.trials).count();
        let sum = |of: fn(&Trials) -> usize| self.cells.values().map(of).sum::<usize>();
        let (scored, right) = (sum(|trials| trials.scored), sum(|trials| trials.right));
        let accuracy = match scored {
            0 => String::new(),
            _ => format!(", {:.0}% right so far", 100.0 * right as f64 / scored as f64),
        };
        let cells = match self.planned == self.grid.count().saturating_mul(self.trials) {
            true => format!(", {complete} of {} cells", self.grid.count()),
            false => String::new(),
        };
        format!("{} of {} trials{cells}{accuracy}", self.ended(), self.planned())
    }

    /// The grid, right answers over those that were scored in each cell; `None` where it has no room in
    /// `width` columns or too many rows.
    pub(super) fn grid(&self, width: usize, none: char) -> Option<String> {
        let (lengths, depths) = (self.grid.context_lengths(), self.grid.depths());
        if depths.len() > MOST_ROWS || lengths.len() > width {
            return None;
        }
        let text = |cell: &Cell| match self.cells.get(cell) {
            Some(trials) => format!("{}/{}", trials.right, trials.scored),
            None => none.to_string(),
        };
        let mut rows =
            vec![("depth %".to_string(), lengths.iter().map(ToString::to_string).collect::<Vec<_>>())];
        rows.extend(depths.iter().map(|&depth| {
            let cells = lengths.iter().map(|&context_length| text(&Cell { context_length, depth }));
            (depth.to_string(), cells.collect())
        }));
        let widest =
            |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.width()).max().unwrap_or(0);
        let label = widest(&mut rows.iter().map(|(label, _)| label));
        let cell = widest(&mut rows.iter().flat_map(|(_, cells)| cells));
        let line = |(name, cells): &(String, Vec<String>)| {
            let cells: String = cells.iter().map(|text| format!("  {text:>cell$}")).collect();
            format!("{name:>label$}{cells}")
        };
        (label + (cell + 2) * lengths.len() <= width)
            .then(|| rows.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::tests::{failed, outcome};

    pub(in crate::commands) fn filling() -> Filling {
        let depths = [0.0, 50.0].map(|percent| Depth::from_percent(percent).unwrap());
        let grid = Grid::new([1024, 4096].map(ContextLength).to_vec(), depths.to_vec()).unwrap();
        let rows =
            [outcome(1024, 0.0, 0, true, None), failed(1024, 0.0, 1), outcome(4096, 50.0, 0, false, None)];
        Filling::new(&grid, 2, &rows)
    }

    pub(in crate::commands) fn ended(
        context_length: usize,
        depth_percent: f64,
        correct: Option<bool>,
    ) -> Ended {
        Ended { context_length, depth_percent, correct, ..Ended::default() }
    }

    #[test]
    fn cells_fill_and_what_failed_before_is_to_run_again() {
        let mut filling = filling();
        assert_eq!((filling.ended(), filling.planned()), (2, 8));
        assert_eq!(filling.summary(), "2 of 8 trials, 0 of 4 cells, 50% right so far");
        filling.add(&ended(1024, 0.0, Some(true)));
        filling.add(&ended(1024, 50.0, None));
        assert_eq!(filling.summary(), "4 of 8 trials, 1 of 4 cells, 67% right so far");
        let expected = "depth %   1k   4k\n      0  2/2    .\n     50  0/0  0/1";
        assert_eq!(filling.grid(80, '.').as_deref(), Some(expected));
        assert_eq!(filling.grid(16, '.'), None, "it does not fit");
        assert!(filling.grid(17, '.').is_some());
    }

    #[test]
    fn nothing_is_said_of_answers_before_there_is_one() {
        let filling = Filling::new(&Grid::default(), 1, &[]);
        assert_eq!(filling.summary(), "0 of 15 trials, 0 of 15 cells");
    }
}
