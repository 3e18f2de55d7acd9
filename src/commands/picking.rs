//! The trial of a run that is meant where not all of it is named: one that ran.

use std::cmp::Reverse;

use super::view::check_cell;
use crate::error::Result;
use crate::grid::{ContextLength, Depth, Grid};
use crate::report::latest;
use crate::trial::{Outcome, Status};

/// What was named of a trial.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) length: Option<ContextLength>,
    pub(super) depth: Option<Depth>,
    pub(super) trial: Option<usize>,
}

impl Wanted {
    /// Whether a row has everything that was named.
    pub(super) fn includes(&self, outcome: &Outcome) -> bool {
        let cell = outcome.cell();
        self.length.is_none_or(|length| length == cell.context_length)
            && self.depth.is_none_or(|depth| depth == cell.depth)
            && self.trial.is_none_or(|trial| trial == outcome.trial)
    }

    /// The words that were named, such as `length 4k depth 50`, or `trial of it` where none was.
    pub(super) fn words(&self) -> String {
        let named = [
            self.length.map(|length| format!("length {length}")),
            self.depth.map(|depth| format!("depth {depth}")),
            self.trial.map(|trial| format!("trial {trial}")),
        ];
        let named: Vec<String> = named.into_iter().flatten().collect();
        if named.is_empty() { "trial of it".to_string() } else { named.join(" ") }
    }
}

/// The trial that ran and has everything that was named; what was not named is that of the longest length,
/// the depth nearest to the middle one, and the first trial. `None` when no such trial has run.
///
/// # Errors
/// When a length or depth is not one of the grid.
pub(super) fn pick<'a>(grid: &Grid, wanted: Wanted, outcomes: &'a [Outcome]) -> Result<Option<&'a Outcome>> {
    check_cell(grid, wanted.length, wanted.depth)?;
    let depths = grid.depths();
    let place = |depth: Depth| depths.iter().position(|one| *one == depth).unwrap_or(depths.len());
    let order = |outcome: &&Outcome| {
        let place = place(outcome.depth_percent);
        (Reverse(outcome.context_length), place.abs_diff(depths.len() / 2), place, outcome.trial)
    };
    let ran = latest(outcomes).into_iter().filter(|outcome| outcome.status == Status::Ok);
    Ok(ran.filter(|outcome| wanted.includes(outcome)).min_by_key(order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{failed, outcome};

    fn grid() -> Grid {
        let depths = [0.0, 50.0, 100.0].map(|percent| Depth::from_percent(percent).unwrap());
        Grid::new([1024, 4096].map(ContextLength).to_vec(), depths.to_vec()).unwrap()
    }

    #[test]
    fn of_what_ran_the_longest_and_most_central_trial_is_meant() {
        let ran = |places: &[(usize, f64, usize)]| -> Vec<Outcome> {
            places.iter().map(|&(length, depth, trial)| outcome(length, depth, trial, true, None)).collect()
        };
        let picked = |places: &[(usize, f64, usize)], wanted| {
            let rows = [ran(places), vec![failed(4096, 50.0, 0)]].concat();
            pick(&grid(), wanted, &rows).unwrap().map(|row| row.row_id.clone())
        };
        let any = Wanted::default();
        let all = [(1024, 50.0, 0), (4096, 0.0, 1), (4096, 100.0, 0), (1024, 0.0, 0)];
        assert_eq!(picked(&all, any).as_deref(), Some("4096:0:1"));
        let depth = Depth::from_percent(50.0).ok();
        assert_eq!(picked(&all, Wanted { depth, ..any }).as_deref(), Some("1024:50:0"));
        assert_eq!(picked(&all, Wanted { trial: Some(0), ..any }).as_deref(), Some("4096:100:0"));
        assert_eq!(picked(&all, Wanted { trial: Some(7), ..any }), None);
        assert_eq!(picked(&[], any), None, "what failed did not run");
        let unknown = Wanted { length: Some(ContextLength(7)), ..any };
        assert!(pick(&grid(), unknown, &[]).is_err());
    }
}
