//! Multipliers that a variant has read from rows.

use super::Window;
use super::variant::{AttentionVariant, QueryRow};

/// The multipliers of the rows of a chunk, of a layer whose variant
/// [reads](AttentionVariant::reads_rows) them.
#[derive(Debug, Clone, PartialEq)]
pub struct RowMultipliers {
    /// Absolute position of the first row.
    first_position: usize,
    multipliers: Vec<Vec<f32>>, // [heads][rows]
}

impl RowMultipliers {
    /// Those of `rows` rows from `first_position` on, whose queries are made of `x` `[rows, hidden]`; nothing
    /// under a variant that does not read rows in this layer.
    #[must_use]
    pub fn read(
        variant: &dyn AttentionVariant,
        layer: usize,
        window: Window,
        first_position: usize,
        rows: usize,
        x: &[f32],
    ) -> Option<Self> {
        let row = |position| QueryRow { position, visible: position + 1 - window.first_visible(position) };
        let rows: Vec<_> = (first_position..first_position + rows).map(row).collect();
        let multipliers = variant.multipliers_of(layer, &rows, x)?;
        Some(Self { first_position, multipliers })
    }

    /// Those of some of the rows, `[heads][rows]`.
    pub(super) fn of(&self, rows: &[QueryRow]) -> Vec<Vec<f32>> {
        let of_head =
            |of_head: &Vec<f32>| rows.iter().map(|row| of_head[row.position - self.first_position]).collect();
        self.multipliers.iter().map(of_head).collect()
    }
}
