//! What a layer's rule reads from its rows: `u = x Wᵀ + b` of the normed rows `x` `[t, hidden]`.

use super::workspace::LayerActivations;
use super::{Layer, TrainableDecoder};
use crate::attention::variant::{entmax_scale_gradients, log_gate, log_gate_gradient};
use crate::kernel::gemm::{Into, Matrix, multiply};

/// From `now.attention_input` to `now.readings`, where the rule reads anything, and to `now.sums` of gates.
pub(super) fn forward(decoder: &TrainableDecoder, layer: &Layer, p: &[f32], now: &mut LayerActivations) {
    let (t, hidden, count) = (decoder.rows, decoder.spec.hidden_size, decoder.readings(layer));
    if count == 0 {
        return;
    }
    let maps = Matrix::new(&p[layer.maps.clone()], count, hidden);
    let x = Matrix::new(&now.attention_input, t, hidden);
    multiply(x, maps.t(), Into::Write, &mut now.readings, count); // [t, readings]
    for row in now.readings.chunks_exact_mut(count) {
        row.iter_mut().zip(&p[layer.map_bias.clone()]).for_each(|(u, b)| *u += b);
    }
    for (head, sums) in now.sums.chunks_exact_mut(t).enumerate() {
        let mut sum = 0.0;
        for (at, u) in sums.iter_mut().zip(now.readings[head..].iter().step_by(count)) {
            sum += log_gate(f64::from(*u));
            *at = sum;
        }
    }
}

/// Adds to the gradients of the maps and of what is added to them, and to that of the rows, `dx`
/// `[t, hidden]`.
pub(super) fn backward(
    decoder: &TrainableDecoder,
    layer: &Layer,
    p: &[f32],
    now: &LayerActivations,
    dreadings: &[f32],
    dx: &mut [f32],
    gradients: &mut [f32],
) {
    let (t, hidden, count) = (decoder.rows, decoder.spec.hidden_size, decoder.readings(layer));
    if count > 0 {
        let du = Matrix::new(&dreadings[..t * count], t, count);
        let x = Matrix::new(&now.attention_input, t, hidden);
        multiply(du.t(), x, Into::Add, &mut gradients[layer.maps.clone()], hidden); // [readings, hidden]
        for row in dreadings[..t * count].chunks_exact(count) {
            gradients[layer.map_bias.clone()].iter_mut().zip(row).for_each(|(db, du)| *db += du);
        }
        let maps = Matrix::new(&p[layer.maps.clone()], count, hidden);
        multiply(du, maps, Into::Add, dx, hidden); // [t, hidden]
    }
}

/// Writes the gradients of what the gates of one of `heads` heads are made of, from those of the sums of
/// `ln f` up to each row: a gate is in the sums of its own row and of all behind it.
pub(super) fn gates_backward(
    dsums: &[f64],
    readings: &[f32],
    heads: usize,
    head: usize,
    dreadings: &mut [f32],
) {
    let mut dlog_gate = 0.0;
    for (row, dsum) in dsums.iter().enumerate().rev() {
        let place = row * heads + head;
        dlog_gate += dsum;
        dreadings[place] = (dlog_gate * log_gate_gradient(f64::from(readings[place]))) as f32;
    }
}

/// What ASEntmax reads from the rows for one head: `b` and `g` of its multiplier.
pub(super) struct ScaleReadings<'a> {
    pub(super) readings: &'a [f32], // [t, 2 heads]
    pub(super) heads: usize,
    pub(super) head: usize,
    /// `n` of each row.
    pub(super) counts: &'a [usize],
}

impl ScaleReadings<'_> {
    /// Where `b` and `g` of a row are.
    fn places(&self, row: usize) -> [usize; 2] {
        let first = 2 * row * self.heads + self.head;
        [first, first + self.heads]
    }

    /// `b`, `g` and `ln(n + 1)` of a row.
    pub(super) fn of(&self, row: usize) -> [f64; 3] {
        let [b, g] = self.places(row).map(|place| f64::from(self.readings[place]));
        [b, g, ((self.counts[row] + 1) as f64).ln()]
    }

    /// Writes the gradients of what was read, from those of the factors on the head's rows, each of which is
    /// `scale` times the multiplier.
    pub(super) fn backward(&self, dfactors: &[f32], scale: f32, dreadings: &mut [f32]) {
        for (row, dfactor) in dfactors.iter().enumerate() {
            let [b, g, l] = self.of(row);
            for (place, by) in self.places(row).into_iter().zip(entmax_scale_gradients(b, g, l)) {
                dreadings[place] = (f64::from(dfactor * scale) * by) as f32;
            }
        }
    }
}
