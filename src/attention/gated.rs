//! Rows of attention with the gates that stand behind them.

use std::ops::Range;

use super::{AttentionRecorder, HeadRow};

/// A recorder of heads behind which an output gate stands: `o_proj(mixed * gate)`.
pub struct Gated<'a, 'r> {
    /// Where rows go.
    pub recorder: &'a mut (dyn AttentionRecorder + 'r),
    /// Absolute position of the first row that has gates here.
    pub first_position: usize,
    /// Mean gate of each row and query head, `[rows][heads]`.
    pub gates: Vec<Vec<f32>>,
}

impl AttentionRecorder for Gated<'_, '_> {
    fn rows(&self) -> Range<usize> {
        self.recorder.rows()
    }

    fn wants_scores(&self) -> bool {
        self.recorder.wants_scores()
    }

    fn record(&mut self, row: HeadRow<'_>) {
        let gates = row.row.checked_sub(self.first_position).and_then(|place| self.gates.get(place));
        let gate = gates.and_then(|gates| gates.get(row.head)).copied();
        self.recorder.record(HeadRow { gate, ..row });
    }
}
