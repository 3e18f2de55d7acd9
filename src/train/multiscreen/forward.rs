//! The forward pass of one sequence of `t` tokens.

use super::workspace::Workspace;
use super::{TrainableMultiscreen, tile};
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::training::{Heads, add_assign, heads};

/// Computes the logits of all tokens but the last, which has nothing to predict.
pub(super) fn forward(model: &TrainableMultiscreen, p: &[f32], tokens: &[u32], work: &mut Workspace) {
    let (spec, t) = (&model.spec, model.rows);
    let (hidden, vocab, width) = (spec.hidden_size, spec.vocab_size, model.projection_width());
    let gated_width = spec.num_attention_heads * spec.value_dim();
    // x wᵀ for x [t, k] and w [n, k].
    let linear = |x: &[f32], w: &[f32], k: usize, n: usize, y: &mut [f32]| {
        multiply(Matrix::new(x, t, k), Matrix::new(w, n, k).t(), Into::Write, y, n); // [t, n]
    };
    let ones = vec![1.0 / (hidden as f32).sqrt(); vocab];
    heads(&p[model.embedding.clone()], unit_rows(hidden, &ones), &mut work.table); // [vocab, hidden]
    let scale = p[model.s_e].exp();
    for (x, &token) in work.streams[0].chunks_exact_mut(hidden).zip(tokens) {
        for (x, e) in x.iter_mut().zip(&work.table[token as usize * hidden..][..hidden]) {
            *x = scale * e;
        }
    }
    for (number, layer) in model.layers.iter().enumerate() {
        let now = &mut work.layers[number];
        let (before, after) = work.streams.split_at_mut(number + 1);
        let (x, next) = (&before[number], &mut after[0]); // [t, hidden]
        linear(x, &p[layer.projection.clone()], hidden, width, &mut now.projection);
        for tile in 0..spec.num_attention_heads {
            tile::forward(model, layer, tile, p, now, &mut work.relevance); // gated: [t, tiles * value]
        }
        linear(&now.gated, &p[layer.o_proj.clone()], gated_width, hidden, next);
        add_assign(next, x);
    }
    let scale = p[model.s_f].exp();
    for (scaled, x) in work.scaled.iter_mut().zip(&work.streams[model.layers.len()]) {
        *scaled = scale * x;
    }
    linear(&work.scaled, &work.table, hidden, vocab, &mut work.logits);
}

/// Rows of `width` numbers, one behind the other, over their norms; `factors` are `1 / sqrt(width)`, one a
/// row.
pub(super) fn unit_rows(width: usize, factors: &[f32]) -> Heads<'_> {
    Heads { stride: width, start: 0, width, norm: Some(0.0), gain: &[], rotation: (&[], &[]), factors }
}
