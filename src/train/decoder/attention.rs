//! Attention of one sequence with its backward pass, over blocks of queries and the keys that they see
//! together: what lies outside a window or in the future of a whole block is never computed.

use std::ops::Range;

use super::differential::{self, Differential};
use super::readings::{self, ScaleReadings};
use super::workspace::LayerActivations;
use super::{Layer, Multiplier, TrainableDecoder};
use crate::attention::TrainedRule;
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::training::{Heads, heads, heads_backward, softmax_backward, softmax_rows};

/// Queries of a block.
const BLOCK: usize = 64;

/// A block of queries, and the keys from the first that one of them sees to the last.
struct KeyBlock {
    queries: Range<usize>,
    keys: Range<usize>,
    /// What each query sees, counted from the first key of the block.
    visible: Vec<Range<usize>>,
    /// Where its weights begin among those of a head.
    start: usize,
}

impl KeyBlock {
    fn weights(&self) -> usize {
        self.queries.len() * self.keys.len()
    }
}

/// The blocks of a layer.
pub(super) struct KeyBlocks(Vec<KeyBlock>);

impl KeyBlocks {
    pub(super) fn new(rows: usize, visible: impl Fn(usize) -> Range<usize>) -> Self {
        let mut start = 0;
        let block = |first: usize| {
            let queries = first..rows.min(first + BLOCK);
            let keys = visible(first).start..queries.end;
            let from_first = |row| visible(row).start - keys.start..visible(row).end - keys.start;
            let block = KeyBlock { visible: queries.clone().map(from_first).collect(), queries, keys, start };
            start += block.weights();
            block
        };
        Self((0..rows).step_by(BLOCK).map(block).collect())
    }

    /// Weights of a head.
    pub(super) fn weights(&self) -> usize {
        self.0.iter().map(KeyBlock::weights).sum()
    }

    /// Weights of the largest block.
    pub(super) fn largest(&self) -> usize {
        self.0.iter().map(KeyBlock::weights).max().unwrap_or(0)
    }
}

/// Places of queries, keys and values within a row of `qkv`.
struct Places {
    d: usize,
    heads: usize,
    kv_heads: usize,
    width: usize,
}

impl Places {
    fn of(decoder: &TrainableDecoder) -> Self {
        let spec = &decoder.spec;
        Self {
            d: spec.head_dim,
            heads: spec.num_attention_heads,
            kv_heads: spec.num_key_value_heads,
            width: decoder.qkv_width(),
        }
    }

    fn key(&self, head: usize) -> usize {
        (self.heads + head) * self.d
    }

    fn value(&self, head: usize) -> usize {
        (self.heads + self.kv_heads + head) * self.d
    }

    /// The key and value head of a query head.
    fn kv_of(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }

    /// Numbers that heads mix in a row, and of each part of what head `head` mixes where its values begin and
    /// where it goes. Heads that are subtracted `in_pairs` mix those of two value heads side by side.
    fn mixes(&self, head: usize, in_pairs: bool) -> (usize, Vec<[usize; 2]>) {
        let kv = self.kv_of(head);
        if !in_pairs {
            return (self.heads * self.d, vec![[self.value(kv), head * self.d]]);
        }
        let half = self.kv_heads / 2;
        let part = |part: usize| [self.value(kv % half + part * half), (2 * head + part) * self.d];
        (2 * self.heads * self.d, vec![part(0), part(1)])
    }
}

/// How a head's rows are made of the projection; `gain` is that of queries (0) or keys (1).
fn form<'a>(decoder: &TrainableDecoder, layer: &'a Layer, p: &'a [f32], gain: usize) -> Heads<'a> {
    Heads {
        stride: decoder.qkv_width(),
        start: 0,
        width: decoder.spec.head_dim,
        norm: layer.qk_norm.then_some(decoder.spec.norm_eps as f32),
        gain: &p[layer.qk_gains[gain].clone()],
        rotation: (&layer.rotation.0, &layer.rotation.1),
        factors: &[],
    }
}

