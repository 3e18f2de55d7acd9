//! The forward pass of one sequence of `t` tokens.

use super::readings::ScaleReadings;
use super::workspace::Workspace;
use super::{Multiplier, TrainableDecoder};
use crate::attention::variant::entmax_scale;
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::rms_norm_rows;
use crate::kernel::training::{add_assign, swiglu};

/// Computes the logits of all tokens but the last, which has nothing to predict.
pub(super) fn forward(decoder: &TrainableDecoder, p: &[f32], tokens: &[u32], work: &mut Workspace) {
    let (spec, t) = (&decoder.spec, decoder.rows);
    let (hidden, inner, eps) = (spec.hidden_size, spec.intermediate_size, spec.norm_eps as f32);
    let (width, mixed_width) = (decoder.qkv_width(), spec.num_attention_heads * spec.head_dim);
    // x wᵀ for x [t, k] and w [n, k].
    let linear = |x: &[f32], w: &[f32], k: usize, n: usize, y: &mut [f32]| {
        multiply(Matrix::new(x, t, k), Matrix::new(w, n, k).t(), Into::Write, y, n); // [t, n]
    };
    let table = &p[decoder.embed_tokens.clone()]; // [vocab, hidden]
    for (x, &token) in work.streams[0].chunks_exact_mut(hidden).zip(tokens) {
        x.copy_from_slice(&table[token as usize * hidden..][..hidden]);
    }
    for (number, layer) in decoder.layers.iter().enumerate() {
        let now = &mut work.layers[number];
        let (before, after) = work.streams.split_at_mut(number + 1);
        let (x, next) = (&before[number], &mut after[0]); // [t, hidden]
        rms_norm_rows(
            x,
            &p[layer.input_norm.clone()],
            eps,
            &mut now.attention_input,
            &mut now.attention_factors,
        );
        linear(&now.attention_input, &p[layer.qkv_proj.clone()], hidden, width, &mut now.qkv);
        super::readings::forward(decoder, layer, p, now);
        layer.row_factors(p, spec.attention_scale as f32, &now.readings, &mut now.row_factors);
        super::attention::forward(decoder, layer, p, now); // mixed: [t, heads * d]
        linear(&now.mixed, &p[layer.o_proj.clone()], mixed_width, hidden, &mut now.middle);
        add_assign(&mut now.middle, x); // [t, hidden]
        rms_norm_rows(
            &now.middle,
            &p[layer.post_norm.clone()],
            eps,
            &mut now.mlp_input,
            &mut now.mlp_factors,
        );
        linear(&now.mlp_input, &p[layer.gate_up_proj.clone()], hidden, 2 * inner, &mut now.gate_up);
        swiglu(&now.gate_up, inner, &mut now.gated); // [t, inner]
        linear(&now.gated, &p[layer.down_proj.clone()], inner, hidden, next);
        add_assign(next, &now.middle); // [t, hidden]
    }
    let x = &work.streams[decoder.layers.len()];
    rms_norm_rows(x, &p[decoder.norm.clone()], eps, &mut work.normed, &mut work.factors);
    linear(&work.normed, &p[decoder.lm_head.clone()], hidden, spec.vocab_size, &mut work.logits);
}

impl super::Layer {
    /// Whether the scores of keys fade.
    pub(super) fn forgets(&self) -> bool {
        self.multiplier == Multiplier::Forgetting
    }

    /// The factor on every query of every head, `[heads, t]`: the scale of attention times the multiplier of
    /// the row; `readings` `[t, readings]` are what the rule has read from rows.
    fn row_factors(&self, p: &[f32], attention_scale: f32, readings: &[f32], factors: &mut [f32]) {
        let (scale, bias, sizes) = (&p[self.scale.clone()], &p[self.bias.clone()], &p[self.sizes.clone()]);
        let (t, heads) = (self.logs.len(), factors.len() / self.logs.len());
        for (head, factors) in factors.chunks_exact_mut(t).enumerate() {
            for (row, ((factor, log), n)) in factors.iter_mut().zip(&self.logs).zip(&self.counts).enumerate()
            {
                let m = match self.multiplier {
                    Multiplier::One | Multiplier::Sink | Multiplier::Forgetting | Multiplier::Whole(_) => 1.0,
                    Multiplier::Log => *log,
                    Multiplier::Constant => scale[head],
                    Multiplier::Learned { .. } => scale[head] * log + bias.get(head).unwrap_or(&0.0),
                    Multiplier::Adaptive => sizes[n - 1] + bias[head],
                    Multiplier::ScaledEntmax => {
                        let [b, g, l] = ScaleReadings { readings, heads, head, counts: &self.counts }.of(row);
                        entmax_scale(b, g, l) as f32
                    }
                };
                *factor = attention_scale * m;
            }
        }
    }
}
