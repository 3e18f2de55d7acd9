//! The backward pass: the forward pass from its end to its beginning.

use super::forward::unit_rows;
use super::workspace::Workspace;
use super::{TrainableMultiscreen, tile};
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::training::{add_assign, dot_f64, heads_backward};

/// Adds the gradients of all parameters to `gradients`, from the gradient of the logits in `work`.
pub(super) fn backward(
    model: &TrainableMultiscreen,
    p: &[f32],
    tokens: &[u32],
    work: &mut Workspace,
    gradients: &mut [f32],
) {
    let (spec, t) = (&model.spec, model.rows);
    let (hidden, vocab, width) = (spec.hidden_size, spec.vocab_size, model.projection_width());
    let gated_width = spec.num_attention_heads * spec.value_dim();
    let Workspace { streams, layers, table, scaled, logits, relevance, scratch } = work;
    // Of y = x wᵀ, with x [t, k] and w [n, k]: dw += dyᵀ x and dx = dy w.
    let linear_backward =
        |dy: &[f32], x: &[f32], w: &[f32], k: usize, dx: &mut [f32], into: Into, dw: &mut [f32]| {
            let dy = Matrix::new(dy, t, w.len() / k); // [t, n]
            multiply(dy.t(), Matrix::new(x, t, k), into, dw, k); // [n, k]
            multiply(dy, Matrix::new(w, w.len() / k, k), Into::Write, dx, k); // [t, k]
        };
    let (dx, dtable) = (&mut scratch.stream, &mut scratch.table); // [t, hidden], [vocab, hidden]
    linear_backward(logits, scaled, table, hidden, dx, Into::Write, dtable);
    // The head reads e^{s_F} x.
    gradients[model.s_f] += dot_f64(dx, scaled) as f32;
    let scale = p[model.s_f].exp();
    dx.iter_mut().for_each(|dx| *dx *= scale);
    for (number, layer) in model.layers.iter().enumerate().rev() {
        let now = &mut layers[number];
        let o_proj = &layer.o_proj;
        let (w, dw) = (&p[o_proj.clone()], &mut gradients[o_proj.clone()]);
        linear_backward(dx, &now.gated, w, gated_width, &mut scratch.gated, Into::Add, dw);
        scratch.projection.fill(0.0);
        let mut buffers = tile::Buffers {
            dgated: &mut scratch.gated,
            dprojection: &mut scratch.projection,
            dmixed: &mut scratch.mixed,
            dqueries: &mut scratch.queries,
            dkeys: &mut scratch.keys,
            dvalues: &mut scratch.values,
            drelevance: &mut scratch.relevance,
            relevance,
        };
        for tile in 0..spec.num_attention_heads {
            tile::backward(model, layer, tile, p, now, &mut buffers, gradients); // dprojection: [t, width]
        }
        let projection = &layer.projection;
        let (w, dw) = (&p[projection.clone()], &mut gradients[projection.clone()]);
        debug_assert_eq!(w.len(), width * hidden);
        linear_backward(&scratch.projection, &streams[number], w, hidden, &mut scratch.linear, Into::Add, dw);
        add_assign(dx, &scratch.linear);
    }
    // x0 = e^{s_E} times a row of the table.
    gradients[model.s_e] += dot_f64(dx, &streams[0]) as f32;
    let scale = p[model.s_e].exp();
    for (dx, &token) in dx.chunks_exact(hidden).zip(tokens) {
        for (d, dx) in dtable[token as usize * hidden..][..hidden].iter_mut().zip(dx) {
            *d += scale * dx;
        }
    }
    let (embedding, ones) = (&model.embedding, vec![1.0 / (hidden as f32).sqrt(); vocab]);
    let (w, dw) = (&p[embedding.clone()], &mut gradients[embedding.clone()]);
    heads_backward(dtable, w, unit_rows(hidden, &ones), dw, &mut [], &mut []);
}