/// From `now.qkv` to `now.mixed`.
pub(super) fn forward(decoder: &TrainableDecoder, layer: &Layer, p: &[f32], now: &mut LayerActivations) {
    let (t, at) = (decoder.rows, Places::of(decoder));
    let d = at.d;
    for head in 0..at.kv_heads {
        let form = Heads { start: at.key(head), factors: &decoder.ones, ..form(decoder, layer, p, 1) };
        heads(&now.qkv, form, &mut now.keys[head * t * d..][..t * d]); // [t, d]
    }
    for head in 0..at.heads {
        let queries = &mut now.queries[head * t * d..][..t * d]; // [t, d]
        let factors = &now.row_factors[head * t..][..t];
        heads(&now.qkv, Heads { start: head * d, factors, ..form(decoder, layer, p, 0) }, queries);
        let keys = &now.keys[at.kv_of(head) * t * d..][..t * d]; // [t, d]
        let (width, parts) = at.mixes(head, layer.differential.is_some());
        for block in &layer.blocks.0 {
            let (m, n) = (block.queries.len(), block.keys.len());
            let weights = &mut now.weights[head * layer.blocks.weights() + block.start..][..m * n];
            let q = Matrix::new(&queries[block.queries.start * d..], m, d);
            let k = Matrix::new(&keys[block.keys.start * d..], n, d);
            multiply(q, k.t(), Into::Write, weights, n); // [m, n]
            if layer.forgets() {
                fade(weights, block, &now.sums[head * t..][..t]);
            }
            match layer.rule {
                None if !layer.sinks.is_empty() => {
                    sink_rows(weights, n, &block.visible, p[layer.sinks.start + head]);
                }
                None => softmax_rows(weights, n, &block.visible),
                Some(rule) => weigh(rule, weights, n, &block.visible),
            }
            let mixed = if layer.differential.is_some() { &mut now.wide } else { &mut now.mixed };
            for [values, place] in &parts {
                let v = Matrix::strided(&now.qkv[block.keys.start * at.width + values..], n, d, at.width);
                let mixed = &mut mixed[block.queries.start * width + place..];
                multiply(Matrix::new(weights, m, n), v, Into::Write, mixed, width); // [m, d]
            }
        }
    }
    if let Some(differential) = &layer.differential {
        differential::forward(decoder, differential, p, now);
    }
}

/// Adds to the scores of a block what the gates between key and row make of them: the difference of the
/// `sums` of `ln f` up to each.
fn fade(scores: &mut [f32], block: &KeyBlock, sums: &[f64]) {
    let rows = scores.chunks_exact_mut(block.keys.len()).zip(&block.visible);
    for ((row, visible), own) in rows.zip(&sums[block.queries.clone()]) {
        let keys = &sums[block.keys.clone()][visible.clone()];
        row[visible.clone()].iter_mut().zip(keys).for_each(|(z, sum)| *z += (own - sum) as f32);
    }
}

/// Takes the gradient of a block's scores off that of the `sums` of their keys. That of their rows' own is
/// the sum of a row's gradient, which is 0 under Softmax.
fn fade_backward(dscores: &[f32], block: &KeyBlock, dsums: &mut [f64]) {
    for row in dscores.chunks_exact(block.keys.len()) {
        let dsums = &mut dsums[block.keys.clone()];
        dsums.iter_mut().zip(row).for_each(|(dsum, dz)| *dsum -= f64::from(*dz));
    }
}

/// Turns rows of scores into `exp(z_j) / (exp(c) + sum_k exp(z_k))` with the sink `c`; the keys outside of
/// `visible` get 0.
fn sink_rows(scores: &mut [f32], width: usize, visible: &[Range<usize>], sink: f32) {
    for (row, visible) in scores.chunks_exact_mut(width).zip(visible) {
        row[..visible.start].fill(0.0);
        row[visible.end..].fill(0.0);
        let row = &mut row[visible.clone()];
        let max = row.iter().copied().fold(sink, f32::max);
        row.iter_mut().for_each(|z| *z = (*z - max).exp());
        let scale = 1.0 / (row.iter().sum::<f32>() + (sink - max).exp());
        row.iter_mut().for_each(|p| *p *= scale);
    }
}

