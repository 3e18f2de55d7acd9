//! Which cells of a grid have a prompt built before the run: all, or where they are very many some of every
//! length, spread over the depths with both ends.

use std::collections::BTreeSet;

use crate::grid::{Cell, Grid};

/// Cells that are looked at, at most: prompts of so many are built in about a second.
const MOST: usize = 2048;

/// Tokens of their prompts together, at most, where there is a choice: they are in memory at once.
const MOST_TOKENS: usize = 16 << 20;

/// Depths of a length that are looked at, at least, where it has as many.
const FEWEST_DEPTHS: usize = 2;

/// The cells to look at; `None` for all.
pub(super) fn cells(grid: &Grid) -> Option<BTreeSet<Cell>> {
    let (lengths, depths) = (grid.context_lengths(), grid.depths());
    let tokens: usize = lengths.iter().fold(0, |sum, length| sum.saturating_add(length.0));
    if grid.count() <= MOST && tokens.saturating_mul(depths.len()) <= MOST_TOKENS {
        return None;
    }
    let lengths = spread(lengths, MOST / FEWEST_DEPTHS);
    let tokens: usize = lengths.iter().fold(0, |sum, length| sum.saturating_add(length.0));
    let each = (MOST / lengths.len()).min(MOST_TOKENS / tokens.max(1)).max(FEWEST_DEPTHS);
    let depths = spread(depths, each);
    let of = |&context_length| depths.iter().map(move |&depth| Cell { context_length, depth });
    Some(lengths.iter().flat_map(of).collect())
}

/// At most `most` of these, the first and the last among them.
fn spread<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    match items.len() <= most || most < 2 {
        true => items.to_vec(),
        false => (0..most).map(|place| items[place * (items.len() - 1) / (most - 1)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{ContextLength, Depth, DepthSpacing, spaced_depths};

    fn grid(lengths: usize, tokens: usize, depths: usize) -> Grid {
        let lengths = (0..lengths).map(|place| ContextLength(tokens + place)).collect();
        Grid::new(lengths, spaced_depths(depths, DepthSpacing::Linear)).unwrap()
    }

    #[test]
    fn of_an_ordinary_grid_every_cell_is_looked_at_and_of_a_vast_one_some_of_every_length() {
        assert!(cells(&grid(20, 1000, 100)).is_none());
        let some = cells(&grid(100, 1000, 1000)).unwrap();
        assert!((1000..=MOST).contains(&some.len()), "{}", some.len());
        let ends = [0.0, 100.0].map(|percent| Depth::from_percent(percent).unwrap());
        for length in 1000..1100 {
            for depth in ends {
                assert!(some.contains(&Cell { context_length: ContextLength(length), depth }));
            }
        }
        assert_eq!(cells(&grid(10_000, 1000, 10)).unwrap().len(), MOST);
        // Two of each, however long they are.
        assert_eq!(cells(&grid(8, 8 << 20, 11)).unwrap().len(), 16);
    }
}
