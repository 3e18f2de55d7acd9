//! The backward pass: the forward pass from its end to its beginning, with the gradient of the loss by each
//! value in the place of the value.

use super::TrainableDecoder;
use super::workspace::Workspace;
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::training::{rms_norm_backward, swiglu_backward};

/// Adds the gradients of all parameters to `gradients`, from the gradient of the logits in `work`.
pub(super) fn backward(
    decoder: &TrainableDecoder,
    p: &[f32],
    tokens: &[u32],
    work: &mut Workspace,
    gradients: &mut [f32],
) {
    let (spec, t) = (&decoder.spec, decoder.rows);
    let (hidden, inner) = (spec.hidden_size, spec.intermediate_size);
    let mixed_width = spec.num_attention_heads * spec.head_dim;
    // Of y = x wᵀ, with x [t, k] and w [n, k]: dw += dyᵀ x and dx = dy w.
    let linear_backward = |dy: &[f32], x: &[f32], w: &[f32], k: usize, dx: &mut [f32], dw: &mut [f32]| {
        let dy = Matrix::new(dy, t, w.len() / k); // [t, n]
        multiply(dy.t(), Matrix::new(x, t, k), Into::Add, dw, k); // [n, k]
        multiply(dy, Matrix::new(w, w.len() / k, k), Into::Write, dx, k); // [t, k]
    };
    let Workspace { streams, layers, normed, factors, logits, scratch } = work;
    let (dx, dnormed) = (&mut scratch.stream, &mut scratch.normed); // [t, hidden]
    let head = &decoder.lm_head;
    linear_backward(logits, normed, &p[head.clone()], hidden, dnormed, &mut gradients[head.clone()]);
    dx.fill(0.0);
    let norm = &decoder.norm;
    let last = &streams[decoder.layers.len()];
    rms_norm_backward(dnormed, last, &p[norm.clone()], factors, dx, &mut gradients[norm.clone()]);
    for (number, layer) in decoder.layers.iter().enumerate().rev() {
        let now = &mut layers[number];
        let (down, gate_up) = (&layer.down_proj, &layer.gate_up_proj);
        let dgated = &mut scratch.gated; // [t, inner]
        linear_backward(dx, &now.gated, &p[down.clone()], inner, dgated, &mut gradients[down.clone()]);
        swiglu_backward(dgated, inner, &mut now.gate_up); // [t, 2 inner]
        let (dy, w, dw) = (&now.gate_up, &p[gate_up.clone()], &mut gradients[gate_up.clone()]);
        linear_backward(dy, &now.mlp_input, w, hidden, dnormed, dw);
        let norm = &layer.post_norm;
        let (w, dw) = (&p[norm.clone()], &mut gradients[norm.clone()]);
        rms_norm_backward(dnormed, &now.middle, w, &now.mlp_factors, dx, dw);

        let (o_proj, qkv_proj) = (&layer.o_proj, &layer.qkv_proj);
        let (w, dw) = (&p[o_proj.clone()], &mut gradients[o_proj.clone()]);
        linear_backward(dx, &now.mixed, w, mixed_width, &mut scratch.mixed, dw);
        super::attention::backward(
            decoder,
            layer,
            p,
            now,
            super::attention::Buffers {
                dmixed: &scratch.mixed,
                dqkv: &mut scratch.qkv,
                dqueries: &mut scratch.queries,
                dkeys: &mut scratch.keys,
                dweights: &mut scratch.weights,
                drow_factors: &mut scratch.row_factors,
                dreadings: &mut scratch.readings,
            },
            gradients,
        ); // dqkv: [t, qkv]
        let (w, dw) = (&p[qkv_proj.clone()], &mut gradients[qkv_proj.clone()]);
        linear_backward(&scratch.qkv, &now.attention_input, w, hidden, dnormed, dw);
        super::readings::backward(decoder, layer, p, now, &scratch.readings, dnormed, gradients);
        let norm = &layer.input_norm;
        let (w, dw) = (&p[norm.clone()], &mut gradients[norm.clone()]);
        rms_norm_backward(dnormed, &streams[number], w, &now.attention_factors, dx, dw);
    }
    let dtable = &mut gradients[decoder.embed_tokens.clone()]; // [vocab, hidden]
    for (dx, &token) in dx.chunks_exact(hidden).zip(tokens) {
        for (d, dx) in dtable[token as usize * hidden..][..hidden].iter_mut().zip(dx) {
            *d += dx;
        }
    }
}