/// The gradient by the sink of rows of weights `p`: `-(1 - sum p) (p · dp)` of each. That by the scores is as
/// of Softmax.
fn sink_backward(weights: &[f32], width: usize, dweights: &[f32]) -> f32 {
    let rows = weights.chunks_exact(width).zip(dweights.chunks_exact(width));
    let of_row = |(p, dp): (&[f32], &[f32])| {
        let mean: f32 = p.iter().zip(dp).map(|(p, dp)| p * dp).sum();
        -(1.0 - p.iter().sum::<f32>()) * mean
    };
    rows.map(of_row).sum()
}

/// Turns rows of scores into weights by a rule of whole rows; the keys outside of `visible` get 0.
fn weigh(rule: &dyn TrainedRule, scores: &mut [f32], width: usize, visible: &[Range<usize>]) {
    for (row, visible) in scores.chunks_exact_mut(width).zip(visible) {
        row[..visible.start].fill(0.0);
        row[visible.end..].fill(0.0);
        rule.weigh(&mut row[visible.clone()], f32::NEG_INFINITY);
    }
}

/// Turns the gradient of rows of weights into that of their scores; outside of `visible` it is 0.
fn weigh_backward(
    rule: &dyn TrainedRule,
    scores: &[f32],
    weights: &[f32],
    width: usize,
    visible: &[Range<usize>],
    dweights: &mut [f32],
) {
    let rows = scores.chunks_exact(width).zip(weights.chunks_exact(width));
    for (((scores, weights), dweights), visible) in rows.zip(dweights.chunks_exact_mut(width)).zip(visible) {
        dweights[..visible.start].fill(0.0);
        dweights[visible.end..].fill(0.0);
        let of = visible.clone();
        rule.backward(&scores[of.clone()], &weights[of.clone()], &mut dweights[of]);
    }
}

/// What the backward pass reads and writes besides the activations.
pub(super) struct Buffers<'a> {
    pub(super) dmixed: &'a [f32],
    pub(super) dqkv: &'a mut [f32],
    pub(super) dqueries: &'a mut [f32],
    pub(super) dkeys: &'a mut [f32],
    pub(super) dweights: &'a mut [f32],
    pub(super) drow_factors: &'a mut [f32],
    pub(super) dreadings: &'a mut [f32],
}

