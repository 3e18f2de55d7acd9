//! Forward and backward passes of what a decoder does besides multiplying matrices, for one sequence on one
//! thread.
//!
//! A backward pass takes `dy`, the gradient of the loss by what the forward pass gave. It adds to the
//! gradients of weights and of the residual stream, which get theirs from several places, and writes the
//! others.

mod adamw;
mod attention;
mod cross_entropy;
mod heads;
mod norm;
mod screening;
mod swiglu;

use super::for_every_instruction_set;
pub(crate) use adamw::{AdamW, adamw, sum_of_squares};
pub(crate) use attention::{softmax_backward, softmax_rows};
pub(crate) use cross_entropy::cross_entropy;
pub(crate) use heads::{Heads, heads, heads_backward};
pub(crate) use norm::rms_norm_backward;
pub(crate) use screening::{Screen, gate_backward, gate_row, screen_backward, screen_rows};
pub(crate) use swiglu::{swiglu, swiglu_backward};

for_every_instruction_set! {
    /// `x += y`.
    fn add_assign = add_assign_plain(x: &mut [f32], y: &[f32])
}

#[inline(always)]
fn add_assign_plain(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x · y`, summed in f64.
pub(crate) fn dot_f64(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}