/// From the gradient of `mixed` to that of `qkv`, of what is read from rows, of the gains, and of the
/// multiplier's parameters.
pub(super) fn backward(
    decoder: &TrainableDecoder,
    layer: &Layer,
    p: &[f32],
    now: &LayerActivations,
    buffers: Buffers<'_>,
    gradients: &mut [f32],
) {
    let (t, at) = (decoder.rows, Places::of(decoder));
    let d = at.d;
    let Buffers { dmixed, dqkv, dqueries, dkeys, dweights, drow_factors, dreadings } = buffers;
    dqkv.fill(0.0);
    dkeys.fill(0.0);
    let of_pairs = |of: &Differential| differential::backward(decoder, of, p, now, dmixed, gradients);
    let dwide = layer.differential.as_ref().map(of_pairs);
    let dmixed = dwide.as_deref().unwrap_or(dmixed);
    for head in 0..at.heads {
        let queries = &now.queries[head * t * d..][..t * d]; // [t, d]
        let kv = at.kv_of(head);
        let (width, parts) = at.mixes(head, layer.differential.is_some());
        let (keys, dkeys) = (&now.keys[kv * t * d..][..t * d], &mut dkeys[kv * t * d..][..t * d]);
        let mut dsums = if layer.forgets() { vec![0f64; t] } else { Vec::new() };
        for block in &layer.blocks.0 {
            let (m, n) = (block.queries.len(), block.keys.len());
            let weights = &now.weights[head * layer.blocks.weights() + block.start..][..m * n];
            let dweights = &mut dweights[..m * n];
            let first = block.keys.start;
            for (part, [values, place]) in parts.iter().enumerate() {
                let value = first * at.width + values;
                let dy = Matrix::strided(&dmixed[block.queries.start * width + place..], m, d, width);
                let v = Matrix::strided(&now.qkv[value..], n, d, at.width);
                let into = if part == 0 { Into::Write } else { Into::Add };
                multiply(dy, v.t(), into, dweights, n); // [m, n]
                let dv = &mut dqkv[value..];
                multiply(Matrix::new(weights, m, n).t(), dy, Into::Add, dv, at.width); // [n, d]
            }
            if !layer.sinks.is_empty() {
                gradients[layer.sinks.start + head] += sink_backward(weights, n, dweights);
            }
            match layer.rule {
                None => softmax_backward(weights, n, dweights),
                Some(rule) => {
                    let q = Matrix::new(&queries[block.queries.start * d..], m, d);
                    let mut scores = vec![0f32; m * n]; // [m, n], as they were
                    multiply(q, Matrix::new(&keys[first * d..], n, d).t(), Into::Write, &mut scores, n);
                    weigh_backward(rule, &scores, weights, n, &block.visible, dweights);
                }
            }
            if layer.forgets() {
                fade_backward(dweights, block, &mut dsums);
            }
            let dz = Matrix::new(dweights, m, n);
            let (q, k) = (&queries[block.queries.start * d..], &keys[first * d..]);
            let dq = &mut dqueries[block.queries.start * d..];
            multiply(dz, Matrix::new(k, n, d), Into::Write, dq, d); // [m, d]
            multiply(dz.t(), Matrix::new(q, m, d), Into::Add, &mut dkeys[first * d..], d); // [n, d]
        }
        let factors = &now.row_factors[head * t..][..t];
        let form = Heads { start: head * d, factors, ..form(decoder, layer, p, 0) };
        let fixed = matches!(
            layer.multiplier,
            Multiplier::One
                | Multiplier::Log
                | Multiplier::Sink
                | Multiplier::Forgetting
                | Multiplier::Whole(_)
        );
        let drow = if fixed { &mut [] } else { &mut *drow_factors };
        drow.fill(0.0);
        heads_backward(dqueries, &now.qkv, form, dqkv, &mut gradients[layer.qk_gains[0].clone()], drow);
        let scale = decoder.spec.attention_scale as f32;
        multiplier_backward(layer, head, scale, drow, gradients);
        if layer.multiplier == Multiplier::ScaledEntmax {
            let of_rows =
                ScaleReadings { readings: &now.readings, heads: at.heads, head, counts: &layer.counts };
            of_rows.backward(drow, scale, dreadings);
        }
        if layer.forgets() {
            readings::gates_backward(&dsums, &now.readings, at.heads, head, dreadings);
        }
    }
    for head in 0..at.kv_heads {
        let form = Heads { start: at.key(head), factors: &decoder.ones, ..form(decoder, layer, p, 1) };
        let dk = &mut dkeys[head * t * d..][..t * d];
        heads_backward(dk, &now.qkv, form, dqkv, &mut gradients[layer.qk_gains[1].clone()], &mut []);
    }
}

/// Adds the gradients of `s`, `b` and `p` by one head, from those of the factors on its rows.
fn multiplier_backward(layer: &Layer, head: usize, scale: f32, drow: &[f32], gradients: &mut [f32]) {
    if drow.is_empty() {
        return;
    }
    if layer.multiplier == Multiplier::Adaptive {
        for (d, n) in drow.iter().zip(&layer.counts) {
            gradients[layer.sizes.start + n - 1] += d * scale;
        }
    }
    let (mut ds, mut db) = (0f64, 0f64);
    for (d, log) in drow.iter().zip(&layer.logs) {
        ds += f64::from(if layer.multiplier == Multiplier::Constant { *d } else { d * log });
        db += f64::from(*d);
    }
    if !layer.scale.is_empty() {
        gradients[layer.scale.start + head] += ds as f32 * scale;
    }
    if !layer.bias.is_empty() {
        gradients[layer.bias.start + head] += db as f32 * scale;
    }
}
